//! The leg: its signalling, its sound, and how the two are brought together.
//!
//! ```text
//!            open              opened           reply ok        (late offer: ACK)
//!  Offered ─────▶ opening ─────────▶ 200 sent ─────────▶ ─ ─ ─ ─ ─ ─ ─ ─ ─ ▶ Answered
//! ```

use std::net::SocketAddr;

use callbox_model::{
    Change, EndCause, GuestEvent, Header, Instant, LegChange, LegCommand, LegEvent, LegState, MediaCommand, MediaEvent,
    MediaFault, Now, Outcome, Refused, StepError,
};
use callbox_sdp::{Agreed, Description, Direction, Session};

use crate::call::Call;
use crate::control::Wait;
use crate::{Output, offer};

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) signal: Signal,
    pub(crate) sound: Sound,
    pub(crate) held: Held,
    session: Session,
    /// Theirs, while ours has not answered it.
    offer: Option<Description>,
    agreed: Option<Agreed>,
    /// Of theirs, since when.
    reoffers: (u32, Instant),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Offered,
    Ringing(u16),
    /// Our 200 is being sent.
    Answering,
    /// Our 200 held the offer; theirs comes with the ACK.
    AwaitingAnswer,
    Answered,
    /// We have asked for its end.
    Leaving {
        until: Instant,
        answered: bool,
    },
    Ended(EndCause),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    Silent,
    Opening(Then),
    Open(SocketAddr),
    Failed(MediaFault),
    /// The last figures are still to come.
    Closing {
        until: Instant,
    },
    Gone,
}

/// What the port was opened for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Ring { status: u16 },
    Answer { headers: Vec<Header> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    No,
    ByThem,
}

/// What a reply of signalling is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegAsk {
    Ring { status: u16 },
    Answer,
    Reject,
    Hangup,
    Reoffer,
}

impl Line {
    pub(crate) fn new(session: u64, offer: Option<Description>) -> Self {
        Self {
            signal: Signal::Offered,
            sound: Sound::Silent,
            held: Held::No,
            session: Session::new(session),
            offer,
            agreed: None,
            reoffers: (0, Instant::default()),
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.signal, Signal::AwaitingAnswer | Signal::Answered | Signal::Leaving { answered: true, .. })
    }

    /// A final answer was not given yet, and none is on its way.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self.signal, Signal::Offered | Signal::Ringing(_))
    }

    pub(crate) fn ended(&self) -> Option<&EndCause> {
        match &self.signal {
            Signal::Ended(cause) => Some(cause),
            _ => None,
        }
    }

    pub(crate) fn can_be_heard(&self) -> bool {
        matches!(self.sound, Sound::Open(_)) && !matches!(self.signal, Signal::Ended(_) | Signal::Leaving { .. })
    }

    pub(crate) fn state(&self) -> LegState {
        match &self.signal {
            Signal::Offered => LegState::Trying,
            Signal::Ringing(status) => LegState::Ringing(*status),
            Signal::Answering => LegState::Trying,
            Signal::AwaitingAnswer | Signal::Answered | Signal::Leaving { .. } => match self.held {
                Held::No => LegState::Answered,
                Held::ByThem => LegState::Held,
            },
            Signal::Ended(cause) => LegState::Ended(cause.clone()),
        }
    }
}

impl Call {
    // What is asked of the leg.

    pub(crate) fn ring(&mut self, early_media: bool, out: &mut Vec<Output>) -> Result<Wait, StepError> {
        if !self.line.is_unanswered() {
            return Err(self.not_ringing("ring"));
        }
        if !early_media {
            self.leg_command(LegAsk::Ring { status: 180 }, out, |ask| LegCommand::Ring {
                ask,
                status: 180,
                body: None,
            });
            return Ok(Wait::Ring);
        }
        if self.line.offer.is_none() && self.line.agreed.is_none() {
            return Err(StepError::State("early media needs an offer, and the INVITE had none".to_owned()));
        }
        self.open_for(Then::Ring { status: 183 }, out)?;
        Ok(Wait::Ring)
    }

