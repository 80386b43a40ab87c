//! The call, as its handler holds it.

use std::time::Duration;

use crate::bindings::callbox::voice::{call, events, handover, media};
use crate::{CallInfo, EndCause, Event, Events, Gather, Header, Play, Played, Predecessor, Record, Result, StepId};

/// The call this module holds. Each method that returns a [`Result`] is a step: it waits until the
/// step is done.
pub struct Call {
    info: CallInfo,
}

impl Call {
    pub(crate) fn new(info: CallInfo) -> Self {
        Self { info }
    }

    /// What was known of the call when this handler began.
    pub fn info(&self) -> &CallInfo {
        &self.info
    }

    /// What is known of the call now.
    pub fn info_now(&self) -> CallInfo {
        call::info()
    }

    /// The header of the INVITE, if the application's allow-list lets it through.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.info.headers.iter();
        headers.find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// The handler that lost this call before this one got it: its fault, its checkpoint, the
    /// digits so far, and what still plays.
    pub fn predecessor(&self) -> Option<&Predecessor> {
        self.info.predecessor.as_ref()
    }

    /// 180 Ringing.
    pub fn ring(&self) -> Result {
        call::ring(false)
    }

    /// 183 Session Progress: what is played before the answer is heard.
    pub fn ring_with_early_media(&self) -> Result {
        call::ring(true)
    }

    /// 200 OK. Returns when sound can flow. Answering an answered call does nothing.
    pub fn answer(&self) -> Result {
        call::answer(&[])
    }

    pub fn answer_with(&self, headers: &[Header]) -> Result {
        call::answer(headers)
    }

    /// Refuses the call with a status of 400 to 699, such as 486 and `Busy Here`.
    pub fn reject(&self, status: u16, reason: &str) -> Result {
        call::reject(status, reason, &[])
    }

    /// Sends the caller elsewhere: 302, with the address as its Contact.
    pub fn redirect(&self, address: &str) -> Result {
        let contact = Header { name: "Contact".to_owned(), value: format!("<{address}>") };
        call::reject(302, "Moved Temporarily", &[contact])
    }

    pub fn hangup(&self) -> Result {
        call::hangup(None, None)
    }

    /// Hangs up, and says why in the Reason header.
    pub fn hangup_because(&self, reason: &str) -> Result {
        call::hangup(None, Some(reason))
    }

    /// Speaks, to the end.
    pub fn say(&self, text: impl Into<String>) -> Result<Played> {
        self.play().say(text).wait()
    }

    /// Plays one frequency, to the end.
    pub fn tone(&self, hertz: u16, length: Duration) -> Result<Played> {
        self.play().tone(hertz, length).wait()
    }

    /// Sounds, one after the other.
    pub fn play(&self) -> Play {
        Play::default()
    }

    /// Digits the caller presses.
    pub fn gather(&self) -> Gather {
        Gather::default()
    }

    pub fn record(&self) -> Record {
        Record::default()
    }

    /// Ends a step that was started and not waited for.
    pub fn stop(&self, step: StepId) -> Result {
        media::stop(step)
    }

    /// The next event. After [`Event::Ended`] there is none: this would wait until the module's
    /// grace is over. [`Call::events`] ends there by itself.
    pub fn next(&self) -> Event {
        loop {
            if let Some(event) = events::next(None) {
                return event;
            }
        }
    }

    /// The next event, if there is one in this time.
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        events::next(Some(crate::milliseconds(time)))
    }

    /// All events, up to the call's end.
    pub fn events(&self) -> Events<'_> {
        Events::of(self)
    }

    /// Waits for the call's end, whatever else happens.
    pub fn wait_for_end(&self) -> EndCause {
        loop {
            if let Event::Ended(cause) = self.next() {
                return cause;
            }
        }
    }

    /// Keeps up to 64 KiB for the next handler, should this one fall. Replaces the last checkpoint.
    pub fn checkpoint(&self, state: impl AsRef<[u8]>) -> Result {
        handover::checkpoint(state.as_ref())
    }
}
