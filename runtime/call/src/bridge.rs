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
    Joining(Pair),
    Yes(Pair),
}

/// Of one leg's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) with: LegNumber,
    pub(crate) digits: BridgeDigits,
    /// Whose `Bridge` made it. What changes it later goes the same way, and so stays in order.
    asker: LegNumber,
}

impl Joined {
    pub(crate) const fn pair(self) -> Option<Pair> {
        match self {
            Self::No => None,
            Self::Joining(pair) | Self::Yes(pair) => Some(pair),
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
        let standing = self.legs.get(a).and_then(|leg| leg.joined.pair()).filter(|pair| pair.with == b);
        if standing.is_none() {
            self.part_legs(a, out);
            self.part_legs(b, out);
        }
        let asker = standing.map_or(a, |pair| pair.asker);
        for (leg, with) in [(a, b), (b, a)] {
            if let Some(leg) = self.legs.get_mut(leg) {
                let pair = Pair { with, digits, asker };
                leg.joined =
                    if matches!(leg.joined, Joined::Yes(_)) { Joined::Yes(pair) } else { Joined::Joining(pair) };
            }
        }
        self.send_bridge(asker, out);
    }

    fn send_bridge(&mut self, asker: LegNumber, out: &mut Vec<Output>) {
        let Some(pair) = self.legs.get(asker).and_then(|leg| leg.joined.pair()) else { return };
        let Some(other) = self.legs.get(pair.with) else { return };
        let (with, other_gathers) = (other.line.port, other.gather.is_some());
        let Some(leg) = self.legs.get_mut(asker) else { return };
        let digits = if other_gathers || leg.gather.is_some() { BridgeDigits::Keep } else { pair.digits };
        leg.bridgings += 1;
        leg.line.media(MediaCommand::Bridge { with, digits }, out);
    }

    /// A gather of the leg has begun, or is over: whether digits cross has changed.
    pub(crate) fn rejoin(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let pair = self.legs.get(number).and_then(|leg| leg.joined.pair());
        if let Some(Pair { with, digits: BridgeDigits::Pass, asker }) = pair {
            let both_are_heard = [number, with].iter().all(|leg| self.legs.get(*leg).is_some_and(Leg::can_be_heard));
            if both_are_heard {
                self.send_bridge(asker, out);
            }
        }
    }

    /// Media's answer to `Bridge`. The last of several counts.
    pub(crate) fn bridged(&mut self, number: LegNumber, result: Result<(), MediaFault>, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        leg.bridgings = leg.bridgings.saturating_sub(1);
        let pair = leg.joined.pair().filter(|pair| pair.asker == number);
        let Some(Pair { with, digits, asker }) = pair.filter(|_| leg.bridgings == 0) else { return };
        if let Err(fault) = result {
            let outcome = Outcome::Failed(StepError::Unavailable(media_words(&fault)));
            self.finish(|wait| wait.is_bridge_of(number, with), outcome, out);
            self.unjoin(number, out);
            return;
        }
        if matches!(leg.joined, Joined::Joining(_)) {
            leg.joined = Joined::Yes(Pair { with, digits, asker });
            if let Some(other) = self.legs.get_mut(with) {
                other.joined = Joined::Yes(Pair { with: number, digits, asker });
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
        let Some(Pair { with, .. }) = was.pair() else { return };
        if let Some(other) = self.legs.get_mut(with) {
            other.joined = Joined::No;
        }
        if matches!(was, Joined::Yes(_)) {
            self.record(Change::LegParted { leg: number }, out);
        }
        // Whoever still waits for it waits for nothing.
        self.finish(|wait| wait.is_bridge_of(number, with), parted_meanwhile(), out);
    }
}

fn parted_meanwhile() -> Outcome {
    Outcome::Failed(StepError::State("the legs were parted before they were joined".to_owned()))
}