    pub(crate) fn answer(&mut self, headers: Vec<Header>, out: &mut Vec<Output>) -> Result<Option<Wait>, StepError> {
        match self.line.signal {
            Signal::Answered => Ok(None),
            // An earlier handler has begun it.
            Signal::Answering | Signal::AwaitingAnswer => Ok(Some(Wait::Answer)),
            Signal::Offered | Signal::Ringing(_) => {
                self.open_for(Then::Answer { headers }, out)?;
                Ok(Some(Wait::Answer))
            }
            Signal::Leaving { .. } | Signal::Ended(_) => Err(self.not_ringing("answer")),
        }
    }

    pub(crate) fn reject(
        &mut self,
        status: u16,
        reason: String,
        headers: Vec<Header>,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        if !self.line.is_unanswered() {
            return Err(self.not_ringing("reject"));
        }
        self.leave(false, out, |ask| (LegAsk::Reject, LegCommand::Reject { ask, status, reason, headers }));
        Ok(Wait::Reject)
    }

    /// Ends the leg in whatever state it is. Does nothing to one that is ending.
    pub(crate) fn hang_up(&mut self, reason: Option<String>, out: &mut Vec<Output>) {
        if matches!(self.line.signal, Signal::Leaving { .. } | Signal::Ended(_)) {
            return;
        }
        let answered = self.line.is_answered();
        self.leave(answered, out, |ask| (LegAsk::Hangup, LegCommand::Hangup { ask, reason }));
    }

    fn leave(&mut self, answered: bool, out: &mut Vec<Output>, command: impl FnOnce(u32) -> (LegAsk, LegCommand)) {
        self.leg_asks += 1;
        let (kind, command) = command(self.leg_asks);
        self.pending_asks.insert(self.leg_asks, kind);
        out.push(Output::Leg(self.leg, command));
        self.line.signal = Signal::Leaving { until: self.now.at + LEAVE_WITHIN, answered };
    }

    fn open_for(&mut self, then: Then, out: &mut Vec<Output>) -> Result<(), StepError> {
        match &mut self.line.sound {
            Sound::Silent => {
                if let Some(offer) = &self.line.offer
                    && self.line.agreed.is_none()
                {
                    // The port is not known yet; what they accept is.
                    let agreed = self
                        .line
                        .session
                        .clone()
                        .answer(offer, SocketAddr::new(self.offered.local, 9), Direction::SendRecv)
                        .map_err(|error| StepError::Unavailable(error.to_string()))?
                        .agreed;
                    self.line.agreed = Some(agreed);
                }
                let plan = offer::plan(self.tenant, &self.offered, self.line.agreed.as_ref());
                out.push(Output::Media(self.leg, MediaCommand::Open(plan)));
                self.line.sound = Sound::Opening(then);
                Ok(())
            }
            // The last wish counts: an answer is more than a ring.
            Sound::Opening(waiting) => {
                *waiting = then;
                Ok(())
            }
            Sound::Open(_) => {
                self.opened_then(then, out);
                Ok(())
            }
            Sound::Failed(fault) => Err(StepError::Unavailable(media_words(fault))),
            Sound::Closing { .. } | Sound::Gone => Err(self.not_ringing("answer")),
        }
    }

    fn opened_then(&mut self, then: Then, out: &mut Vec<Output>) {
        let Sound::Open(local) = self.line.sound else { return };
        let body = match &self.line.offer {
            Some(theirs) => match self.line.session.answer(theirs, local, Direction::SendRecv) {
                Ok(written) => written.body,
                Err(error) => {
                    self.hang_up(Some(error.to_string()), out);
                    return;
                }
            },
            None => self.line.session.offer(local, Direction::SendRecv),
        };
        match then {
            Then::Ring { status } => {
                let body = Some(body);
                self.leg_command(LegAsk::Ring { status }, out, |ask| LegCommand::Ring { ask, status, body });
            }
            Then::Answer { headers } => {
                self.leg_command(LegAsk::Answer, out, |ask| LegCommand::Answer { ask, body, headers });
                self.line.signal = Signal::Answering;
            }
        }
    }

    fn leg_command(&mut self, kind: LegAsk, out: &mut Vec<Output>, command: impl FnOnce(u32) -> LegCommand) {
        self.leg_asks += 1;
        self.pending_asks.insert(self.leg_asks, kind);
        out.push(Output::Leg(self.leg, command(self.leg_asks)));
    }

    // What the leg tells.

