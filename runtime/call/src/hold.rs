//! Hold and resume: our re-INVITE, and its answer.
//!
//! RFC 3264 8.4: who holds sends on (music, for example) and wants nothing back; where the far end
//! holds us as well, nothing flows either way. A leg is shown as held while either side holds it.

use callbox_model::{LegCommand, LegNumber, Outcome, StepError};
use callbox_sdp::Direction;

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::line::{Held, LegAsk};
use crate::steps::Answer;

impl Call {
    pub(crate) fn hold(&mut self, number: LegNumber, out: &mut Vec<Output>) -> Result<Answer, StepError> {
        let leg = self.legs.check_talking(number)?;
        let wants = match leg.line.held {
            Held::No => Direction::SendOnly,
            Held::ByThem => Direction::Inactive,
        };
        if leg.line.is_held_by_us() {
            return Ok(Answer::Now(Outcome::Done));
        }
        self.want(number, wants, out).map(Answer::When)
    }

    pub(crate) fn resume(&mut self, number: LegNumber, out: &mut Vec<Output>) -> Result<Answer, StepError> {
        let leg = self.legs.check_talking(number)?;
        if !leg.line.is_held_by_us() {
            return Ok(Answer::Now(Outcome::Done));
        }
        self.want(number, Direction::SendRecv, out).map(Answer::When)
    }

    fn want(&mut self, number: LegNumber, wants: Direction, out: &mut Vec<Output>) -> Result<Wait, StepError> {
        let Some(leg) = self.legs.get_mut(number) else { return Err(StepError::State("no such leg".to_owned())) };
        if leg.line.asks.change().is_some() {
            return Err(StepError::State(format!("leg {number} is being held or resumed already")));
        }
        if let Some(local) = leg.local() {
            let body = leg.line.session.offer(local, wants);
            leg.line.command(LegAsk::Change { wants }, out, |ask| LegCommand::Reoffer { ask, body });
        }
        Ok(Wait::Hold(number))
    }

    /// The answer to our re-INVITE. The reply to the command follows.
    pub(crate) fn reanswered(&mut self, number: LegNumber, body: Option<&[u8]>, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get(number) else { return };
        match (leg.line.asks.change(), body) {
            (Some(wants), Some(body)) => self.take_answer(number, body, wants, out),
            (Some(_), None) => {
                let why = "the answer to our re-INVITE has no session description".to_owned();
                self.finish(
                    |wait| *wait == Wait::Hold(number),
                    Outcome::Failed(StepError::Unavailable(why.clone())),
                    out,
                );
                self.hang_up_leg(number, Some(why), out);
            }
            (None, _) => self.strays += 1,
        }
    }
}
