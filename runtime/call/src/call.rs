//! The door: one call, from its first leg to the last row of its ledger.

use std::sync::Arc;

use callbox_model::{
    CallId, CallInfo, Change, Direction, EndCause, Frames, GuestEvent, Header, IdSource, Instant, Leg, LegKey,
    LegSource, MediaEvent, MediaPlan, Message, Now, Offered, Predecessor, StepId, TenantId,
};
use callbox_sdp::Description;

use crate::control::Control;
use crate::dial::Resolving;
use crate::ending::Stage;
use crate::husk::Husks;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::leg::{Legs, Signal};
use crate::line::Line;
use crate::mailbox::Mailbox;
use crate::plan::{ApplicationPlan, Begin, Setup};
use crate::{Input, Output};

/// One call.
#[derive(Debug)]
pub struct Call {
    pub(crate) id: CallId,
    pub(crate) tenant: TenantId,
    pub(crate) application: Arc<ApplicationPlan>,
    pub(crate) number: String,
    pub(crate) origin: Origin,
    pub(crate) ids: Arc<IdSource>,
    pub(crate) keys: Arc<LegSource>,
    pub(crate) lane: u8,
    pub(crate) started: Instant,
    /// The time of the input that is being handled.
    pub(crate) now: Now,

    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    pub(crate) mailbox: Mailbox,
    pub(crate) legs: Legs,
    pub(crate) anchor: Anchor,
    /// What has left its leg and has not come to its end.
    pub(crate) husks: Husks,
    pub(crate) control: Control,
    /// A dial or a REFER whose target is being looked up.
    pub(crate) resolving: Option<Resolving>,
    /// Every digit pressed so far; `*` where it was gathered as sensitive.
    pub(crate) digits: Vec<char>,
    pub(crate) last_step: StepId,
    /// Counts what other calls and the node are asked.
    pub(crate) asks: u32,
    /// Frames of legs that are not here any more.
    pub(crate) past: Frames,
    /// What came too late, twice, or for nobody.
    pub(crate) strays: u64,
    pub(crate) stage: Stage,
}

/// How it began.
#[derive(Debug)]
pub(crate) struct Origin {
    direction: Direction,
    caller: String,
    called: String,
    /// Of an outbound call.
    input: Option<String>,
    /// Those it began with, once leg 1 has left, or has another far end.
    headers: Option<Vec<Header>>,
}

/// What the call's life hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// When leg 1 ends, the call ends.
    Leg1,
    /// Leg 1 was given away, or the module let its far end transfer itself out: the call ends when
    /// no leg is left.
    Legs,
}

impl Call {
    /// Begins with the leg's offer, or with dialling it: writes the first lines, and starts the
    /// first handler.
    pub fn new(now: Now, setup: Setup, out: &mut Vec<Output>) -> Self {
        let Setup { call, tenant, application, number, begin, ids, legs, lane } = setup;
        let limits = application.limits.clone();
        let (origin, begin) = Origin::of(&number, begin);
        let mut this = Self {
            id: call,
            tenant,
            number,
            origin,
            ids,
            keys: legs,
            lane,
            started: now.at,
            now,
            journal: Journal::new(call, tenant),
            ledger: Ledger::new(now),
            mailbox: Mailbox::new(limits.event_digits),
            legs: Legs::new(),
            anchor: Anchor::Leg1,
            husks: Husks::default(),
            control: Control::new(),
            resolving: None,
            digits: Vec::new(),
            last_step: 0,
            asks: 0,
            past: Frames::default(),
            strays: 0,
            stage: Stage::Live,
            application,
        };
        match begin {
            Begin::Offered { leg, offered } => this.begin_offered(leg, *offered, out),
            Begin::Dial(outgoing) => {
                this.record_start(String::new(), out);
                this.begin_dialled(*outgoing, out);
            }
        }
        this.settle(out);
        this
    }

