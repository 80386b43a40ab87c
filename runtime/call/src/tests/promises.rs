//! What no input may break, looked at after each: who owns a leg, who commands it, who talks with
//! whom, and that nothing stands after the call it belonged to.

use callbox_model::{CallId, LegKey};

use super::drivers::{Dialog, Port};
use super::world::{Due, World};
use crate::bridge::Joined;
use crate::{Call, Input};

impl World {
    /// Exactly one call acts on a leg, and none is lost.
    pub(super) fn check_owners(&self) {
        for (key, owner) in &self.owners {
            let holds = |call: &&Call| call.legs.all.iter().any(|leg| leg.line.port == *key && !leg.is_on_offer());
            let holders = self.calls.values().filter(holds).count();
            assert!(holders <= 1, "{key:?} has {holders} owners");
            assert!(self.calls.contains_key(owner), "{key:?} is owned by a call that is over");
        }
        for (key, port) in &self.ports {
            if matches!(port, Port::Open { .. }) {
                let is_known = |call: &Call| call.legs.by_port(*key).is_some() || call.husks.has(*key);
                let is_travelling = self.adopting.contains_key(key);
                assert!(is_travelling || self.calls.values().any(is_known), "nobody knows of the open port {key:?}");
            }
        }
    }

    pub(super) fn assert_commands(&self, id: CallId, leg: LegKey) {
        let may = self.owners.get(&leg) == Some(&id) || self.adopting.get(&leg) == Some(&id);
        assert!(may, "{id} commands {leg:?}, which is owned by {:?}", self.owners.get(&leg));
    }

    pub(super) fn end_call(&mut self, id: CallId) {
        self.over.insert(id);
        self.calls.remove(&id);
        let theirs: Vec<_> = self.owners.iter().filter(|(_, owner)| **owner == id).map(|(key, _)| *key).collect();
        for key in theirs {
            self.owners.remove(&key);
            assert!(!self.adopting.contains_key(&key), "{key:?} was on offer when its call ended");
            // Of one that is being passed on it has not heard.
            let is_passed =
                |due: &Due| matches!(due, Due::Passed(_, input) if matches!(**input, Input::Leg(of, _) if of == key));
            if !self.manners.deaf && !self.due.values().any(is_passed) {
                assert!(
                    self.dialogs.get(&key).is_none_or(|dialog| *dialog == Dialog::Ended),
                    "{key:?} stands after its call"
                );
            }
            assert!(!matches!(self.ports.get(&key), Some(Port::Open { .. })), "{key:?} is open after its call");
        }
    }

    /// Who talks with whom in the brain talks with whom in media.
    pub(super) fn check_bridges(&self) {
        for call in self.calls.values() {
            for leg in call.legs.all.iter().filter(|leg| leg.local().is_some() && leg.giving.is_none()) {
                let heard = self.hears_whom(leg.line.port);
                match leg.joined {
                    Joined::No => assert_eq!(heard, None, "leg {} is in no bridge", leg.number),
                    Joined::Yes(pair) if leg.bridgings == 0 => {
                        let other = call.legs.get(pair.with).expect("a bridge with a leg that is not there");
                        let is_closing = other.local().is_none();
                        assert!(
                            is_closing || heard == Some(other.line.port),
                            "leg {} with leg {}",
                            leg.number,
                            pair.with
                        );
                    }
                    Joined::Yes(_) | Joined::Joining(_) => {}
                }
            }
        }
    }
}
