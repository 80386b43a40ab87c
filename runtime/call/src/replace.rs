//! A far end takes the place of another (RFC 3891): the leg keeps its number, its port, its bridge,
//! what plays and what is recorded; only who is at the other end changes. Sound goes on unbroken.
//!
//! The new one is answered first; once that is through, the old one is hung up.

use callbox_model::{Change, LegCommand, LegEvent, LegKey, LegNumber, MediaPlan, Offered, Outcome, StepError};
use callbox_sdp::{Agreed, Description, Session};

use crate::Output;
use crate::call::Call;
use crate::leg::Signal;

/// Who is coming.
#[derive(Debug)]
pub(crate) struct Replacing {
    pub(crate) key: LegKey,
    offered: Box<Offered>,
    session: Session,
    /// None until the ACK brings their answer (late offer).
    agreed: Option<Agreed>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Our 200 is being sent.
    Answering,
    /// It held the offer; theirs comes with the ACK.
    AwaitingAnswer,
}

impl Call {
    /// Somebody new, for a leg that was ours when the node looked.
    pub(crate) fn wants_place(&mut self, key: LegKey, offered: Box<Offered>, out: &mut Vec<Output>) {
        out.push(Output::Own { leg: key });
        let replaced = offered.replaces.and_then(|old| self.legs.by_dialog(old)).map(|leg| leg.number);
        let Some(number) = replaced else {
            self.shed_offer(key, 481, "that leg is gone", out);
            return;
        };
        if self.legs.get(number).is_some_and(crate::leg::Leg::is_on_offer) {
            self.keep_for_owner(number, key, crate::Passed::Leg(LegEvent::Offered(offered)));
            return;
        }
        match self.replacing(number, key, offered) {
            Ok((replacing, body)) => {
                out.push(Output::Leg(key, LegCommand::Answer { ask: ANSWER_ASK, body, headers: Vec::new() }));
                if let Some(leg) = self.legs.get_mut(number) {
                    leg.replacing = Some(Box::new(replacing));
                }
            }
            Err((status, why)) => self.shed_offer(key, status, &why, out),
        }
    }

    /// The session with the new far end, and what we say to it.
    fn replacing(
        &self,
        number: LegNumber,
        key: LegKey,
        offered: Box<Offered>,
    ) -> Result<(Replacing, Vec<u8>), (u16, String)> {
        let leg = self.legs.get(number).filter(|leg| matches!(leg.signal, Signal::Answered));
        let leg = leg.ok_or((481, "that leg is not answered".to_owned()))?;
        let local = leg.local().ok_or((481, "that leg has no sound".to_owned()))?;
        if leg.replacing.is_some() || leg.giving.is_some() {
            return Err((491, "that leg is being taken over already".to_owned()));
        }
        let mut session = Session::new(self.session_number() ^ key.0);
        let wants = leg.line.wants;
        let (body, agreed) = match offered.offer.as_deref() {
            None => (session.offer(local, wants), None),
            Some(offer) => {
                let written = Description::read(offer).and_then(|offer| session.answer(&offer, local, wants));
                let written = written.map_err(|error| (488, error.to_string()))?;
                (written.body, Some(written.agreed))
            }
        };
        Ok((Replacing { key, offered, session, agreed, stage: Stage::Answering }, body))
    }

    pub(crate) fn replacing_event(&mut self, number: LegNumber, event: LegEvent, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(replacing) = &mut leg.replacing else { return };
        match event {
            LegEvent::Reply { result: Ok(()), .. } if replacing.agreed.is_some() => self.replace(number, out),
            LegEvent::Reply { result: Ok(()), .. } => replacing.stage = Stage::AwaitingAnswer,
            LegEvent::Confirmed { body } if replacing.stage == Stage::AwaitingAnswer => {
                let answer = body.as_deref().map(Description::read).and_then(Result::ok);
                let wants = leg.line.wants;
                replacing.agreed = answer.and_then(|answer| replacing.session.accept(&answer, wants).ok());
                if replacing.agreed.is_some() {
                    self.replace(number, out);
                } else {
                    self.stop_replacing(number, out);
                }
            }
            LegEvent::Ended(_) | LegEvent::Reply { result: Err(_), .. } => {
                out.push(Output::Forget { leg: replacing.key });
                leg.replacing = None;
            }
            _ => self.strays += 1,
        }
    }

    /// It is there.
    fn replace(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        self.end_referral(number, 487, out);
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(replacing) = leg.replacing.take() else { return };
        let Replacing { key, offered, session, agreed, .. } = *replacing;
        let Offered { caller, headers, peer, media_networks, .. } = *offered;
        let line = &mut leg.line;
        let old = std::mem::replace(&mut line.dialog, key);
        // What the old far end was asked, it does not answer any more.
        line.asks.clear();
        line.session = session;
        let old_headers = std::mem::replace(&mut line.headers, headers);
        if number == 1 {
            self.origin.keep_headers(old_headers);
        }
        line.address.clone_from(&caller);
        line.plan = MediaPlan {
            tenant: line.plan.tenant,
            local: line.plan.local,
            peer,
            networks: media_networks,
            remote: None,
        };
        let wants = line.wants;
        leg.referring = None;
        self.record(Change::LegReplaced { leg: number, address: caller }, out);
        if let Some(agreed) = agreed {
            self.agree(number, agreed, wants, out);
        }
        self.sound_agreed(number, out);
        self.shed_dialog(old, Some("replaced".to_owned()), out);
        let outcome = Outcome::Failed(StepError::State(format!("another far end has taken the place of leg {number}")));
        self.stop_infos(number, &outcome, out);
        self.finish(|wait| wait.is_of_dialog(number), outcome, out);
    }

    /// Its leg is over, or it has not said what it can hear: it is sent away.
    pub(crate) fn stop_replacing(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        if let Some(replacing) = self.legs.get_mut(number).and_then(|leg| leg.replacing.take()) {
            self.shed_dialog(replacing.key, None, out);
        }
    }
}

/// Of the one command that the new dialog has had.
const ANSWER_ASK: u32 = 0;
