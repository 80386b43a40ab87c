//! The legs of a thread, by number for packets and by key for commands.

use std::collections::HashMap;

use callbox_model::LegKey;

use crate::leg::Leg;

#[derive(Default)]
pub(crate) struct Legs {
    places: Vec<Option<Box<Leg>>>,
    free: Vec<usize>,
    keys: HashMap<LegKey, usize>,
}

impl Legs {
    pub(crate) fn put(&mut self, leg: Box<Leg>) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.keys.insert(leg.key, at);
        self.places[at] = Some(leg);
        at
    }

    pub(crate) fn take(&mut self, at: usize) -> Option<Box<Leg>> {
        let leg = self.places.get_mut(at)?.take()?;
        self.keys.remove(&leg.key);
        self.free.push(at);
        Some(leg)
    }

    /// Its number, for as long as it is here.
    pub(crate) fn find(&self, key: LegKey) -> Option<usize> {
        self.keys.get(&key).copied()
    }

    pub(crate) fn get(&mut self, at: usize) -> Option<&mut Leg> {
        self.places.get_mut(at)?.as_deref_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
