//! What the node wants besides calls. Rare, never lost, and never more than there are users and
//! trunks: the latest wish of each stands.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use callbox_model::UserId;
use tokio::sync::Notify;

use crate::TrunkRegistration;

#[derive(Debug, Default)]
pub(crate) struct Errands {
    waiting: Mutex<Waiting>,
    come: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// None is all contacts of the user.
    pub(crate) unbind: BTreeSet<(UserId, Option<String>)>,
    pub(crate) trunks: Option<Vec<TrunkRegistration>>,
}

impl Errands {
    pub(crate) fn unbind(&self, user: UserId, contact: Option<String>) {
        self.put(|waiting| {
            waiting.unbind.insert((user, contact));
        });
    }

    pub(crate) fn set_trunks(&self, trunks: Vec<TrunkRegistration>) {
        self.put(|waiting| waiting.trunks = Some(trunks));
    }

    fn put(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.come.notify_one();
    }

    pub(crate) async fn next(&self) -> Waiting {
        self.come.notified().await;
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
