//! Early media: leg 1 hears the far end of a leg that is being dialled, where the module wants it.
//!
//! The two are bridged while it rings. With the answer the bridge is parted: who talks with whom
//! from then on is the module's to say.

use callbox_model::{BridgeDigits, LegKey, LegNumber};

use crate::Output;
use crate::call::Call;
use crate::leg::{Leg, Signal};

/// Whether leg 1 hears the far end before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    NotWanted,
    Wanted,
    /// It hears this attempt.
    Heard(LegKey),
}

impl Call {
    /// A provisional answer of this attempt has sound.
    pub(crate) fn hear_early(&mut self, number: LegNumber, key: LegKey, out: &mut Vec<Output>) {
        let can_listen =
            self.legs.get(1).is_some_and(|leg| leg.can_be_heard() && !leg.is_joined() && leg.giving.is_none());
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Signal::Dialling(dialling) = &mut leg.signal else { return };
        match dialling.early {
            Early::NotWanted => return,
            Early::Heard(other) if other != key => return,
            Early::Wanted if !can_listen || number == 1 => return,
            Early::Wanted | Early::Heard(_) => {}
        }
        let is_first = dialling.early == Early::Wanted;
        dialling.early = Early::Heard(key);
        let Some(attempt) = dialling.attempts.iter().find(|attempt| attempt.key == key) else { return };
        (leg.line.plan, leg.line.agreed) = (attempt.plan.clone(), attempt.agreed.clone());
        leg.update_media(out);
        if is_first {
            self.join(number, 1, BridgeDigits::Keep, out);
        }
    }

    /// What it said before its answer, or the attempt itself, is over.
    pub(crate) fn stop_early(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        if let Some(dialling) = self.legs.get_mut(number).and_then(Leg::dialling)
            && matches!(dialling.early, Early::Heard(_))
        {
            dialling.early = Early::Wanted;
            self.part_legs(number, out);
        }
    }
}
