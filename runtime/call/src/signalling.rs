//! What signalling tells of a leg, and of the commands it was given.

use callbox_model::{Change, LegCommand, LegEvent, LegKey, LegNumber, Outcome, Refused, StepError};
use callbox_sdp::Description;

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::leg::{Signal, Whose};
use crate::line::LegAsk;

impl Call {
    pub(crate) fn leg_input(&mut self, key: LegKey, event: LegEvent, out: &mut Vec<Output>) {
        match self.legs.whose(key) {
            Some(Whose::Dialog(number)) => self.leg_event(number, key, event, out),
            Some(Whose::Attempt(number)) => self.attempt_event(number, key, event, out),
            Some(Whose::Replacing(number)) => self.replacing_event(number, event, out),
            Some(Whose::OnOffer(number)) => self.keep_for_owner(number, key, crate::Passed::Leg(event)),
            None => match event {
                LegEvent::Offered(offered) => self.wants_place(key, offered, out),
                other => self.husk_event(key, &other, out),
            },
        }
    }

    fn leg_event(&mut self, number: LegNumber, key: LegKey, event: LegEvent, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if leg.is_on_offer() {
            self.keep_for_owner(number, key, crate::Passed::Leg(event));
            return;
        }
        if leg.ended().is_some() {
            self.strays += 1;
            return;
        }
        match event {
            LegEvent::Reply { ask, result } => match leg.line.asks.take(ask) {
                Some(kind) => self.leg_reply(number, kind, result, out),
                None => self.strays += 1,
            },
            LegEvent::Confirmed { body } => self.confirmed(number, body.as_deref(), out),
            LegEvent::Reoffered { body } => self.reoffered(number, body.as_deref(), out),
            LegEvent::Reconfirmed { body } => self.reconfirmed(number, &body, out),
            LegEvent::Reanswered { body } => self.reanswered(number, body.as_deref(), out),
            LegEvent::Digit { digit, length_ms } => {
                self.digit_began(number, digit, out);
                self.digit_ended(number, digit, length_ms, out);
            }
            LegEvent::Referred { to, by, replaces } => self.referred(number, to, by, replaces, out),
            LegEvent::ReferProgress { status, is_final } => self.refer_progress(number, status, is_final, out),
            LegEvent::Ended(cause) => self.leg_ended(number, cause, out),
            // Of legs that are offered once and of those that are being dialled: this one is neither.
            LegEvent::Offered(_) | LegEvent::Ringing { .. } | LegEvent::Answered { .. } => self.strays += 1,
        }
        self.give_on(number, out);
    }

    fn leg_reply(&mut self, number: LegNumber, kind: LegAsk, result: Result<(), Refused>, out: &mut Vec<Output>) {
        match (kind, result) {
            (LegAsk::Ring { status }, Ok(())) => {
                if let Some(leg) = self.legs.get_mut(number).filter(|leg| leg.is_unanswered()) {
                    leg.signal = Signal::Ringing(status);
                }
                self.record(Change::CallRinging { status }, out);
                self.finish(|wait| matches!(wait, Wait::Ring), Outcome::Done, out);
            }
            (LegAsk::Ring { .. }, Err(refused)) => {
                self.finish(|wait| matches!(wait, Wait::Ring), Outcome::Failed(refusal(refused)), out);
            }
            (LegAsk::Answer, Ok(())) => self.answer_sent(number, out),
            (LegAsk::Answer, Err(refused)) => {
                if let Some(leg) = self.legs.get_mut(number)
                    && matches!(leg.signal, Signal::Answering)
                {
                    leg.signal = Signal::Offered;
                }
                let outcome = Outcome::Failed(refusal(refused));
                self.finish(|wait| matches!(wait, Wait::Answer), outcome, out);
            }
            (LegAsk::Reject | LegAsk::Hangup, Ok(())) => self.finish_leaving(number, Outcome::Done, out),
            // A leg that is gone has told, or will tell, of its end. One that cannot be put to an
            // end with these words is put to an end without them.
            (LegAsk::Reject | LegAsk::Hangup, Err(Refused::Invalid(why))) => {
                self.finish_leaving(number, Outcome::Failed(StepError::Argument(why)), out);
                if let Some(leg) = self.legs.get_mut(number) {
                    leg.line.command(LegAsk::Hangup, out, |ask| LegCommand::Hangup { ask, reason: None });
                }
            }
            (LegAsk::Reject | LegAsk::Hangup, Err(refused)) => {
                self.finish_leaving(number, Outcome::Failed(refusal(refused)), out);
            }
            (LegAsk::Reoffer | LegAsk::NotifyRefer | LegAsk::Dial, Ok(())) => {}
            (LegAsk::Reoffer | LegAsk::NotifyRefer | LegAsk::Dial, Err(_)) => self.strays += 1,
            (LegAsk::Change { .. }, result) => {
                let outcome = result.map_or_else(|refused| Outcome::Failed(refusal(refused)), |()| Outcome::Done);
                self.finish(|wait| *wait == Wait::Hold(number), outcome, out);
            }
            (LegAsk::Refer, result) => self.refer_replied(number, result, out),
            (LegAsk::AnswerRefer { status }, result) => self.referral_answered(number, status, result, out),
            (LegAsk::Info, result) => self.info_replied(number, result, out),
        }
    }

