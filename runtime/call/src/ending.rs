//! How a leg ends, and how the call ends.
//!
//! A leg that ends ends its own plays, gathers, recordings and its bridge, and nothing else: what
//! becomes of the legs it talked with is the module's to say. The call ends with leg 1. Where leg 1
//! was given to another call, or where the module let its far end transfer itself out (a 2xx of
//! `answer-refer`), the call ends when no leg is left. With the call, all its legs are hung up.

use std::time::Duration;

use callbox_model::{
    Change, EndCause, GuestEvent, LegChange, LegCommand, LegNumber, LegState, Now, Outcome, StepError,
};

use crate::Output;
use crate::call::{Anchor, Call};
use crate::control::Wait;
use crate::leg::{Departed, Signal, Sound};
use crate::line::LegAsk;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What the call hangs on stands.
    Live,
    /// The call is over; legs leave, the module writes its notes, the last figures come in.
    Closing {
        cause: EndCause,
        duration_us: u64,
        connected_us: u64,
    },
    Over,
}

impl Stage {
    /// Why the call is over.
    pub(crate) const fn cause(&self) -> Option<&EndCause> {
        match self {
            Self::Closing { cause, .. } => Some(cause),
            Self::Live | Self::Over => None,
        }
    }
}

impl Call {
    pub(crate) fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Ends every leg, and so the call.
    pub(crate) fn hang_up(&mut self, reason: Option<&str>, out: &mut Vec<Output>) {
        // The call's own leg comes last: its end is the call's.
        for place in (0..self.legs.all.len()).rev() {
            if let Some(number) = self.legs.all.get(place).map(|leg| leg.number) {
                self.hang_up_leg(number, reason.map(str::to_owned), out);
            }
        }
    }

    /// Ends the leg in whatever state it is. Does nothing to one that is ending. One that is on offer
    /// is hung up should it come back.
    pub(crate) fn hang_up_leg(&mut self, number: LegNumber, reason: Option<String>, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if !leg.stands() {
            return;
        }
        if let Some(giving) = leg.giving.as_mut().filter(|giving| giving.is_offered()) {
            giving.hang_up(reason);
            return;
        }
        if matches!(leg.signal, Signal::Dialling(_)) {
            self.stop_dialling(number, out);
            let reason = reason.unwrap_or_else(|| "cancelled".to_owned());
            self.leg_ended(number, EndCause { status: 487, reason, remote: false }, out);
            return;
        }
        self.stop_giving(number, "the leg is being hung up", out);
        self.stop_replacing(number, out);
        self.end_referral(number, 487, out);
        let Some(leg) = self.legs.get_mut(number) else { return };
        let until = self.now.at + LEAVE_WITHIN;
        leg.line.command(LegAsk::Hangup, out, |ask| LegCommand::Hangup { ask, reason });
        leg.signal = Signal::Leaving { until, answered: leg.is_answered() };
    }

    /// It is over. What the module was waiting for from it ends with it.
    pub(crate) fn leg_ended(&mut self, number: LegNumber, cause: EndCause, out: &mut Vec<Output>) {
        let outcome = Outcome::Failed(StepError::Ended(cause.clone()));
        self.finish(|wait| wait.is_of_leg(number), outcome, out);
        self.finish(|wait| *wait == Wait::Hangup(number), Outcome::Done, out);
        self.stop_giving(number, "the leg is over", out);
        self.stop_replacing(number, out);
        let Some(leg) = self.legs.get_mut(number) else { return };
        leg.line.asks.clear();
        leg.pressing = None;
        leg.referring = None;
        let referrer = leg.dialling().and_then(|dialling| dialling.referrer.take());
        leg.referral = None;
        leg.signal = Signal::Ended(cause.clone());
        self.record(Change::LegEnded { leg: number, cause: cause.clone() }, out);
        self.unjoin(number, out);
        self.end_gather(number, out);
        // Plays and recordings are ended by media itself, with the port.
        self.close_sound(number, out);
        self.mailbox.let_all_go(number);
        if let Some(referrer) = referrer {
            self.fail_referral(referrer, if cause.status >= 300 { cause.status } else { 487 }, out);
        }
        if !self.is_live() {
            return;
        }
        let is_last = match self.anchor {
            Anchor::Leg1 => number == 1,
            Anchor::Legs => self.legs.standing() == 0,
        };
        if is_last {
            self.call_ended(cause, out);
        } else {
            self.tell_leg(number, LegState::Ended(cause), out);
        }
    }

    pub(crate) fn tell_leg(&mut self, leg: LegNumber, state: LegState, out: &mut Vec<Output>) {
        if self.is_live() {
            self.tell(GuestEvent::Leg(LegChange { leg, state }), out);
        }
    }

