//! What a leg waits for, and until when.

use callbox_model::Instant;

use crate::leg::{Leg, Signal, Sound};

impl Leg {
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let signal = match &self.signal {
            Signal::Leaving { until, .. } => Some((*until, "the leg's end")),
            Signal::Dialling(dialling) => Some((dialling.deadline(), "an answer of who is dialled")),
            _ => None,
        };
        let sound = match &self.sound {
            Sound::Closing { until } => Some((*until, "the sound's end")),
            _ => None,
        };
        // Nobody hangs up a leg that may be another call's.
        let limit = self.line.limit.filter(|_| self.stands() && !self.is_on_offer());
        [
            signal,
            sound,
            limit.map(|at| (at, "the leg's time limit")),
            self.gather_deadline(),
            self.secret_deadline(),
            self.pressing.as_ref().and_then(|pressing| pressing.deadline()),
            self.referring.as_ref().map(|referring| (referring.until, "the end of a transfer")),
            self.referral.as_ref().and_then(|referral| referral.deadline()),
            self.giving.as_ref().and_then(|giving| giving.deadline()),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}