    fn finish_leaving(&mut self, number: LegNumber, outcome: Outcome, out: &mut Vec<Output>) {
        self.finish(|wait| *wait == Wait::Hangup(number) || (number == 1 && *wait == Wait::Reject), outcome, out);
    }

    // Their changes of a session that stands.

    fn reoffered(&mut self, number: LegNumber, body: Option<&[u8]>, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(leg) = self.legs.get_mut(number) else { return };
        let (count, since) = &mut leg.reoffers;
        if now.since(*since) >= REOFFERS_WITHIN {
            (*count, *since) = (0, now);
        }
        *count += 1;
        let is_too_often = *count > MOST_REOFFERS;
        let Some(local) = leg.local().filter(|_| !is_too_often) else {
            leg.line.command(LegAsk::Reoffer, out, |ask| LegCommand::RefuseReoffer { ask, status: 500 });
            return;
        };
        let wants = leg.line.wants;
        let Some(body) = body else {
            // RFC 3264 8: asked for an offer, we offer all that we want.
            let body = leg.line.session.offer(local, wants);
            leg.line.command(LegAsk::Reoffer, out, |ask| LegCommand::AnswerReoffer { ask, body });
            return;
        };
        let written =
            Description::read(body).and_then(|offer| Ok((leg.line.session.answer(&offer, local, wants)?, offer)));
        match written {
            Ok((written, offer)) => {
                // Before our own answer, this is what that answers (UPDATE, RFC 3311).
                leg.offer = leg.is_unanswered().then_some(offer);
                let body = written.body;
                leg.line.command(LegAsk::Reoffer, out, |ask| LegCommand::AnswerReoffer { ask, body });
                self.agree(number, written.agreed, wants, out);
            }
            // RFC 3261 14.2: the session stays as it was.
            Err(_) => leg.line.command(LegAsk::Reoffer, out, |ask| LegCommand::RefuseReoffer { ask, status: 488 }),
        }
    }

    fn reconfirmed(&mut self, number: LegNumber, body: &[u8], out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let wants = leg.line.wants;
        self.take_answer(number, body, wants, out);
    }

    /// Their answer to an offer of ours: it is what counts, or the leg's end.
    pub(crate) fn take_answer(
        &mut self,
        number: LegNumber,
        body: &[u8],
        wants: callbox_sdp::Direction,
        out: &mut Vec<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(number).filter(|leg| leg.local().is_some()) else {
            self.strays += 1;
            return;
        };
        match Description::read(body).and_then(|answer| leg.line.session.accept(&answer, wants)) {
            Ok(agreed) => self.agree(number, agreed, wants, out),
            Err(error) => self.hang_up_leg(number, Some(error.to_string()), out),
        }
    }
}

pub(crate) fn refusal(refused: Refused) -> StepError {
    match refused {
        Refused::State(state) => StepError::State(format!("the leg is {state}")),
        Refused::Gone => StepError::State("the leg is gone".to_owned()),
        Refused::Invalid(why) => StepError::Argument(why),
        Refused::Answered { status, reason } => {
            StepError::State(format!("the far end answered {status} {reason}").trim_end().to_owned())
        }
        Refused::Denied(why) => StepError::Denied(why),
        Refused::Unavailable(why) => StepError::Unavailable(why),
    }
}

/// Of one far end in a minute: each is written down. Nobody presses hold so often.
const MOST_REOFFERS: u32 = 60;
const REOFFERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
