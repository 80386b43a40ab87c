//! Somebody else, to be called.

use std::time::Duration;

use crate::bindings::callbox::voice::call::{self, DialOptions, Order};
use crate::leg::answer_of;
use crate::{Answer, Call, EndCause, Error, Event, Header, Leg, LegState, Result};

/// Whom to call, and how. Several targets ring at once, and the first to answer has the call.
///
/// Without more words it rings for a minute.
#[must_use = "nobody is called before `start` or `connect`"]
pub struct Dial<'a> {
    call: &'a Call,
    targets: Vec<String>,
    options: DialOptions,
}

/// How it went with two who were to be connected, seen from the one who called.
#[must_use]
#[derive(Clone, Debug)]
pub enum Talk {
    /// Nobody took the call: why. The caller has heard nothing of it.
    Refused(EndCause),
    /// They talked until the other side left. The caller is still there.
    Over(EndCause),
}

impl<'a> Dial<'a> {
    pub(crate) fn new(call: &'a Call, targets: Vec<String>) -> Self {
        Self { call, targets, options: DialOptions::default() }
    }

    /// The targets one after the other, until somebody answers. Each has the same share of the
    /// timeout.
    pub fn one_by_one(mut self) -> Self {
        self.options.order = Some(Order::OneByOne);
        self
    }

    /// Who the far end sees calling: one of those that the application may use.
    pub fn caller_id(mut self, address: impl Into<String>) -> Self {
        self.options.caller_id = Some(address.into());
        self
    }

    /// One more header of the INVITE, if the application's allow-list lets it through.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// How long it may ring. A second to ten minutes.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.timeout = Some(crate::milliseconds(time));
        self
    }

    /// Hangs the new leg up so long after its answer.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.options.time_limit = Some(crate::milliseconds(time));
        self
    }

    /// Presses these after the answer; `w` waits half a second.
    pub fn send_digits(mut self, digits: impl Into<String>) -> Self {
        self.options.send_digits = Some(digits.into());
        self
    }

    /// The caller hears what the far end plays before its answer: its own ringing, or an
    /// announcement.
    pub fn early_media(mut self) -> Self {
        self.options.early_media = Some(true);
        self
    }

    /// Begins to call, and goes on. What comes of it is told by [`Leg::wait_for_answer`] and by the
    /// events.
    pub fn start(self) -> Result<Leg<'a>> {
        let id = call::dial(&self.targets, Some(&self.options))?;
        Ok(self.call.leg(id))
    }

    /// Calls, answers the caller when somebody takes it, and lets the two talk until one of them
    /// leaves. When that is the caller, or when the caller leaves before, the other one is hung up,
    /// and this is [`Error::Ended`]: passed on with `?` it is a good end.
    ///
    /// Other events, digits and messages for example, wait meanwhile; [`Call::events`] has them
    /// afterwards. A transfer that a phone asks for is refused; whoever wants to carry transfers out
    /// bridges with [`Leg::bridge`] and listens.
    pub fn connect(self) -> Result<Talk> {
        let caller = self.call.leg(1);
        let other = self.start()?;
        let outcome = talk(caller, other);
        if outcome.is_err() {
            // What went wrong is what is told; a leg that is over already is as good.
            drop(other.hangup());
        }
        outcome
    }
}

fn talk(caller: Leg<'_>, other: Leg<'_>) -> Result<Talk> {
    let call = other.call();
    let left = |event: &Event| match caller.state_in(event) {
        Some(LegState::Ended(cause)) => Some(Error::Ended(cause.clone())),
        _ => None,
    };
    let answered = |event: &Event| other.state_in(event).and_then(answer_of).map(Ok);
    let answer = call.wait_for(|event| answered(event).or_else(|| left(event).map(Err)))??;
    if let Answer::Refused(cause) = answer {
        return Ok(Talk::Refused(cause));
    }
    call.answer()?;
    match caller.bridge(other) {
        // One of the two has left this very moment: which, is told below.
        Ok(()) | Err(Error::Ended(_)) => {}
        Err(error) => return Err(error),
    }
    let over = |event: &Event| match other.state_in(event) {
        Some(LegState::Ended(cause)) => Some(Ok(Talk::Over(cause.clone()))),
        _ => None,
    };
    call.wait_for(|event| over(event).or_else(|| left(event).map(Err)))?
}
