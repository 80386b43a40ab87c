//! Tells tenants of limits they have met, where no call could: as events of their own, at most one
//! in ten seconds for each limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callbox_model::{Change, Instant, Subject, TenantId};
use callbox_store::{Note, Store};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::warn;

use crate::clock::{Clock, wall};

/// Cheap to clone; never waits.
#[derive(Clone)]
pub struct Limited(Arc<Inner>);

struct Inner {
    clock: Clock,
    told: Mutex<HashMap<(TenantId, &'static str), Instant>>,
    notes: Sender<Note>,
}

impl Limited {
    pub fn start(clock: Clock, store: Arc<dyn Store>) -> Self {
        let (notes, waiting) = channel(WAITING);
        tokio::spawn(keep(store, waiting));
        Self(Arc::new(Inner { clock, told: Mutex::default(), notes }))
    }

    pub fn reached(&self, tenant: TenantId, limit: &'static str, detail: impl FnOnce() -> String) {
        let now = self.0.clock.at();
        {
            let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.get(&(tenant, limit)).is_some_and(|at| now.since(*at) < AT_MOST_EVERY) {
                return;
            }
            if told.len() >= MOST_TOLD {
                told.retain(|_, at| now.since(*at) < AT_MOST_EVERY);
            }
            told.insert((tenant, limit), now);
        }
        let change = Change::LimitReached { limit: limit.to_owned(), detail: detail() };
        let note = Note { subject: Subject::Tenant(tenant), tenant: Some(tenant), at: wall(), change };
        // With so many waiting the store has other worries.
        let _ = self.0.notes.try_send(note);
    }
}

async fn keep(store: Arc<dyn Store>, mut waiting: Receiver<Note>) {
    while let Some(note) = waiting.recv().await {
        if let Err(error) = store.note(note).await {
            warn!(%error, "a limit that was met is not in the record");
        }
    }
}

const AT_MOST_EVERY: Duration = Duration::from_secs(10);
const WAITING: usize = 256;
const MOST_TOLD: usize = 10_000;