    pub(crate) fn call_ended(&mut self, cause: EndCause, out: &mut Vec<Output>) {
        let (duration_us, connected_us) =
            (self.now.at.since(self.started).as_micros() as u64, self.ledger.connected_us(self.now));
        self.stage = Stage::Closing { cause: cause.clone(), duration_us, connected_us };
        self.resolving = None;
        for place in 0..self.legs.all.len() {
            if let Some(number) = self.legs.all.get(place).map(|leg| leg.number) {
                self.leave_with_the_call(number, out);
            }
        }
        self.mailbox.end(cause.clone());
        let boundary = self.frame_boundary(out);
        self.ledger.release(self.now, boundary);
        self.finish(|wait| !matches!(wait, Wait::Next { .. }), Outcome::Failed(StepError::Ended(cause)), out);
        self.deliver(out);
        self.begin_grace(out);
    }

    /// A leg whose call is over: nothing is heard on it from this moment on. One that is on offer
    /// is its next owner's, should that take it.
    pub(crate) fn leave_with_the_call(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if leg.is_on_offer() || leg.ended().is_some() {
            return;
        }
        self.hang_up_leg(number, None, out);
        self.unjoin(number, out);
        self.drop_gather(number, out);
        self.close_sound(number, out);
    }

    /// Lets go of legs that are gone, and closes what can be closed. The call's own end is the last
    /// thing written.
    pub(crate) fn settle(&mut self, out: &mut Vec<Output>) {
        while let Some(number) = self.legs.all.iter().find(|leg| leg.is_gone()).map(|leg| leg.number) {
            self.let_go(number, out);
        }
        self.ledger.settle(self.now, out);
        let Stage::Closing { cause, duration_us, connected_us } = &self.stage else { return };
        let is_settled = self.control.is_over() && self.ledger.is_settled();
        if !(is_settled && self.legs.all.is_empty() && self.husks.is_empty()) {
            return;
        }
        let change = Change::CallEnded {
            cause: cause.clone(),
            answered: self.ledger.is_answered(),
            duration_us: *duration_us,
            connected_us: *connected_us,
        };
        self.record(change, out);
        self.stage = Stage::Over;
        out.push(Output::Over);
    }

    fn let_go(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        self.forget_plays(number, out);
        self.forget_recording(number, out);
        let cause = self.legs.get(number).and_then(|leg| leg.ended().cloned());
        let Some(cause) = cause else { return };
        let Some(leg) = self.legs.depart(number, Departed::Ended(cause)) else { return };
        self.past = crate::frames::plus(self.past, leg.frames());
        if number == 1 {
            self.origin.keep_headers(leg.line.headers);
        }
        if self.is_live() {
            self.forget(leg.line.port, out);
            if leg.line.dialog != leg.line.port {
                self.forget(leg.line.dialog, out);
            }
        }
    }

    pub(crate) fn legs_tick(&mut self, out: &mut Vec<Output>) {
        for place in 0..self.legs.all.len() {
            let Some(leg) = self.legs.all.get(place) else { return };
            let number = leg.number;
            if leg.deadline().is_none_or(|(at, _)| at > self.now.at) {
                continue;
            }
            self.leg_tick(number, out);
        }
    }

    fn leg_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now;
        let Some(leg) = self.legs.get_mut(number) else { return };
        if leg.line.limit.is_some_and(|at| at <= now.at) {
            leg.line.limit = None;
            self.hang_up_leg(number, Some("its time is over".to_owned()), out);
        }
        self.signal_tick(number, now, out);
        self.dial_tick(number, out);
        self.gather_tick(number, out);
        self.secret_tick(number, out);
        self.press_tick(number, out);
        self.refer_tick(number, out);
        self.referral_tick(number, out);
        self.give_tick(number, out);
    }

    fn signal_tick(&mut self, number: LegNumber, now: Now, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get(number) else { return };
        if let Signal::Leaving { until, .. } = leg.signal
            && until <= now.at
        {
            // Signalling owes us an end; a call never waits for ever.
            let reason = "the far end did not answer our good-bye".to_owned();
            self.leg_ended(number, EndCause { status: 0, reason, remote: false }, out);
        }
        let Some(leg) = self.legs.get_mut(number) else { return };
        if let Sound::Closing { until } = leg.sound
            && until <= now.at
        {
            leg.sound = Sound::Gone;
            self.counted_last(number, None);
        }
    }
}

/// Signalling gives up after 32 s (RFC 3261 timer F); then it has told us.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_secs(40);
