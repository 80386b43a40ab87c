//! Two legs that hear each other.
//!
//! Media joins them; here is written who talks with whom. What is played on a bridged leg is heard
//! there in the other's place until it ends, which is media's doing. Digits that are gathered from
//! either leg do not cross the bridge: while a gather runs, it is told to keep them.

use callbox_model::{BridgeDigits, Change, LegNumber, MediaCommand, MediaFault, Outcome, StepError};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::leg::Leg;
use crate::sound::media_words;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    No,
    /// Media has not said that it is so.
    Joining {
        with: LegNumber,
        digits: BridgeDigits,
    },
    Joined {
        with: LegNumber,
        digits: BridgeDigits,
    },
}

impl Joined {
    pub(crate) const fn with(self) -> Option<(LegNumber, BridgeDigits)> {
        match self {
            Self::No => None,
            Self::Joining { with, digits } | Self::Joined { with, digits } => Some((with, digits)),
        }
    }
}

impl Leg {
    pub(crate) const fn is_joined(&self) -> bool {
        !matches!(self.joined, Joined::No)
    }
}

impl Call {
    pub(crate) fn bridge(
        &mut self,
        a: LegNumber,
        b: LegNumber,
        digits: BridgeDigits,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        if a == b {
            return Err(StepError::Argument(format!("b: leg {b} cannot be joined to itself")));
        }
        self.legs.check_talking(a)?;
        self.legs.check_talking(b)?;
        self.join(a, b, digits, out);
        Ok(Wait::Bridge(a, b))
    }

    /// A leg that talks with somebody else is parted from it first.
    pub(crate) fn join(&mut self, a: LegNumber, b: LegNumber, digits: BridgeDigits, out: &mut Vec<Output>) {
        let is_same = self.legs.get(a).is_some_and(|leg| leg.joined.with().is_some_and(|(with, _)| with == b));
        if !is_same {
            self.part_legs(a, out);
            self.part_legs(b, out);
        }
        for (leg, with) in [(a, b), (b, a)] {
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.joined = match leg.joined {
                    Joined::Joined { .. } => Joined::Joined { with, digits },
                    Joined::No | Joined::Joining { .. } => Joined::Joining { with, digits },
                };
            }
        }
        self.send_bridge(a, b, digits, out);
    }

    fn send_bridge(&mut self, a: LegNumber, b: LegNumber, digits: BridgeDigits, out: &mut Vec<Output>) {
        let Some(other) = self.legs.get(b) else { return };
        let (with, other_gathers) = (other.line.port, other.gather.is_some());
        let Some(leg) = self.legs.get_mut(a) else { return };
        let digits = if other_gathers || leg.gather.is_some() { BridgeDigits::Keep } else { digits };
        leg.bridgings += 1;
        leg.line.media(MediaCommand::Bridge { with, digits }, out);
    }

    /// A gather of the leg has begun, or is over: whether digits cross has changed.
    pub(crate) fn rejoin(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get(number).filter(|leg| leg.stands()) else { return };
        if let Some((with, digits @ BridgeDigits::Pass)) = leg.joined.with() {
            self.send_bridge(number, with, digits, out);
        }
    }

    /// Media's answer to `Bridge`. The last of several counts.
    pub(crate) fn bridged(&mut self, number: LegNumber, result: Result<(), MediaFault>, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        leg.bridgings = leg.bridgings.saturating_sub(1);
        if leg.bridgings > 0 {
            return;
        }
        let Some((with, digits)) = leg.joined.with() else { return };
        if let Err(fault) = result {
            let outcome = Outcome::Failed(StepError::Unavailable(media_words(&fault)));
            self.finish(|wait| wait.is_bridge_of(number, with), outcome, out);
            self.unjoin(number, out);
            return;
        }
        if matches!(leg.joined, Joined::Joining { .. }) {
            leg.joined = Joined::Joined { with, digits };
            if let Some(other) = self.legs.get_mut(with) {
                other.joined = Joined::Joined { with: number, digits };
            }
            self.record(Change::LegBridged { leg: number, with }, out);
        }
        self.finish(|wait| wait.is_bridge_of(number, with), Outcome::Done, out);
    }

    pub(crate) fn part(&mut self, number: LegNumber, out: &mut Vec<Output>) -> Result<Wait, StepError> {
        let leg = self.legs.check(number)?;
        if !leg.is_joined() {
            return Err(StepError::State(format!("leg {number} is not bridged")));
        }
        self.part_legs(number, out);
        Ok(Wait::Part(number))
    }

    pub(crate) fn parted(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        self.finish(|wait| *wait == Wait::Part(number), Outcome::Done, out);
    }

    /// Nothing happens to a leg that is in no bridge.
    pub(crate) fn part_legs(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        if let Some(leg) = self.legs.get(number).filter(|leg| leg.is_joined()) {
            leg.line.media(MediaCommand::Part, out);
            self.unjoin(number, out);
        }
    }

    /// Neither talks with the other any more. Media parts them by itself when one closes.
    pub(crate) fn unjoin(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let was = std::mem::replace(&mut leg.joined, Joined::No);
        let Some((with, _)) = was.with() else { return };
        if let Some(other) = self.legs.get_mut(with) {
            other.joined = Joined::No;
        }
        if matches!(was, Joined::Joined { .. }) {
            self.record(Change::LegParted { leg: number }, out);
        }
        // Whoever still waits for it waits for nothing.
        self.finish(|wait| wait.is_bridge_of(number, with), parted_meanwhile(), out);
    }
}

fn parted_meanwhile() -> Outcome {
    Outcome::Failed(StepError::State("the legs were parted before they were joined".to_owned()))
}