    pub(crate) fn leg_event(&mut self, event: LegEvent, out: &mut Vec<Output>) {
        if self.line.ended().is_some() {
            self.strays += 1;
            return;
        }
        match event {
            LegEvent::Reply { ask, result } => match self.pending_asks.remove(&ask) {
                Some(kind) => self.leg_reply(kind, result, out),
                None => self.strays += 1,
            },
            LegEvent::Confirmed { body } => self.confirmed(body, out),
            LegEvent::Reoffered { body } => self.reoffered(body, out),
            LegEvent::Reconfirmed { body } => self.reconfirmed(&body, out),
            LegEvent::Digit { digit, length_ms } => {
                self.digit_began(digit, out);
                self.digit_ended(digit, length_ms, out);
            }
            LegEvent::Ended(cause) => self.leg_ended(cause, out),
            // Of legs that are offered once and of legs that are dialled: neither is this one.
            LegEvent::Offered(_) | LegEvent::Ringing { .. } | LegEvent::Answered { .. } => self.strays += 1,
        }
    }

    fn leg_reply(&mut self, kind: LegAsk, result: Result<(), Refused>, out: &mut Vec<Output>) {
        match (kind, result) {
            (LegAsk::Ring { status }, Ok(())) => {
                if self.line.is_unanswered() {
                    self.line.signal = Signal::Ringing(status);
                }
                self.record(Change::CallRinging { status }, out);
                self.finish(|wait| matches!(wait, Wait::Ring), Outcome::Done, out);
            }
            (LegAsk::Answer, Ok(())) if self.line.signal == Signal::Answering => {
                self.ledger.answered(self.now, out);
                self.record(Change::CallAnswered, out);
                if self.line.agreed.is_some() {
                    self.line.signal = Signal::Answered;
                    self.sound_agreed(out);
                    self.finish(|wait| matches!(wait, Wait::Answer), Outcome::Done, out);
                    self.last_resort_answered(out);
                } else {
                    self.line.signal = Signal::AwaitingAnswer;
                }
            }
            (LegAsk::Reject | LegAsk::Hangup, Ok(())) => {
                self.finish(|wait| matches!(wait, Wait::Reject | Wait::Hangup), Outcome::Done, out);
            }
            // It is being hung up meanwhile: its end tells everybody.
            (LegAsk::Answer, Ok(())) => {
                if let Signal::Leaving { answered, .. } = &mut self.line.signal {
                    *answered = true;
                    self.ledger.answered(self.now, out);
                    self.record(Change::CallAnswered, out);
                }
            }
            (LegAsk::Reoffer, Ok(())) => {}
            (LegAsk::Answer, Err(refused)) => {
                if self.line.signal == Signal::Answering {
                    self.line.signal = Signal::Offered;
                }
                let outcome = Outcome::Failed(refusal(refused));
                self.finish(|wait| matches!(wait, Wait::Answer), outcome, out);
            }
            (LegAsk::Ring { .. }, Err(refused)) => {
                self.finish(|wait| matches!(wait, Wait::Ring), Outcome::Failed(refusal(refused)), out);
            }
            // A leg that is gone has told, or will tell, of its end. One that cannot be put to an
            // end with these words is put to an end without them.
            (LegAsk::Reject | LegAsk::Hangup, Err(Refused::Invalid(why))) => {
                let outcome = Outcome::Failed(StepError::Argument(why));
                self.finish(|wait| matches!(wait, Wait::Reject | Wait::Hangup), outcome, out);
                self.leg_command(LegAsk::Hangup, out, |ask| LegCommand::Hangup { ask, reason: None });
            }
            (LegAsk::Reject | LegAsk::Hangup, Err(refused)) => {
                let outcome = Outcome::Failed(refusal(refused));
                self.finish(|wait| matches!(wait, Wait::Reject | Wait::Hangup), outcome, out);
            }
            (LegAsk::Reoffer, Err(_)) => self.strays += 1,
        }
    }

