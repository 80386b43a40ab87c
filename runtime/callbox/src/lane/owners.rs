//! Which call has a leg, as far as this lane must know: legs that began here wherever they are, and
//! legs of other lanes that calls of this one have.

use std::collections::HashMap;

use callbox_model::{CallId, LegKey};

#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<LegKey, Owner>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    call: CallId,
    /// The call that has adopted it, until the one before lets go: what came before belongs there.
    next: Option<CallId>,
    /// It was in another call, which may be on another lane.
    has_travelled: bool,
}

impl Owners {
    pub(super) fn call(&self, leg: LegKey) -> Option<CallId> {
        self.0.get(&leg).map(|owner| owner.call)
    }

    /// A call of this lane has it from now on, or from the moment its owner lets go.
    pub(super) fn own(&mut self, leg: LegKey, call: CallId, lane: u8) {
        let begun = Owner { call, next: None, has_travelled: leg.lane() != lane };
        self.0
            .entry(leg)
            .and_modify(|owner| {
                owner.has_travelled = true;
                owner.next = (owner.call != call).then_some(call);
            })
            .or_insert(begun);
    }

    /// A call of this lane lets go.
    pub(super) fn release(&mut self, leg: LegKey, from: CallId, to: CallId) {
        if let Some(owner) = self.0.get_mut(&leg)
            && owner.call == from
        {
            *owner = Owner { call: to, next: None, has_travelled: true };
        }
    }

    /// A call of another lane has let go of a leg that began here.
    pub(super) fn moved(&mut self, leg: LegKey, to: CallId) {
        if let Some(owner) = self.0.get_mut(&leg) {
            *owner = Owner { call: to, next: None, has_travelled: true };
        }
    }

    /// True when other lanes may know of it too.
    pub(super) fn forget(&mut self, leg: LegKey) -> bool {
        self.0.remove(&leg).is_some_and(|owner| owner.has_travelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEG: LegKey = LegKey::new(0, 7);

    fn call(number: u128) -> CallId {
        CallId::from_u128(number)
    }

    #[test]
    fn what_comes_before_a_leg_is_let_go_is_its_owner_s() {
        let mut owners = Owners::default();
        owners.own(LEG, call(1), 0);
        owners.own(LEG, call(2), 0);
        assert_eq!(owners.call(LEG), Some(call(1)));
        owners.release(LEG, call(1), call(2));
        assert_eq!(owners.call(LEG), Some(call(2)));
        owners.release(LEG, call(1), call(3));
        assert_eq!(owners.call(LEG), Some(call(2)), "who let go has nothing to say any more");
        assert!(owners.forget(LEG));
        assert_eq!(owners.call(LEG), None);
    }

    #[test]
    fn a_leg_that_goes_round_comes_home() {
        // Begins on lane 0, goes to a call of lane 1, and comes back to another of lane 0.
        let (mut home, mut away) = (Owners::default(), Owners::default());
        home.own(LEG, call(1), 0);
        away.own(LEG, call(2), 1);
        home.release(LEG, call(1), call(2));
        assert_eq!((home.call(LEG), away.call(LEG)), (Some(call(2)), Some(call(2))));
        home.own(LEG, call(3), 0);
        assert_eq!(home.call(LEG), Some(call(2)), "its owner has not let go");
        away.release(LEG, call(2), call(3));
        home.moved(LEG, call(3));
        assert_eq!((home.call(LEG), away.call(LEG)), (Some(call(3)), Some(call(3))));
        assert!(home.forget(LEG) && away.forget(LEG));
    }

    #[test]
    fn a_leg_that_stays_is_nobody_else_s_to_forget() {
        let mut owners = Owners::default();
        owners.own(LEG, call(1), 0);
        assert!(!owners.forget(LEG));
        assert!(!owners.forget(LEG));
    }
}
