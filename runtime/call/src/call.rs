//! The door: one call, from its offer to the last row of its ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use callbox_model::{
    CallId, CallInfo, Change, Direction, EndCause, Frames, GuestEvent, Header, IdSource, Instant, Leg, LegKey,
    MediaEvent, Message, Now, Offered, Outcome, Predecessor, StepError, StepId, TenantId,
};
use callbox_sdp::Description;

use crate::control::{Control, Wait};
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::line::{LegAsk, Line};
use crate::mailbox::Mailbox;
use crate::plan::{ApplicationPlan, Setup};
use crate::play::Plays;
use crate::record::Recorder;
use crate::{Input, Output, PeerMessage};

/// One call.
#[derive(Debug)]
pub struct Call {
    pub(crate) id: CallId,
    pub(crate) tenant: TenantId,
    pub(crate) application: Arc<ApplicationPlan>,
    pub(crate) number: String,
    pub(crate) leg: LegKey,
    pub(crate) offered: Box<Offered>,
    pub(crate) ids: Arc<IdSource>,
    pub(crate) started: Instant,
    /// The time of the input that is being handled.
    pub(crate) now: Now,

    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    pub(crate) mailbox: Mailbox,
    pub(crate) line: Line,
    pub(crate) control: Control,
    pub(crate) plays: Plays,
    pub(crate) gather: Option<crate::gather::Gather>,
    pub(crate) secret: Option<crate::gather::Secret>,
    pub(crate) recorder: Option<Recorder>,
    /// Every digit pressed so far; `*` where it was gathered as sensitive.
    pub(crate) digits: Vec<char>,
    pub(crate) last_step: StepId,
    pub(crate) leg_asks: u32,
    pub(crate) pending_asks: BTreeMap<u32, LegAsk>,
    /// Of the sound, as last counted.
    pub(crate) frames: Frames,
    /// What came too late, twice, or for nobody.
    pub(crate) strays: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The leg stands.
    Live,
    /// The leg is over; the module writes its notes, the last figures come in.
    Closing {
        duration_us: u64,
        connected_us: u64,
        was_answered: bool,
    },
    Over,
}