    /// The ACK. With a late offer, their answer is in it.
    fn confirmed(&mut self, body: Option<Vec<u8>>, out: &mut Vec<Output>) {
        if self.line.signal != Signal::AwaitingAnswer {
            return;
        }
        let agreed = match body.as_deref() {
            None => Err("the ACK brought no answer to our offer".to_owned()),
            Some(bytes) => Description::read(bytes)
                .and_then(|answer| self.line.session.accept(&answer, Direction::SendRecv))
                .map_err(|error| error.to_string()),
        };
        match agreed {
            Ok(agreed) => {
                self.line.agreed = Some(agreed);
                self.line.signal = Signal::Answered;
                self.update_sound(out);
                self.sound_agreed(out);
                self.finish(|wait| matches!(wait, Wait::Answer), Outcome::Done, out);
                self.last_resort_answered(out);
            }
            Err(why) => {
                let outcome = Outcome::Failed(StepError::Unavailable(why.clone()));
                self.finish(|wait| matches!(wait, Wait::Answer), outcome, out);
                self.hang_up(Some(why), out);
            }
        }
    }

    fn reoffered(&mut self, body: Option<Vec<u8>>, out: &mut Vec<Output>) {
        let (count, since) = &mut self.line.reoffers;
        if self.now.at.since(*since) >= REOFFERS_WITHIN {
            (*count, *since) = (0, self.now.at);
        }
        *count += 1;
        let is_too_often = *count > MOST_REOFFERS;
        let open = match self.line.sound {
            Sound::Open(local) if !is_too_often => Some(local),
            _ => None,
        };
        let Some(local) = open else {
            self.leg_command(LegAsk::Reoffer, out, |ask| LegCommand::RefuseReoffer { ask, status: 500 });
            return;
        };
        let Some(body) = body else {
            // RFC 3264 8: asked for an offer, we offer all that we want.
            let body = self.line.session.offer(local, Direction::SendRecv);
            self.leg_command(LegAsk::Reoffer, out, |ask| LegCommand::AnswerReoffer { ask, body });
            return;
        };
        let written = Description::read(&body)
            .and_then(|offer| Ok((self.line.session.answer(&offer, local, Direction::SendRecv)?, offer)));
        match written {
            Ok((written, offer)) => {
                self.line.offer = Some(offer);
                self.line.agreed = Some(written.agreed);
                let body = written.body;
                self.leg_command(LegAsk::Reoffer, out, |ask| LegCommand::AnswerReoffer { ask, body });
                self.update_sound(out);
            }
            // RFC 3261 14.2: the session stays as it was.
            Err(_) => {
                self.leg_command(LegAsk::Reoffer, out, |ask| LegCommand::RefuseReoffer { ask, status: 488 });
            }
        }
    }

    fn reconfirmed(&mut self, body: &[u8], out: &mut Vec<Output>) {
        let agreed = Description::read(body).and_then(|answer| self.line.session.accept(&answer, Direction::SendRecv));
        match agreed {
            Ok(agreed) => {
                self.line.agreed = Some(agreed);
                self.update_sound(out);
            }
            Err(error) => self.hang_up(Some(error.to_string()), out),
        }
    }

    fn update_sound(&mut self, out: &mut Vec<Output>) {
        let Some(agreed) = &self.line.agreed else { return };
        let held = if agreed.sends { Held::No } else { Held::ByThem };
        out.push(Output::Media(self.leg, MediaCommand::Update(offer::plan(self.tenant, &self.offered, Some(agreed)))));
        if held != self.line.held {
            self.line.held = held;
            self.record(Change::LegHeld { leg: 1, held: held == Held::ByThem }, out);
            let change = LegChange { leg: 1, state: self.line.state() };
            self.tell(GuestEvent::Leg(change), out);
        }
    }

    fn sound_agreed(&mut self, out: &mut Vec<Output>) {
        if let Some(agreed) = &self.line.agreed {
            let codec = offer::codec_name(agreed);
            if !agreed.sends {
                self.line.held = Held::ByThem;
            }
            self.record(Change::LegMedia { leg: 1, codec }, out);
        }
    }

    // What media tells of the line. Of sounds: `play`, `record`, `digits`.