    fn begin_offered(&mut self, key: LegKey, offered: Offered, out: &mut Vec<Output>) {
        let offer = offered.offer.as_deref().map(Description::read).transpose();
        self.record_start(offered.sip_call_id, out);
        let plan = MediaPlan {
            tenant: self.tenant,
            local: offered.local,
            peer: offered.peer,
            networks: offered.media_networks,
            remote: None,
        };
        let mut line = Line::new(key, offered.caller, plan, self.session_number());
        line.headers = offered.headers;
        self.record(Change::LegStarted { leg: 1, address: line.address.clone() }, out);
        let number = self.legs.next_number();
        let mut leg = crate::leg::Leg::new(number, line, Signal::Offered, None);
        match offer {
            Ok(offer) => {
                leg.offer = offer;
                self.legs.all.push(leg);
                self.start_first_handler(out);
            }
            // No handler could make itself heard: 488 says why.
            Err(error) => {
                self.legs.all.push(leg);
                self.hold_by_callbox(out);
                // An unanswered leg can always be refused.
                let _ = self.reject(488, error.to_string(), Vec::new(), out);
            }
        }
    }

    fn record_start(&mut self, sip_call_id: String, out: &mut Vec<Output>) {
        let change = Change::CallStarted {
            application: self.application.id,
            direction: self.origin.direction,
            caller: self.origin.caller.clone(),
            called: self.origin.called.clone(),
            number: self.number.clone(),
            sip_call_id,
        };
        self.record(change, out);
    }

    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        if self.is_over() {
            self.strays += 1;
            return;
        }
        self.now = Now { at: now.at.max(self.now.at), wall: now.wall };
        match input {
            Input::Leg(leg, event) => self.leg_input(leg, event, out),
            Input::Media(leg, event) => self.media_input(leg, event, out),
            Input::Step { run, ask, step } => self.step(run, ask, step, out),
            Input::Sampled { run, usage } => {
                let frames = self.frames();
                self.ledger.sampled(self.now, run, usage, Some(frames), out);
            }
            Input::ControlEnded { run, end, usage } => self.control_ended(run, end, usage, out),
            Input::Log { run, level, message } => {
                self.record(Change::Log { run, level: level.to_owned(), message }, out);
            }
            Input::HangUp { by } => self.hang_up(Some(&by), out),
            Input::Message { sender, body } => {
                self.message(sender, body, out);
            }
            Input::Peer(from, message) => self.peer_message(from, message, out),
            Input::Resolved { ask, result } => self.resolved(ask, result, out),
            Input::Tick => self.tick(out),
        }
        self.settle(out);
    }

    /// When it wants to be told [`Input::Tick`], and why.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        if self.is_over() {
            return None;
        }
        let of_the_call = [
            self.husks.deadline(),
            self.resolve_deadline(),
            self.control_deadline(),
            Some((self.ledger.next_mark(), "the ledger's mark")),
            self.ledger.next_close().map(|at| (at, "a row's last figures")),
        ];
        let of_the_legs = self.legs.all.iter().filter_map(crate::leg::Leg::deadline);
        of_the_call.into_iter().flatten().chain(of_the_legs).min_by_key(|(at, _)| *at)
    }

    /// Inputs that came too late, twice, or for nobody.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    fn tick(&mut self, out: &mut Vec<Output>) {
        self.legs_tick(out);
        self.husks_tick(out);
        self.resolve_tick(out);
        self.control_tick(out);
        if self.now.at >= self.ledger.next_mark() {
            self.refresh_frames(out);
        }
        let frames = self.frames();
        self.ledger.mark(self.now, Some(frames), out);
    }

    pub(crate) fn media_input(&mut self, key: LegKey, event: MediaEvent, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.by_port(key) else {
            self.husk_media(key, &event, out);
            return;
        };
        let number = leg.number;
        if leg.is_on_offer() {
            self.keep_for_owner(number, key, crate::Passed::Media(event));
            return;
        }
        match event {
            MediaEvent::Played { step, played, end } => self.played(number, step, played, end, out),
            MediaEvent::Recorded { step, end } => self.recorded(number, step, end, out),
            MediaEvent::DigitBegan { digit } => self.digit_began(number, digit, out),
            MediaEvent::DigitEnded { digit, length } => self.digit_ended(number, digit, length, out),
            MediaEvent::DigitsSent { result } => self.digits_sent(number, result, out),
            MediaEvent::Bridged { result } => self.bridged(number, result, out),
            MediaEvent::Parted => self.parted(number, out),
            other => self.sound_event(number, other, out),
        }
        self.give_on(number, out);
    }

    /// False when there are too many of them.
    pub(crate) fn message(&mut self, sender: String, body: String, out: &mut Vec<Output>) -> bool {
        let is_put = self.mailbox.put_message(Message { sender: sender.clone(), body });
        if is_put {
            self.record(Change::MessageSent { sender }, out);
            self.deliver(out);
        } else {
            let limit = "event_digits".to_owned();
            let detail = "too many messages wait for the module".to_owned();
            self.record(Change::LimitReached { limit, detail }, out);
        }
        is_put
    }

    pub(crate) fn record(&mut self, change: Change, out: &mut Vec<Output>) {
        self.journal.record(self.now, change, out);
    }

    /// Puts an event where the module will find it.
    pub(crate) fn tell(&mut self, event: GuestEvent, out: &mut Vec<Output>) {
        self.mailbox.put(event);
        self.deliver(out);
    }

    pub(crate) fn next_ask(&mut self) -> u32 {
        self.asks += 1;
        self.asks
    }

    /// Names a session of ours: any number that is not used twice will do.
    pub(crate) fn session_number(&self) -> u64 {
        (self.id.as_u128() as u64) ^ ((self.id.as_u128() >> 64) as u64)
    }

    pub(crate) fn info(&self, predecessor: Option<Predecessor>) -> CallInfo {
        let of_leg_1 = || self.legs.get(1).map(|leg| leg.line.headers.as_slice());
        let headers = self.origin.headers.as_deref().or_else(of_leg_1).unwrap_or_default();
        CallInfo {
            id: self.id,
            direction: self.origin.direction,
            caller: self.origin.caller.clone(),
            called: self.origin.called.clone(),
            number: self.number.clone(),
            application: self.application.name.clone(),
            headers: self.visible(headers),
            // Where leg 1 has left, it was answered before.
            answered: self.legs.get(1).is_none_or(crate::leg::Leg::is_answered),
            input: self.origin.input.clone(),
            predecessor,
            resume: None,
        }
    }

    /// Those that stand.
    pub(crate) fn standing_legs(&self) -> Vec<Leg> {
        let standing = self.legs.all.iter().filter(|leg| leg.ended().is_none());
        standing.map(|leg| Leg { id: leg.number, address: leg.line.address.clone(), state: leg.state() }).collect()
    }

    /// What the allow-list lets through.
    pub(crate) fn visible(&self, headers: &[Header]) -> Vec<Header> {
        headers.iter().filter(|header| self.application.lets_through(&header.name)).cloned().collect()
    }

    pub(crate) fn ended(&self) -> Option<&EndCause> {
        self.stage.cause()
    }

    /// Whether it can be heard that the call is ending: no new leg joins it then.
    pub(crate) fn is_leaving(&self) -> bool {
        let anchor = if self.anchor == Anchor::Leg1 { self.legs.get(1) } else { None };
        !self.is_live() || anchor.is_some_and(|leg| !leg.stands())
    }
}

impl Origin {
    /// What leg 1 had, before it leaves.
    pub(crate) fn keep_headers(&mut self, headers: Vec<Header>) {
        self.headers.get_or_insert(headers);
    }

    fn of(number: &str, mut begin: Begin) -> (Self, Begin) {
        let (direction, caller, called, input) = match &mut begin {
            Begin::Offered { offered, .. } => {
                (Direction::Inbound, offered.caller.clone(), std::mem::take(&mut offered.called), None)
            }
            Begin::Dial(outgoing) => {
                (Direction::Outbound, number.to_owned(), outgoing.to.clone(), outgoing.input.take())
            }
        };
        (Self { direction, caller, called, input, headers: None }, begin)
    }
}
