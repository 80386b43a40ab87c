//! Trunks that register: which there are, and how they stand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use callbox_model::{Change, Subject, TrunkId, TrunkState};
use callbox_store::{Note, Store};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tracing::warn;

use crate::clock::wall;
use crate::directory::Directory;

/// Cheap to clone; never waits.
#[derive(Clone)]
pub struct TrunkStates {
    states: Arc<Mutex<HashMap<TrunkId, TrunkState>>>,
    changes: Sender<(TrunkId, TrunkState)>,
}

impl TrunkStates {
    /// Writes down how states change.
    pub fn start(store: Arc<dyn Store>, directory: Arc<ArcSwap<Directory>>) -> Self {
        let (changes, waiting) = channel(WAITING);
        tokio::spawn(keep(store, directory, waiting));
        Self { states: Arc::default(), changes }
    }

    pub fn changed(&self, trunk: TrunkId, state: TrunkState) {
        let before = self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(trunk, state.clone());
        // A registration that is only renewed is no news.
        let is_renewal = matches!(
            (&before, &state),
            (Some(TrunkState::Registered { .. }), TrunkState::Registered { .. } | TrunkState::Registering)
        );
        if before.as_ref() != Some(&state) && !is_renewal {
            let _ = self.changes.try_send((trunk, state));
        }
    }

    /// `Static` of one that does not register.
    pub fn of(&self, trunk: TrunkId) -> TrunkState {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&trunk).cloned().unwrap_or(TrunkState::Static)
    }

    /// Tells signalling which trunks want to be registered, whenever that changes.
    pub async fn follow(
        self,
        directory: Arc<ArcSwap<Directory>>,
        signal: callbox_signal::Handle,
        mut pictures: watch::Receiver<u64>,
    ) {
        loop {
            let wanted: Vec<_> = directory.load().trunks().iter().filter_map(|trunk| trunk.registration()).collect();
            self.states
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|trunk, _| wanted.iter().any(|one| one.trunk == *trunk));
            signal.set_trunks(wanted);
            if pictures.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn keep(store: Arc<dyn Store>, directory: Arc<ArcSwap<Directory>>, mut waiting: Receiver<(TrunkId, TrunkState)>) {
    while let Some((id, state)) = waiting.recv().await {
        let Some(trunk) = directory.load().trunks().iter().find(|trunk| trunk.id() == id).cloned() else { continue };
        let change = Change::TrunkStateChanged { name: trunk.trunk.name.clone(), state };
        let note = Note { subject: Subject::Trunk(id), tenant: Some(trunk.trunk.tenant), at: wall(), change };
        if let Err(error) = store.note(note).await {
            warn!(%error, "a trunk's state is not in the record");
        }
    }
}

const WAITING: usize = 1_024;
