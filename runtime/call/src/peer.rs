//! What calls say to each other. None ever touches another's state.

use callbox_model::{CallId, LegKey, LegNumber, Outcome, StepError};

use crate::border::NO_SUCH_CALL;
use crate::call::Call;
use crate::control::Wait;
use crate::give::parse_call;
use crate::leg::Signal;
use crate::{Output, PeerMessage};

impl Call {
    pub(crate) fn send(&mut self, to: &str, body: String, out: &mut Vec<Output>) -> Result<Wait, StepError> {
        let to = parse_call(to)?;
        if body.len() > MOST_BODY_BYTES {
            return Err(StepError::Argument(format!("body: {} bytes, more than {MOST_BODY_BYTES}", body.len())));
        }
        let ask = self.next_ask();
        out.push(Output::Peer(to, PeerMessage::Send { tenant: self.tenant, ask, body }));
        Ok(Wait::Send(ask))
    }

    pub(crate) fn peer_message(&mut self, from: CallId, message: PeerMessage, out: &mut Vec<Output>) {
        // Calls of others do not exist.
        let is_of_another = match &message {
            PeerMessage::Offer { tenant, .. } | PeerMessage::Send { tenant, .. } | PeerMessage::Take { tenant, .. } => {
                *tenant != self.tenant
            }
            _ => false,
        };
        if is_of_another {
            self.strays += 1;
            out.extend(message.undelivered().map(|back| Output::Peer(from, back)));
            return;
        }
        match message {
            PeerMessage::Offer { leg, ask, .. } => self.adopt(from, *leg, ask, out),
            PeerMessage::Adopted { leg } => self.adopted(from, leg, out),
            PeerMessage::Declined { leg, why } => self.declined(from, leg, &why, out),
            PeerMessage::Send { ask, body, .. } => {
                let result = self.take_message(from, body, out);
                out.push(Output::Peer(from, PeerMessage::Sent { ask, result }));
            }
            PeerMessage::Sent { ask, result } => {
                let outcome = match result {
                    Ok(()) => Outcome::Done,
                    Err(why) => Outcome::Failed(StepError::Unavailable(why)),
                };
                self.finish(|wait| *wait == Wait::Send(ask), outcome, out);
            }
            PeerMessage::Take { ask, replaced, .. } => self.taken(from, ask, replaced, out),
            PeerMessage::NotTaken { ask, why } => self.not_taken(ask, &why, out),
        }
    }

    fn take_message(&mut self, from: CallId, body: String, out: &mut Vec<Output>) -> Result<(), String> {
        if !self.is_live() {
            return Err(NO_SUCH_CALL.to_owned());
        }
        if self.message(from.to_string(), body, out) {
            Ok(())
        } else {
            Err("too many messages wait for the module there".to_owned())
        }
    }

    // An attended transfer between two calls: the leg that is dialled comes from the other.

    /// The leg that will be another call's, under the number it is known by.
    pub(crate) fn dial_by_taking(
        &mut self,
        referrer: LegNumber,
        replaced: LegKey,
        options: callbox_model::DialOptions,
        target: String,
        out: &mut Vec<Output>,
    ) -> LegNumber {
        let number = self.add_dialled(vec![target], options, out);
        let ask = self.next_ask();
        if let Some(dialling) = self.legs.get_mut(number).and_then(crate::leg::Leg::dialling) {
            dialling.taking = Some(ask);
        }
        let tenant = self.tenant;
        out.push(Output::PeerOfLeg(replaced, PeerMessage::Take { tenant, ask, replaced }));
        self.follow_referral(referrer, number, out);
        number
    }

    /// The leg that waits for this.
    pub(crate) fn taking(&self, ask: u32) -> Option<LegNumber> {
        let waits =
            |leg: &&crate::leg::Leg| matches!(&leg.signal, Signal::Dialling(dialling) if dialling.taking == Some(ask));
        self.legs.all.iter().find(waits).map(|leg| leg.number)
    }

    fn not_taken(&mut self, ask: u32, why: &str, out: &mut Vec<Output>) {
        match self.taking(ask) {
            Some(number) => {
                let cause = callbox_model::EndCause { status: 481, reason: why.to_owned(), remote: false };
                self.leg_ended(number, cause, out);
            }
            None => self.strays += 1,
        }
    }
}

/// Of one message between calls.
const MOST_BODY_BYTES: usize = 64 << 10;