impl Call {
    /// Begins with the leg's offer: writes the first lines, and starts the first handler.
    pub fn new(now: Now, setup: Setup, out: &mut Vec<Output>) -> Self {
        let Setup { call, tenant, application, number, leg, offered, ids } = setup;
        let limits = application.limits.clone();
        let offer = offered.offer.as_deref().map(Description::read).transpose();
        // Any number that is not used twice names a session; the call's own does.
        let session = (call.as_u128() as u64) ^ ((call.as_u128() >> 64) as u64);
        let mut this = Self {
            id: call,
            tenant,
            number,
            leg,
            ids,
            started: now.at,
            now,
            journal: Journal::new(call, tenant),
            ledger: Ledger::new(now),
            mailbox: Mailbox::new(limits.event_digits),
            line: Line::new(session, offer.as_ref().ok().cloned().flatten()),
            control: Control::new(),
            plays: Plays::default(),
            gather: None,
            secret: None,
            recorder: None,
            digits: Vec::new(),
            last_step: 0,
            leg_asks: 0,
            pending_asks: BTreeMap::new(),
            frames: Frames::default(),
            strays: 0,
            stage: Stage::Live,
            application,
            offered,
        };
        this.record(
            Change::CallStarted {
                application: this.application.id,
                direction: Direction::Inbound,
                caller: this.offered.caller.clone(),
                called: this.offered.called.clone(),
                number: this.number.clone(),
                sip_call_id: this.offered.sip_call_id.clone(),
            },
            out,
        );
        this.record(Change::LegStarted { leg: 1, address: this.offered.caller.clone() }, out);
        match offer {
            Ok(_) => this.start_first_handler(out),
            // No handler could make itself heard: 488 says why.
            Err(error) => {
                this.hold_by_callbox(out);
                // An unanswered leg can always be refused.
                let _ = this.reject(488, error.to_string(), Vec::new(), out);
            }
        }
        this.settle(out);
        this
    }

    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        if self.stage == Stage::Over {
            self.strays += 1;
            return;
        }
        self.now = Now { at: now.at.max(self.now.at), wall: now.wall };
        match input {
            Input::Leg(leg, event) if leg == self.leg => self.leg_event(event, out),
            Input::Media(leg, event) if leg == self.leg => self.media_event(event, out),
            Input::Leg(..) | Input::Media(..) => self.strays += 1,
            Input::Step { run, ask, step } => self.step(run, ask, step, out),
            Input::Sampled { run, usage } => self.ledger.sampled(self.now, run, usage, Some(self.frames), out),
            Input::ControlEnded { run, end, usage } => self.control_ended(run, end, usage, out),
            Input::Log { run, level, message } => {
                self.record(Change::Log { run, level: level.to_owned(), message }, out);
            }
            Input::HangUp { by } => self.hang_up(Some(by), out),
            Input::Message { sender, body } => self.message(sender, body, out),
            // A call adopts no leg yet: the offering call keeps it.
            Input::Peer(from, PeerMessage::Offer { leg }) => {
                let why = "this call takes no further leg".to_owned();
                out.push(Output::Peer(from, PeerMessage::Declined { leg, why }));
            }
            Input::Peer(..) => self.strays += 1,
            Input::Tick => self.tick(out),
        }
        self.settle(out);
    }

    /// When it wants to be told [`Input::Tick`], and why.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        if self.stage == Stage::Over {
            return None;
        }
        [
            self.line_deadline(),
            self.gather_deadline(),
            self.secret_deadline(),
            self.control_deadline(),
            Some((self.ledger.next_mark(), "the ledger's mark")),
            self.ledger.next_close().map(|at| (at, "a row's last figures")),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// Inputs that came too late, twice, or for nobody.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    fn tick(&mut self, out: &mut Vec<Output>) {
        self.line_tick(self.now, out);
        self.gather_tick(out);
        self.secret_tick(out);
        self.control_tick(out);
        if self.now.at >= self.ledger.next_mark() && matches!(self.line.sound, crate::line::Sound::Open(_)) {
            // Boundary 0 is the call's beginning and known: this only brings the count up to date.
            out.push(Output::Media(self.leg, callbox_model::MediaCommand::Count { ask: 0 }));
        }
        self.ledger.mark(self.now, Some(self.frames), out);
    }

    fn media_event(&mut self, event: MediaEvent, out: &mut Vec<Output>) {
        match event {
            MediaEvent::Played { step, played, end } => self.played(step, played, end, out),
            MediaEvent::Recorded { step, end } => self.recorded(step, end, out),
            MediaEvent::DigitBegan { digit } => self.digit_began(digit, out),
            MediaEvent::DigitEnded { digit, length } => self.digit_ended(digit, length, out),
            other => self.line_media(other, out),
        }
    }

    fn message(&mut self, sender: String, body: String, out: &mut Vec<Output>) {
        if self.mailbox.put_message(Message { sender: sender.clone(), body }) {
            self.record(Change::MessageSent { sender }, out);
            self.deliver(out);
        } else {
            let limit = "event_digits".to_owned();
            self.record(
                Change::LimitReached { limit, detail: "too many messages wait for the module".to_owned() },
                out,
            );
        }
    }

    /// The leg is over. What the module was waiting for ends with it.
    pub(crate) fn leg_ended(&mut self, cause: EndCause, out: &mut Vec<Output>) {
        let was_answered = self.line.is_answered();
        let (duration_us, connected_us) =
            (self.now.at.since(self.started).as_micros() as u64, self.ledger.connected_us(self.now));
        self.line.signal = crate::line::Signal::Ended(cause.clone());
        self.pending_asks.clear();
        self.record(Change::LegEnded { leg: 1, cause: cause.clone() }, out);
        self.end_gather(out);
        self.secret = None;
        // Plays and recordings are ended by media itself, with the port.
        self.close_sound(out);
        self.mailbox.end(cause.clone());
        let boundary = self.frame_boundary(out);
        self.ledger.release(self.now, boundary);
        self.stage = Stage::Closing { duration_us, connected_us, was_answered };
        self.finish(|wait| !matches!(wait, Wait::Next { .. }), Outcome::Failed(StepError::Ended(cause)), out);
        self.deliver(out);
        self.begin_grace(out);
    }

    /// Closes what can be closed. The call's own end is the last thing written.
    fn settle(&mut self, out: &mut Vec<Output>) {
        self.ledger.settle(self.now, out);
        let Stage::Closing { duration_us, connected_us, was_answered } = self.stage else { return };
        let sound_is_gone = matches!(self.line.sound, crate::line::Sound::Gone);
        if !(sound_is_gone && self.control.is_over() && self.ledger.is_settled()) {
            return;
        }
        self.forget_plays(out);
        self.forget_recording(out);
        if let Some(cause) = self.line.ended().cloned() {
            self.record(Change::CallEnded { cause, answered: was_answered, duration_us, connected_us }, out);
        }
        self.stage = Stage::Over;
        out.push(Output::Over);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    pub(crate) fn record(&mut self, change: Change, out: &mut Vec<Output>) {
        self.journal.record(self.now, change, out);
    }

    /// Puts an event where the module will find it.
    pub(crate) fn tell(&mut self, event: GuestEvent, out: &mut Vec<Output>) {
        self.mailbox.put(event);
        self.deliver(out);
    }

    /// Where the frames of one holder end and those of the next begin.
    pub(crate) fn frame_boundary(&mut self, out: &mut Vec<Output>) -> usize {
        match self.line.sound {
            crate::line::Sound::Open(_) => {
                let boundary = self.ledger.boundary(None);
                let ask = u32::try_from(boundary).unwrap_or(u32::MAX);
                out.push(Output::Media(self.leg, callbox_model::MediaCommand::Count { ask }));
                boundary
            }
            // `Closed` brings the last count.
            crate::line::Sound::Closing { .. } => self.ledger.boundary(None),
            _ => self.ledger.boundary(Some(self.frames)),
        }
    }

    pub(crate) fn info(&self, predecessor: Option<Predecessor>) -> CallInfo {
        CallInfo {
            id: self.id,
            direction: Direction::Inbound,
            caller: self.offered.caller.clone(),
            called: self.offered.called.clone(),
            number: self.number.clone(),
            application: self.application.name.clone(),
            headers: self.visible_headers(),
            answered: self.line.is_answered(),
            input: None,
            predecessor,
            resume: None,
        }
    }

    pub(crate) fn legs(&self) -> Vec<Leg> {
        vec![Leg { id: 1, address: self.offered.caller.clone(), state: self.line.state() }]
    }

    fn visible_headers(&self) -> Vec<Header> {
        self.offered.headers.iter().filter(|header| self.application.lets_through(&header.name)).cloned().collect()
    }
}
