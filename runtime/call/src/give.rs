//! Giving a leg to another call, which may live on another lane. It has one owner at every moment.
//!
//! ```text
//!  Clearing ──────────────▶ Counting ───────────────▶ Offered ── Adopted ──▶ another call's
//!  its bridge, plays and    its frames so far are     it is frozen: what      └ Declined ──▶ ours again
//!  recordings come to an    ours, later ones the      comes of it waits
//!  end                      next owner's              for its owner
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use callbox_model::{
    BridgeDigits, CallId, Change, EndCause, Instant, LegEvent, LegKey, LegNumber, LegState, MediaCommand, MediaEvent,
    Outcome, StepError,
};

use crate::bridge::Pair;
use crate::call::{Anchor, Call};
use crate::control::Wait;
use crate::leg::{Departed, Leg, Sound};
use crate::{GivenLeg, Output, Passed, PeerMessage};

#[derive(Debug)]
pub(crate) struct Giving {
    to: CallId,
    why: Why,
    stage: Stage,
    back: Back,
}

/// What becomes of it, should it come back.
#[derive(Debug, PartialEq, Eq)]
enum Back {
    Keep,
    HangUp { reason: Option<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// By `give`.
    Step,
    /// Another call's far end takes the place of `replaced`, and asked for who talks with it.
    Taken { ask: u32, replaced: LegNumber, digits: BridgeDigits },
}

#[derive(Debug)]
enum Stage {
    Clearing { until: Instant },
    Counting { until: Instant },
    Offered { waiting: VecDeque<(LegKey, Passed)> },
}

impl Giving {
    pub(crate) const fn is_offered(&self) -> bool {
        matches!(self.stage, Stage::Offered { .. })
    }

    pub(crate) fn hang_up(&mut self, reason: Option<String>) {
        self.back = Back::HangUp { reason };
    }

    pub(crate) fn has(&self, key: LegKey) -> bool {
        match &self.stage {
            Stage::Offered { waiting } => waiting.iter().any(|(waits, _)| *waits == key),
            Stage::Clearing { .. } | Stage::Counting { .. } => false,
        }
    }

    pub(crate) const fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self.stage {
            Stage::Clearing { until } => Some((until, "the end of what plays on a leg that is given away")),
            Stage::Counting { until } => Some((until, "the count of a leg that is given away")),
            // The other call always answers, and where there is none, the node does.
            Stage::Offered { .. } => None,
        }
    }
}

impl Call {
    pub(crate) fn give(&mut self, number: LegNumber, to: &str, out: &mut Vec<Output>) -> Result<Wait, StepError> {
        let to = parse_call(to)?;
        if to == self.id {
            return Err(StepError::Argument("to: the leg is this call's already".to_owned()));
        }
        self.check_givable(number).map_err(StepError::State)?;
        self.begin_to_give(number, to, Why::Step, out);
        Ok(Wait::Give(number))
    }

    /// Another call wants who talks with the leg of this dialog.
    pub(crate) fn taken(&mut self, from: CallId, ask: u32, replaced: LegKey, out: &mut Vec<Output>) {
        let found = self.legs.by_dialog(replaced).map(|leg| (leg.number, leg.joined.pair()));
        let partner = match found {
            Some((number, Some(Pair { with, digits, .. }))) if self.is_live() => {
                self.check_givable(with).map(|()| (with, Why::Taken { ask, replaced: number, digits }))
            }
            Some(_) => Err("nobody talks with that leg".to_owned()),
            None => Err("there is no such leg".to_owned()),
        };
        match partner {
            Ok((partner, why)) => self.begin_to_give(partner, from, why, out),
            Err(why) => out.push(Output::Peer(from, PeerMessage::NotTaken { ask, why })),
        }
    }

    fn check_givable(&self, number: LegNumber) -> Result<(), String> {
        let leg = self.legs.check_talking(number).map_err(|error| match error {
            StepError::State(why) => why,
            _ => format!("leg {number} is over"),
        })?;
        if leg.pressing.is_some() {
            return Err(format!("digits are being sent to leg {number}"));
        }
        if self.husks.has(leg.line.port)
            || leg.replacing.is_some()
            || leg.referring.is_some()
            || leg.line.asks.are_of_far_end()
        {
            return Err(format!("the far end of leg {number} is being asked something"));
        }
        Ok(())
    }

