//! Leg 1 of a call that came in, from its offer to its answer: ring, answer, reject.
//!
//! ```text
//!            open              opened           reply ok        (late offer: ACK)
//!  Offered ─────▶ opening ─────────▶ 200 sent ─────────▶ ─ ─ ─ ─ ─ ─ ─ ─ ─ ▶ Answered
//! ```

use std::net::SocketAddr;

use callbox_model::{Change, Header, LegCommand, LegNumber, MediaCommand, Outcome, StepError};
use callbox_sdp::{Description, Direction};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::ending::LEAVE_WITHIN;
use crate::leg::{Leg, Signal, Sound, Then};
use crate::line::LegAsk;
use crate::sound::media_words;

impl Call {
    pub(crate) fn ring(&mut self, early_media: bool, out: &mut Vec<Output>) -> Result<Wait, StepError> {
        let leg = self.legs.check(1)?;
        if !leg.is_unanswered() {
            return Err(not_ringing(leg, "ring"));
        }
        if early_media && leg.offer.is_none() && leg.line.agreed.is_none() {
            return Err(StepError::State("early media needs an offer, and the INVITE had none".to_owned()));
        }
        if early_media {
            self.open_for(Then::Ring { status: 183 }, out)?;
        } else if let Some(leg) = self.legs.get_mut(1) {
            let ring = |ask| LegCommand::Ring { ask, status: 180, body: None };
            leg.line.command(LegAsk::Ring { status: 180 }, out, ring);
        }
        Ok(Wait::Ring)
    }

    pub(crate) fn answer(&mut self, headers: Vec<Header>, out: &mut Vec<Output>) -> Result<Option<Wait>, StepError> {
        let leg = self.legs.check(1)?;
        match leg.signal {
            Signal::Answered => Ok(None),
            // An earlier handler has begun it.
            Signal::Answering | Signal::AwaitingAnswer => Ok(Some(Wait::Answer)),
            Signal::Offered | Signal::Ringing(_) => {
                self.open_for(Then::Answer { headers }, out)?;
                Ok(Some(Wait::Answer))
            }
            Signal::Dialling(_) | Signal::Leaving { .. } | Signal::Ended(_) => Err(not_ringing(leg, "answer")),
        }
    }

    pub(crate) fn reject(
        &mut self,
        status: u16,
        reason: String,
        headers: Vec<Header>,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        let until = self.now.at + LEAVE_WITHIN;
        let leg = self.legs.check(1)?;
        if !leg.is_unanswered() {
            return Err(not_ringing(leg, "reject"));
        }
        if let Some(leg) = self.legs.get_mut(1) {
            leg.line.command(LegAsk::Reject, out, |ask| LegCommand::Reject { ask, status, reason, headers });
            leg.signal = Signal::Leaving { until, answered: false };
        }
        Ok(Wait::Reject)
    }

    fn open_for(&mut self, then: Then, out: &mut Vec<Output>) -> Result<(), StepError> {
        let Some(leg) = self.legs.get_mut(1) else { return Ok(()) };
        match &mut leg.sound {
            Sound::Silent => {
                if let (Some(offer), None) = (&leg.offer, &leg.line.agreed) {
                    // The port is not known yet; what they accept is.
                    let unknown = SocketAddr::new(leg.line.plan.local, 9);
                    let written = leg.line.session.clone().answer(offer, unknown, Direction::SendRecv);
                    let written = written.map_err(|error| StepError::Unavailable(error.to_string()))?;
                    leg.line.agreed = Some(written.agreed);
                }
                leg.line.media(MediaCommand::Open(leg.line.media_plan()), out);
                leg.sound = Sound::Opening(then);
                Ok(())
            }
            // The last wish counts: an answer is more than a ring.
            Sound::Opening(waiting) => {
                *waiting = then;
                Ok(())
            }
            Sound::Open(_) => {
                self.opened_then(then, out);
                Ok(())
            }
            Sound::Failed(fault) => Err(StepError::Unavailable(media_words(fault))),
            Sound::Closing { .. } | Sound::Gone => Err(not_ringing(leg, "answer")),
        }
    }

    pub(crate) fn opened_then(&mut self, then: Then, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(1) else { return };
        let Sound::Open(local) = leg.sound else { return };
        let body = match &leg.offer {
            Some(theirs) => match leg.line.session.answer(theirs, local, Direction::SendRecv) {
                Ok(written) => written.body,
                Err(error) => {
                    self.hang_up(Some(&error.to_string()), out);
                    return;
                }
            },
            None => leg.line.session.offer(local, Direction::SendRecv),
        };
        match then {
            Then::Ring { status } => {
                let ring = |ask| LegCommand::Ring { ask, status, body: Some(body) };
                leg.line.command(LegAsk::Ring { status }, out, ring);
            }
            Then::Answer { headers } => {
                leg.line.command(LegAsk::Answer, out, |ask| LegCommand::Answer { ask, body, headers });
                leg.signal = Signal::Answering;
            }
            // Of legs that we dial; leg 1 of this call was offered.
            Then::Dial => {}
        }
    }

    /// Signalling has sent our 200.
    pub(crate) fn answer_sent(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        match &mut leg.signal {
            Signal::Answering => {
                let is_agreed = leg.line.agreed.is_some();
                leg.signal = if is_agreed { Signal::Answered } else { Signal::AwaitingAnswer };
                self.ledger.answered(self.now, out);
                self.record(Change::CallAnswered, out);
                if is_agreed {
                    self.is_answered_now(number, out);
                }
            }
            // It is being hung up meanwhile: its end tells everybody.
            Signal::Leaving { answered, .. } => {
                *answered = true;
                self.ledger.answered(self.now, out);
                self.record(Change::CallAnswered, out);
            }
            _ => self.strays += 1,
        }
    }

    fn is_answered_now(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        self.sound_agreed(number, out);
        self.finish(|wait| matches!(wait, Wait::Answer), Outcome::Done, out);
        self.last_resort_answered(out);
    }

    /// The ACK. With a late offer, their answer is in it.
    pub(crate) fn confirmed(&mut self, number: LegNumber, body: Option<&[u8]>, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if !matches!(leg.signal, Signal::AwaitingAnswer) {
            return;
        }
        let agreed = match body {
            None => Err("the ACK brought no answer to our offer".to_owned()),
            Some(bytes) => Description::read(bytes)
                .and_then(|answer| leg.line.session.accept(&answer, Direction::SendRecv))
                .map_err(|error| error.to_string()),
        };
        match agreed {
            Ok(agreed) => {
                leg.signal = Signal::Answered;
                self.agree(number, agreed, Direction::SendRecv, out);
                self.is_answered_now(number, out);
            }
            Err(why) => {
                let outcome = Outcome::Failed(StepError::Unavailable(why.clone()));
                self.finish(|wait| matches!(wait, Wait::Answer), outcome, out);
                self.hang_up_leg(number, Some(why), out);
            }
        }
    }
}

fn not_ringing(leg: &Leg, what: &str) -> StepError {
    match &leg.signal {
        Signal::Ended(cause) => StepError::Ended(cause.clone()),
        Signal::Leaving { .. } => StepError::State(format!("cannot {what}: the call is being hung up")),
        _ => StepError::State(format!("cannot {what}: the call is answered")),
    }
}