    pub(crate) fn line_media(&mut self, event: MediaEvent, out: &mut Vec<Output>) {
        match event {
            MediaEvent::Opened { rtp } => match std::mem::replace(&mut self.line.sound, Sound::Open(rtp)) {
                Sound::Opening(then) if self.line.is_unanswered() => self.opened_then(then, out),
                // It is ending meanwhile.
                Sound::Opening(_) => {}
                other => {
                    self.strays += 1;
                    self.line.sound = other;
                }
            },
            MediaEvent::Failed(_) if matches!(self.line.sound, Sound::Closing { .. }) => {
                // It was closed before it was known that it never opened.
                self.ledger.counted_last(self.frames);
                self.line.sound = Sound::Gone;
            }
            MediaEvent::Failed(fault) => {
                if !matches!(self.line.sound, Sound::Opening(_)) {
                    self.strays += 1;
                    return;
                }
                let outcome = Outcome::Failed(StepError::Unavailable(media_words(&fault)));
                self.line.sound = Sound::Failed(fault);
                self.finish(|wait| matches!(wait, Wait::Answer | Wait::Ring), outcome, out);
            }
            MediaEvent::Silent { for_ms } => {
                // Who is on hold, or has agreed to send nothing, is silent by right.
                if self.line.held == Held::No && self.line.signal == Signal::Answered {
                    let why = format!("no sound from the far end for {} s", for_ms / 1_000);
                    self.hang_up(Some(why), out);
                }
            }
            MediaEvent::Counted { ask, frames } => {
                self.frames = frames;
                self.ledger.counted(ask as usize, frames);
            }
            MediaEvent::Closed { frames } => {
                self.frames = frames;
                self.ledger.counted_last(frames);
                self.line.sound = Sound::Gone;
            }
            MediaEvent::FirstPacket { .. } => {}
            _ => self.strays += 1,
        }
    }

    pub(crate) fn close_sound(&mut self, out: &mut Vec<Output>) {
        match self.line.sound {
            Sound::Opening(_) | Sound::Open(_) => {
                out.push(Output::Media(self.leg, MediaCommand::Close));
                self.line.sound = Sound::Closing { until: self.now.at + CLOSE_WITHIN };
            }
            Sound::Silent | Sound::Failed(_) => self.line.sound = Sound::Gone,
            Sound::Closing { .. } | Sound::Gone => {}
        }
    }

    fn not_ringing(&self, what: &str) -> StepError {
        match &self.line.signal {
            Signal::Ended(cause) => StepError::Ended(cause.clone()),
            Signal::Leaving { .. } => StepError::State(format!("cannot {what}: the call is being hung up")),
            _ => StepError::State(format!("cannot {what}: the call is answered")),
        }
    }

    pub(crate) fn line_deadline(&self) -> Option<(Instant, &'static str)> {
        match (&self.line.signal, &self.line.sound) {
            (Signal::Leaving { until, .. }, _) => Some((*until, "the leg's end")),
            (Signal::Ended(_), Sound::Closing { until }) => Some((*until, "the sound's end")),
            _ => None,
        }
    }

    pub(crate) fn line_tick(&mut self, now: Now, out: &mut Vec<Output>) {
        if let Signal::Leaving { until, .. } = self.line.signal
            && until <= now.at
        {
            // Signalling owes us an end; a call never waits for ever.
            let cause =
                EndCause { status: 0, reason: "the far end did not answer our good-bye".to_owned(), remote: false };
            self.leg_ended(cause, out);
        }
        if let Sound::Closing { until } = self.line.sound
            && until <= now.at
        {
            self.ledger.counted_last(self.frames);
            self.line.sound = Sound::Gone;
        }
    }
}

pub(crate) fn media_words(fault: &MediaFault) -> String {
    match fault {
        MediaFault::NoAsset(name) => format!("the application has no asset `{name}`"),
        MediaFault::BadAsset(why) => format!("the asset cannot be played: {why}"),
        MediaFault::NoVoice(why) => format!("no voice engine: {why}"),
        MediaFault::NoPort => "no RTP port is free".to_owned(),
        MediaFault::Node(why) => why.clone(),
    }
}

fn refusal(refused: Refused) -> StepError {
    match refused {
        Refused::State(state) => StepError::State(format!("the leg is {state}")),
        Refused::Gone => StepError::State("the leg is gone".to_owned()),
        Refused::Invalid(why) => StepError::Argument(why),
    }
}

/// Signalling gives up after 32 s (RFC 3261 timer F); then it has told us.
const LEAVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(40);
/// Of one far end in a minute: each is written down. Nobody presses hold so often.
const MOST_REOFFERS: u32 = 60;
const REOFFERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// Media needs a moment to finish recordings.
const CLOSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