    fn begin_to_give(&mut self, number: LegNumber, to: CallId, why: Why, out: &mut Vec<Output>) {
        self.end_referral(number, 487, out);
        self.part_legs(number, out);
        self.end_gather(number, out);
        self.stop_sounds(number, out);
        self.mailbox.let_all_go(number);
        let until = self.now.at + CLEAR_WITHIN;
        if let Some(leg) = self.legs.get_mut(number) {
            leg.giving = Some(Box::new(Giving { to, why, stage: Stage::Clearing { until }, back: Back::Keep }));
        }
        self.give_on(number, out);
    }

    /// After each input of a leg: whether its giving can go on.
    pub(crate) fn give_on(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let until = self.now.at + CLEAR_WITHIN;
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(giving) = &mut leg.giving else { return };
        let is_clear = leg.plays.is_empty() && leg.recorder.is_none() && leg.line.asks.is_empty();
        if matches!(giving.stage, Stage::Clearing { .. }) && is_clear {
            giving.stage = Stage::Counting { until };
            leg.line.media(MediaCommand::Count { ask: GIVE_COUNT }, out);
        }
    }

    /// The frames until now are this call's: it can be offered.
    pub(crate) fn offer_leg(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let tenant = self.tenant;
        let Some(leg) = self.legs.get_mut(number) else { return };
        let (Some(giving), Sound::Open(local)) = (&mut leg.giving, &leg.sound) else { return };
        if !matches!(giving.stage, Stage::Counting { .. }) {
            return;
        }
        giving.stage = Stage::Offered { waiting: VecDeque::new() };
        let ask = match giving.why {
            Why::Step => None,
            Why::Taken { ask, .. } => Some(ask),
        };
        let given = Box::new(GivenLeg { line: leg.line.clone(), local: *local });
        out.push(Output::Peer(giving.to, PeerMessage::Offer { tenant, leg: given, ask }));
    }

    /// What comes of a leg on offer waits. Of the little that strangers can repeat at will, digits,
    /// the newest are left out when there are too many.
    pub(crate) fn keep_for_owner(&mut self, number: LegNumber, key: LegKey, what: Passed) {
        let giving = self.legs.get_mut(number).and_then(|leg| leg.giving.as_mut());
        let Some(Giving { stage: Stage::Offered { waiting }, .. }) = giving.map(|giving| &mut **giving) else { return };
        let is_digit = matches!(
            what,
            Passed::Leg(LegEvent::Digit { .. })
                | Passed::Media(MediaEvent::DigitBegan { .. } | MediaEvent::DigitEnded { .. })
        );
        if is_digit && waiting.len() >= MOST_WAITING {
            self.strays += 1;
        } else {
            waiting.push_back((key, what));
        }
    }

    /// It is another call's from now on.
    pub(crate) fn adopted(&mut self, from: CallId, key: LegKey, out: &mut Vec<Output>) {
        let Some(number) = self.on_offer(from, key) else {
            self.strays += 1;
            return;
        };
        let Some(leg) = self.legs.depart(number, Departed::Given) else { return };
        let Leg { line, giving, .. } = leg;
        let (Some(giving), base) = (giving, leg.base) else { return };
        self.past = crate::frames::plus(self.past, crate::frames::since(line.frames, base));
        out.push(Output::Release { leg: line.port, to: from });
        if line.dialog != line.port {
            out.push(Output::Release { leg: line.dialog, to: from });
        }
        let Giving { why, stage, .. } = *giving;
        if let Stage::Offered { waiting } = stage {
            self.pass(from, &line, waiting, out);
        }
        self.record(Change::LegGiven { leg: number, to: from }, out);
        if number == 1 {
            self.origin.keep_headers(line.headers);
            self.anchor = Anchor::Legs;
        }
        match why {
            Why::Step => {
                // Who asked for it may have fallen meanwhile; its successor counts on the leg.
                if !self.finish(|wait| *wait == Wait::Give(number), Outcome::Done, out) {
                    self.tell_leg(number, LegState::Ended(given_away()), out);
                }
            }
            Why::Taken { replaced, .. } => {
                self.tell_leg(number, LegState::Ended(given_away()), out);
                self.hang_up_leg(replaced, Some("replaced".to_owned()), out);
            }
        }
        if self.is_live() && self.legs.standing() == 0 {
            self.call_ended(given_away(), out);
        }
    }

