//! REFER that a far end sends: the module is asked, answers, and dials; the far end is told how far
//! that has come.
//!
//! ```text
//!  Asked ── answer-refer 2xx ──▶ Accepted ── dial of that very target ──▶ Followed ── its end ──▶ told
//!    └─ another status, or 5 s          └─ nobody dials it in 60 s, or the leg ends ──▶ told
//! ```

use std::time::Duration;

use callbox_model::{
    Change, GuestEvent, Header, Instant, LegCommand, LegKey, LegNumber, Outcome, ReferRequest, Refused, StepError,
};

use crate::Output;
use crate::call::{Anchor, Call};
use crate::control::Wait;
use crate::line::LegAsk;
use crate::signalling::refusal;

#[derive(Debug)]
pub(crate) struct Referral {
    to: String,
    /// Who asks, as it says (RFC 3892).
    by: Option<String>,
    /// The leg of this node that `to` would replace.
    replaces: Option<LegKey>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Signalling refuses it by itself then.
    Asked {
        until: Instant,
    },
    Answering,
    Accepted {
        until: Instant,
    },
    /// A leg is dialled for it; its end is the end of this.
    Followed,
}

impl Referral {
    pub(crate) const fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self.stage {
            Stage::Asked { until } => Some((until, "the answer to a transfer")),
            Stage::Accepted { until } => Some((until, "the dial of a transfer")),
            Stage::Answering | Stage::Followed => None,
        }
    }
}

impl Call {
    pub(crate) fn referred(
        &mut self,
        number: LegNumber,
        to: String,
        by: Option<String>,
        replaces: Option<LegKey>,
        out: &mut Vec<Output>,
    ) {
        let until = self.now.at + ANSWER_WITHIN;
        let has_module = self.control.run().is_some() && self.is_live();
        let Some(leg) = self.legs.get_mut(number) else { return };
        // One at a time (RFC 3261 21.4.27 says "request pending"); and somebody must decide.
        let refused = match &leg.referral {
            Some(_) => Some(491),
            None if !has_module || !leg.stands() => Some(603),
            None => None,
        };
        if let Some(status) = refused {
            leg.line.command(LegAsk::AnswerRefer { status }, out, |ask| LegCommand::AnswerRefer { ask, status });
            return;
        }
        let stage = Stage::Asked { until };
        leg.referral = Some(Box::new(Referral { to: to.clone(), by, replaces, stage }));
        self.tell(GuestEvent::Refer(ReferRequest { leg: number, to }), out);
    }

    pub(crate) fn answer_refer(
        &mut self,
        number: LegNumber,
        status: u16,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        if !(200..=699).contains(&status) {
            return Err(StepError::Argument(format!("status: {status} is not within 200 to 699")));
        }
        self.legs.check(number)?;
        let Some(leg) = self.legs.get_mut(number) else { return Ok(Wait::AnswerRefer(number)) };
        let Some(referral) = leg.referral.as_mut().filter(|referral| matches!(referral.stage, Stage::Asked { .. }))
        else {
            return Err(StepError::State(format!("the far end of leg {number} asks for no transfer")));
        };
        referral.stage = Stage::Answering;
        // RFC 3515 2.4.4: 202 is what accepting it is called.
        let status = if status < 300 { 202 } else { status };
        leg.line.command(LegAsk::AnswerRefer { status }, out, |ask| LegCommand::AnswerRefer { ask, status });
        Ok(Wait::AnswerRefer(number))
    }

    pub(crate) fn referral_answered(
        &mut self,
        number: LegNumber,
        status: u16,
        result: Result<(), Refused>,
        out: &mut Vec<Output>,
    ) {
        let until = self.now.at + DIAL_WITHIN;
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(referral) = leg.referral.as_mut().filter(|referral| referral.stage == Stage::Answering) else {
            // One that was refused without asking.
            return;
        };
        let to = referral.to.clone();
        referral.stage = Stage::Accepted { until };
        if result.is_err() || status >= 300 {
            leg.referral = None;
        } else if number == 1 {
            // Its far end leaves by its own wish, and the module's: the others talk on.
            self.anchor = Anchor::Legs;
        }
        let outcome = match result {
            Ok(()) => {
                self.record(Change::LegReferred { leg: number, to, status, remote: true }, out);
                Outcome::Done
            }
            Err(refused) => Outcome::Failed(refusal(refused)),
        };
        self.finish(|wait| *wait == Wait::AnswerRefer(number), outcome, out);
    }

    /// The accepted transfer to this target, and what it would replace.
    pub(crate) fn find_referral(&self, target: &str) -> Option<(LegNumber, Option<LegKey>)> {
        self.legs.all.iter().find_map(|leg| {
            let referral = leg.referral.as_ref()?;
            let is_it = referral.to == target && matches!(referral.stage, Stage::Accepted { .. });
            is_it.then_some((leg.number, referral.replaces))
        })
    }

    /// That leg is dialled for it.
    pub(crate) fn follow_referral(&mut self, referrer: LegNumber, dialled: LegNumber, out: &mut Vec<Output>) {
        let referral = self.legs.get_mut(referrer).and_then(|leg| leg.referral.as_mut());
        let by = referral.and_then(|referral| {
            referral.stage = Stage::Followed;
            referral.by.take()
        });
        if let Some(dialling) = self.legs.get_mut(dialled).and_then(crate::leg::Leg::dialling) {
            dialling.referrer = Some(referrer);
            // RFC 3892 3: who is called is told at whose wish.
            dialling.headers.extend(by.map(|value| Header { name: "Referred-By".to_owned(), value }));
        }
        self.notify_referrer(referrer, 100, out);
    }

    pub(crate) fn notify_referrer(&mut self, referrer: LegNumber, status: u16, out: &mut Vec<Output>) {
        if let Some(leg) = self.legs.get_mut(referrer).filter(|leg| leg.stands() && leg.referral.is_some()) {
            leg.line.command(LegAsk::NotifyRefer, out, |ask| LegCommand::NotifyRefer { ask, status });
        }
    }

    /// Tells the last of it. One that was not answered is refused by signalling, or with its leg.
    pub(crate) fn end_referral(&mut self, referrer: LegNumber, status: u16, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get(referrer) else { return };
        let is_accepted = leg
            .referral
            .as_ref()
            .is_some_and(|referral| matches!(referral.stage, Stage::Accepted { .. } | Stage::Followed));
        if is_accepted {
            self.notify_referrer(referrer, status, out);
        }
        if let Some(leg) = self.legs.get_mut(referrer) {
            leg.referral = None;
        }
    }

    /// It came to nothing: who asked for it is still there, and leg 1 is what the call hangs on again.
    pub(crate) fn fail_referral(&mut self, referrer: LegNumber, status: u16, out: &mut Vec<Output>) {
        self.end_referral(referrer, status, out);
        if referrer == 1 && self.legs.get(1).is_some_and(crate::leg::Leg::stands) {
            self.anchor = Anchor::Leg1;
        }
    }

    pub(crate) fn referral_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(referral) = self.legs.get(number).and_then(|leg| leg.referral.as_ref()) else { return };
        if referral.deadline().is_none_or(|(until, _)| until > now) {
            return;
        }
        if matches!(referral.stage, Stage::Asked { .. }) {
            let to = referral.to.clone();
            self.record(Change::LegReferred { leg: number, to, status: 603, remote: true }, out);
        }
        self.fail_referral(number, 408, out);
    }
}

/// Then signalling has answered 603 (contract: `answer-refer`).
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a far end is left to believe in a transfer that nobody carries out.
const DIAL_WITHIN: Duration = Duration::from_secs(60);
