//! The call, as its handler holds it.

use std::cell::RefCell;
use std::time::Duration;

use crate::aside::Aside;
use crate::bindings::callbox::voice::{call, events, handover, media};
use crate::{
    CallInfo, Dial, EndCause, Error, Event, Events, Gather, Header, Leg, LegId, LegInfo, Play, Played, Predecessor,
    Record, Result, StepId, Talk, ambient,
};

/// The call this module holds. Each method that returns a [`Result`] is a step: it waits until the
/// step is done.
pub struct Call {
    info: CallInfo,
    aside: RefCell<Aside>,
}

impl Call {
    pub(crate) fn new(info: CallInfo) -> Self {
        Self { info, aside: RefCell::default() }
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

    /// Somebody else to be called: SIP URIs, numbers, or users who are registered.
    pub fn dial(&self, targets: impl IntoIterator<Item = impl Into<String>>) -> Dial<'_> {
        Dial::new(self, targets.into_iter().map(Into::into).collect())
    }

    /// Calls somebody, answers the caller when they do, and lets the two talk until one of them
    /// leaves. More words for it are in [`Dial::connect`].
    pub fn connect(&self, target: impl Into<String>) -> Result<Talk> {
        self.dial([target]).connect()
    }

    /// A leg by its number. Leg 1 is the one the call began with.
    pub fn leg(&self, id: LegId) -> Leg<'_> {
        Leg::new(self, id)
    }

    /// The legs that stand.
    pub fn legs(&self) -> Vec<LegInfo> {
        call::legs()
    }

    /// Tells another call of the tenant something, in JSON. It is told [`Event::Message`].
    pub fn send(&self, to: &str, body: impl AsRef<str>) -> Result {
        call::send(to, body.as_ref())
    }

    /// The next event. After [`Event::Ended`] there is no other: it is told again.
    /// [`Call::events`] ends there by itself.
    pub fn next(&self) -> Event {
        loop {
            if let Some(event) = self.aside.borrow_mut().next().or_else(|| events::next(None)) {
                return event;
            }
        }
    }

    /// The next event, if there is one in this time.
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        self.aside.borrow_mut().next().or_else(|| events::next(Some(crate::milliseconds(time))))
    }

    /// Waits for the first event that `wanted` has a use for. The others keep their place for
    /// [`Call::next`] and [`Call::events`], but for what strangers could fill memory with: the
    /// oldest digits past 256, holds that were taken back, requests for a transfer that newer ones
    /// followed. When the call is over first this is [`Error::Ended`].
    ///
    /// `wanted` may look at the event, and at nothing else of the call.
    pub fn wait_for<T>(&self, mut wanted: impl FnMut(&Event) -> Option<T>) -> Result<T> {
        loop {
            let found = self.aside.borrow_mut().look(&mut wanted, || events::next(None));
            if let Some(found) = found.map_err(Error::Ended)? {
                return Ok(found);
            }
        }
    }

    /// The same, for no longer than this. With no time at all it asks what has happened already.
    pub fn wait_for_within<T>(&self, time: Duration, wanted: impl FnMut(&Event) -> Option<T>) -> Result<Option<T>> {
        let until = (time > Duration::ZERO).then(|| ambient::now() + time);
        let left = || until.map_or(Duration::ZERO, |until| until.saturating_sub(ambient::now()));
        let next = || events::next(Some(crate::milliseconds(left())));
        self.aside.borrow_mut().look(wanted, next).map_err(Error::Ended)
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
