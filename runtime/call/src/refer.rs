//! REFER that we send: a leg's far end is asked to call somebody, and tells how that ended.

use std::time::Duration;

use callbox_model::{
    Change, Instant, LegCommand, LegNumber, Millis, Outcome, ReferTarget, ReferTo, Refused, StepError,
};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::dial::millis;
use crate::line::LegAsk;
use crate::signalling::refusal;

#[derive(Debug)]
pub(crate) struct Referring {
    /// For the timeline.
    to: String,
    pub(crate) until: Instant,
}

impl Call {
    pub(crate) fn refer(
        &mut self,
        number: LegNumber,
        to: ReferTarget,
        timeout: Option<Millis>,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        self.check_bounds("timeout", timeout, 1_000, 600_000)?;
        let timeout = millis(timeout.unwrap_or(TIMEOUT_MS));
        self.check_refer(number, &to)?;
        match to {
            ReferTarget::Address(address) => Ok(self.resolve_refer(number, address, timeout, out)),
            ReferTarget::Leg(_) => self.send_refer(number, to, timeout, out),
        }
    }

    fn check_refer(&self, number: LegNumber, to: &ReferTarget) -> Result<(), StepError> {
        let leg = self.legs.check_talking(number)?;
        if leg.referring.is_some() {
            return Err(StepError::State(format!("the far end of leg {number} is being sent elsewhere already")));
        }
        match to {
            ReferTarget::Address(address) => self.check_target("to", address),
            ReferTarget::Leg(other) if *other == number => {
                Err(StepError::Argument(format!("to: leg {number} cannot take itself over")))
            }
            ReferTarget::Leg(other) => self.legs.check_talking(*other).map(|_| ()),
        }
    }

    /// The address is known to be one that may be called.
    pub(crate) fn send_refer(
        &mut self,
        number: LegNumber,
        to: ReferTarget,
        timeout: Duration,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        self.check_refer(number, &to)?;
        let (to, words) = match to {
            ReferTarget::Address(address) => (ReferTo::Address(address.clone()), address),
            ReferTarget::Leg(other) => {
                let other = self.legs.check_talking(other)?;
                (ReferTo::Leg(other.line.dialog), other.line.address.clone())
            }
        };
        let until = self.now.at + timeout;
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        if let Some(leg) = self.legs.get_mut(number) {
            leg.referring = Some(Referring { to: words, until });
            leg.line.command(LegAsk::Refer, out, |ask| LegCommand::Refer { ask, to, timeout_ms });
        }
        Ok(Wait::Refer(number))
    }

    /// Whether the far end will do it.
    pub(crate) fn refer_replied(&mut self, number: LegNumber, result: Result<(), Refused>, out: &mut Vec<Output>) {
        match result {
            // What it comes to is told by `refer_progress`.
            Ok(()) => {}
            Err(Refused::Answered { status, .. }) => self.refer_ended(number, Outcome::Status(status), out),
            Err(refused) => self.refer_ended(number, Outcome::Failed(refusal(refused)), out),
        }
    }

    pub(crate) fn refer_progress(&mut self, number: LegNumber, status: u16, is_final: bool, out: &mut Vec<Output>) {
        if is_final {
            self.refer_ended(number, Outcome::Status(status), out);
        }
    }

    pub(crate) fn refer_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        if self.legs.get(number).and_then(|leg| leg.referring.as_ref()).is_some_and(|refer| refer.until <= now) {
            self.refer_ended(number, Outcome::Failed(StepError::Timeout), out);
        }
    }

    fn refer_ended(&mut self, number: LegNumber, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(Referring { to, .. }) = self.legs.get_mut(number).and_then(|leg| leg.referring.take()) else {
            self.strays += 1;
            return;
        };
        let status = match &outcome {
            Outcome::Status(status) => *status,
            Outcome::Failed(StepError::Timeout) => 408,
            _ => 500,
        };
        self.record(Change::LegReferred { leg: number, to, status, remote: false }, out);
        self.finish(|wait| *wait == Wait::Refer(number), outcome, out);
    }
}

const TIMEOUT_MS: Millis = 60_000;
