//! One leg of the call.

use std::fmt;
use std::time::Duration;

use crate::bindings::callbox::voice::call::{self, Digits, ReferTarget};
use crate::{Call, EndCause, Error, Event, Gather, Header, LegId, LegInfo, LegState, Play, Record, Result};

/// A leg by its number: leg 1, with which the call began, one that was dialled, or one that another
/// call gave. Its methods are steps, and say so with an error when there is no such leg, or no more.
#[derive(Clone, Copy)]
pub struct Leg<'a> {
    call: &'a Call,
    id: LegId,
}

/// How a dialled leg was taken.
#[must_use]
#[derive(Clone, Debug)]
pub enum Answer {
    Taken,
    /// Nobody took it: busy, no answer in time, nobody there.
    Refused(EndCause),
}

impl<'a> Leg<'a> {
    pub(crate) fn new(call: &'a Call, id: LegId) -> Self {
        Self { call, id }
    }

    pub(crate) fn call(self) -> &'a Call {
        self.call
    }

    /// Its number in the events.
    pub fn id(self) -> LegId {
        self.id
    }

    /// How it stands now. None when it is over, another call's, or never was.
    pub fn info(self) -> Option<LegInfo> {
        call::legs().into_iter().find(|leg| leg.id == self.id)
    }

    /// Headers of the far end's last message, as far as the application's allow-list lets them
    /// through.
    pub fn headers(self) -> Result<Vec<Header>> {
        call::leg_headers(self.id)
    }

    /// Waits until a dialled leg is answered, or will not be. All events but that one keep their
    /// place for [`Call::events`], this leg's ringing too.
    pub fn wait_for_answer(self) -> Result<Answer> {
        let wanted = |event: &Event| self.state_in(event).and_then(answer_of);
        if let Some(answer) = self.told_already(wanted)? {
            return Ok(answer);
        }
        let now = self.info().map(|leg| leg.state);
        match now.as_ref().map(answer_of) {
            // It was told before this.
            Some(Some(answer)) => Ok(answer),
            Some(None) => self.call.wait_for(wanted),
            // Its end may have come since.
            None => self.told_already(wanted)?.ok_or_else(|| self.is_over()),
        }
    }

    /// Waits until this leg is over; [`Call::wait_for_end`] waits for the whole call. All events but
    /// that one keep their place for [`Call::events`].
    pub fn wait_for_end(self) -> Result<EndCause> {
        let wanted = |event: &Event| match self.state_in(event) {
            Some(LegState::Ended(cause)) => Some(cause.clone()),
            _ => None,
        };
        if let Some(cause) = self.told_already(wanted)? {
            return Ok(cause);
        }
        match self.info().map(|leg| leg.state) {
            Some(LegState::Ended(cause)) => Ok(cause),
            Some(_) => self.call.wait_for(wanted),
            None => self.told_already(wanted)?.ok_or_else(|| self.is_over()),
        }
    }

    /// The two hear each other, until [`Leg::part`] or until one of them ends. Digits go over too,
    /// and are told to this module as well.
    pub fn bridge(self, other: Leg<'_>) -> Result {
        call::bridge(self.id, other.id, Digits::Pass)
    }

    /// The same, but digits are told to this module alone.
    pub fn bridge_keeping_digits(self, other: Leg<'_>) -> Result {
        call::bridge(self.id, other.id, Digits::Keep)
    }

    /// Ends its bridge. Both go on alone.
    pub fn part(self) -> Result {
        call::part(self.id)
    }

    /// Puts the far end on hold.
    pub fn hold(self) -> Result {
        call::hold(self.id)
    }

    pub fn resume(self) -> Result {
        call::resume(self.id)
    }

    /// Asks the far end to call somebody else (REFER), and waits for what it came to: a SIP status,
    /// 200 when they talk. This leg stays.
    pub fn refer(self, to: impl Into<String>) -> Result<u16> {
        call::refer(self.id, &ReferTarget::Address(to.into()), None)
    }

    /// The same, for no longer than this.
    pub fn refer_within(self, time: Duration, to: impl Into<String>) -> Result<u16> {
        call::refer(self.id, &ReferTarget::Address(to.into()), Some(crate::milliseconds(time)))
    }

    /// Asks the far end to take this call's place on the other leg: an attended transfer.
    pub fn refer_to_leg(self, other: Leg<'_>) -> Result<u16> {
        call::refer(self.id, &ReferTarget::Leg(other.id), None)
    }

    /// Answers the transfer that its far end asked for with [`Event::Refer`], within 5 s: 202 takes
    /// it on, 300 to 699 refuses. Whoever takes it on dials where it leads, to that address as it is
    /// and nobody else, and bridges; the example `transfer` does.
    pub fn answer_refer(self, status: u16) -> Result {
        call::answer_refer(self.id, status)
    }

    /// Gives it, with its sound, to another call of the tenant, which is told [`Event::Given`].
    pub fn give(self, call: &str) -> Result {
        call::give(self.id, call)
    }

    /// Presses digits; `w` waits half a second. Returns when the last is sent.
    pub fn send_digits(self, digits: &str) -> Result {
        call::send_digits(self.id, digits)
    }

    pub fn hangup(self) -> Result {
        call::hangup(Some(self.id), None)
    }

    /// Hangs it up, and says why in the Reason header.
    pub fn hangup_because(self, reason: &str) -> Result {
        call::hangup(Some(self.id), Some(reason))
    }

    /// As [`Call::play`], for this leg.
    pub fn play(self) -> Play {
        Play::default().on_leg(self.id)
    }

    /// As [`Call::gather`], from this leg.
    pub fn gather(self) -> Gather {
        Gather::default().on_leg(self.id)
    }

    /// As [`Call::record`], of this leg.
    pub fn record(self) -> Record {
        Record::default().on_leg(self.id)
    }

    /// This leg's new state, if that is what the event tells.
    pub fn state_in(self, event: &Event) -> Option<&LegState> {
        match event {
            Event::Leg(change) if change.leg == self.id => Some(&change.state),
            _ => None,
        }
    }

    fn told_already<T>(self, wanted: impl FnMut(&Event) -> Option<T>) -> Result<Option<T>> {
        self.call.wait_for_within(Duration::ZERO, wanted)
    }

    fn is_over(self) -> Error {
        Error::State(format!("leg {} is over, or never was", self.id))
    }
}

impl fmt::Debug for Leg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg {}", self.id)
    }
}

pub(crate) fn answer_of(state: &LegState) -> Option<Answer> {
    match state {
        LegState::Answered | LegState::Held => Some(Answer::Taken),
        LegState::Ended(cause) => Some(Answer::Refused(cause.clone())),
        LegState::Trying | LegState::Ringing(_) => None,
    }
}
