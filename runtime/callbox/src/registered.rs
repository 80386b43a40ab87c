//! Registrations on their way to the store: many in one transaction, never in a phone's way.

use std::sync::Arc;
use std::time::Duration;

use callbox_signal::Registered;
use callbox_store::{RegistrationChange, Store};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::warn;

use crate::clock::wall;

/// Cheap to clone; never waits.
#[derive(Clone)]
pub struct Keeper(Sender<RegistrationChange>);

impl Keeper {
    pub fn start(store: Arc<dyn Store>) -> Self {
        let (changes, waiting) = channel(WAITING);
        tokio::spawn(keep(store, waiting));
        Self(changes)
    }

    pub fn changed(&self, change: Registered) {
        let at = wall();
        let change = match change {
            Registered::Bound(registration) => RegistrationChange::Put { registration, at },
            Registered::Unbound { user, contact, why } => {
                RegistrationChange::Remove { user, contact, why: why.to_owned(), at }
            }
        };
        if self.0.try_send(change).is_err() {
            // The phone is registered all the same; only a restart would not know of it.
            metrics::counter!("registrations_not_kept_total").increment(1);
        }
    }
}

async fn keep(store: Arc<dyn Store>, mut waiting: Receiver<RegistrationChange>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = store.commit_registrations(&batch).await {
            warn!(%error, changes = batch.len(), "registrations are not kept yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        batch.clear();
    }
}

/// A full house after a power cut: ten thousand phones, each twice.
const WAITING: usize = 65_536;
const BATCH: usize = 1_000;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