    fn pass(&self, to: CallId, line: &crate::line::Line, waiting: VecDeque<(LegKey, Passed)>, out: &mut Vec<Output>) {
        for (leg, what) in waiting {
            let is_new = leg != line.port && leg != line.dialog;
            if is_new && matches!(what, Passed::Leg(LegEvent::Offered(_))) {
                out.push(Output::Release { leg, to });
            }
            out.push(Output::Pass { to, leg, what });
        }
    }

    /// It is ours again, as it was.
    pub(crate) fn declined(&mut self, from: CallId, key: LegKey, words: &str, out: &mut Vec<Output>) {
        let Some(number) = self.on_offer(from, key) else {
            self.strays += 1;
            return;
        };
        let Some(giving) = self.legs.get_mut(number).and_then(|leg| leg.giving.take()) else { return };
        let Giving { why, stage, back, .. } = *giving;
        let outcome = Outcome::Failed(StepError::Unavailable(words.to_owned()));
        self.finish(|wait| *wait == Wait::Give(number), outcome, out);
        if !self.is_live() {
            // Its call has ended meanwhile.
            self.leave_with_the_call(number, out);
        } else if let Back::HangUp { reason } = back {
            self.hang_up_leg(number, reason, out);
        } else if let Why::Taken { replaced, digits, .. } = why {
            let both_talk = [replaced, number].iter().all(|leg| self.legs.check_talking(*leg).is_ok());
            if both_talk {
                self.join(replaced, number, digits, out);
            }
        }
        if let Stage::Offered { waiting } = stage {
            for (key, what) in waiting {
                match what {
                    Passed::Leg(event) => self.leg_input(key, event, out),
                    Passed::Media(event) => self.media_input(key, event, out),
                }
            }
        }
    }

    fn on_offer(&self, from: CallId, key: LegKey) -> Option<LegNumber> {
        let is_it = |leg: &&Leg| {
            leg.line.port == key && leg.giving.as_ref().is_some_and(|giving| giving.to == from && giving.is_offered())
        };
        self.legs.all.iter().find(is_it).map(|leg| leg.number)
    }

    /// It stays: it ends, or media does not do what is needed.
    pub(crate) fn stop_giving(&mut self, number: LegNumber, why: &str, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if leg.is_on_offer() {
            return;
        }
        let Some(giving) = leg.giving.take() else { return };
        match giving.why {
            Why::Step => {
                let outcome = Outcome::Failed(StepError::Unavailable(why.to_owned()));
                self.finish(|wait| *wait == Wait::Give(number), outcome, out);
            }
            Why::Taken { ask, .. } => {
                out.push(Output::Peer(giving.to, PeerMessage::NotTaken { ask, why: why.to_owned() }));
            }
        }
    }

    pub(crate) fn give_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let deadline = self.legs.get(number).and_then(|leg| leg.giving.as_ref()?.deadline());
        if deadline.is_some_and(|(until, _)| until <= now) {
            self.stop_giving(number, "what plays on the leg did not come to its end", out);
        }
    }
}

pub(crate) fn parse_call(to: &str) -> Result<CallId, StepError> {
    to.parse().map_err(|error: callbox_model::IdError| StepError::Argument(format!("to: {error}")))
}

fn given_away() -> EndCause {
    EndCause { status: 0, reason: "given to another call".to_owned(), remote: false }
}

/// Asked of a leg that is given away; every boundary has a smaller number.
pub(crate) const GIVE_COUNT: u32 = u32::MAX;
/// Recordings are finished on a disk.
const CLEAR_WITHIN: Duration = Duration::from_secs(10);
/// Inputs of a leg on offer, before digits are left out.
const MOST_WAITING: usize = 256;
