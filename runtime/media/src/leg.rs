//! One leg: what it is asked for, and its 20 ms ticks.

mod hearing;
mod keeping;
mod saying;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use callbox_audio::FRAME_SAMPLES;
use callbox_audio::g711::Law;
use callbox_model::{
    BridgeDigits, Codec, Frames, LegKey, MediaEvent, MediaFault, MediaPlan, PlayEnd, RecordPlan, StepId, TenantId, Tone,
};
use callbox_rtp::{Digits, HEADER_BYTES, Heard, Jitter, Outgoing, Received, Reporter};

use crate::aim::Aim;
use crate::clips::{Clip, Kept};
use crate::keypad::Keypad;
use crate::player::Play;
use crate::recorder::Recorder;
use crate::writer::{Task, Writer};

pub(crate) use hearing::Came;

pub(crate) struct Leg {
    pub(crate) key: LegKey,
    pub(crate) port: u16,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    /// When its next frame is due, on the clock of all threads.
    pub(crate) due_ms: u64,
    pub(crate) link: Link,
    pub(crate) watch: Watch,
    plan: MediaPlan,
    aim: Aim,
    // Sending.
    out: Outgoing,
    current: Option<Play>,
    next: Option<Play>,
    beep: Option<Play>,
    keypad: Keypad,
    greeting: u8,
    // Hearing.
    digits: Digits,
    received: Received,
    heard_ms: u64,
    heard: Hearing,
    /// What packets may still cost before the next tick.
    budget: u32,
    // Keeping.
    recorder: Option<Recorder>,
    /// Held by each recording that has ended and is still being put in its place.
    finishing: Arc<()>,
    /// What the far end said, in our law.
    from_far: Jitter,
    /// What it heard of the leg it is bridged with, in our law.
    from_other: Jitter,
    secrecy: Secrecy,
    frames: Frames,
    reporter: Reporter,
    report_at_ms: u64,
    scratch: Vec<Heard>,
}

/// How it stands to another leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Alone,
    /// A bridge was asked for, and the other leg is on its way.
    Waiting {
        with: LegKey,
    },
    /// With the leg of that number, on the same thread.
    Bridged {
        with: usize,
        digits: BridgeDigits,
    },
}

/// Who waits for its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Nobody,
    /// They are taken with the next tick of whichever leg.
    Calm,
    /// They wake the thread.
    Live,
    /// They would, but more have come than should; they wait until the leg's tick.
    Hushed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    Nothing,
    Sound,
    /// It was told that nothing is heard any more.
    Missed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrecy {
    Open,
    Sensitive,
}

/// What a leg is told with every tick.
pub(crate) struct Tick<'a> {
    pub(crate) now_ms: u64,
    pub(crate) wall_us: i64,
    pub(crate) silence_ms: u64,
    pub(crate) writer: &'a Writer,
    pub(crate) buffer: &'a mut Vec<u8>,
    pub(crate) tell: &'a dyn Fn(LegKey, MediaEvent),
    pub(crate) events: &'a crate::Events,
}

impl Leg {
    pub(crate) fn new(
        key: LegKey,
        port: u16,
        sockets: (UdpSocket, UdpSocket),
        plan: MediaPlan,
        now_ms: u64,
        due_ms: u64,
        chance: [u32; 3],
    ) -> Self {
        let [ssrc, timestamp, sequence] = chance;
        Self {
            key,
            port,
            rtp: sockets.0,
            rtcp: sockets.1,
            due_ms,
            link: Link::Alone,
            watch: Watch::Nobody,
            aim: Aim::new(now_ms, &plan),
            plan,
            out: Outgoing::new(ssrc, sequence as u16, timestamp),
            current: None,
            next: None,
            beep: None,
            keypad: Keypad::default(),
            greeting: GREETING_FRAMES,
            digits: Digits::default(),
            received: Received::default(),
            heard_ms: now_ms,
            heard: Hearing::Nothing,
            budget: hearing::BUDGET,
            recorder: None,
            finishing: Arc::new(()),
            from_far: Jitter::new(JITTER_FRAMES),
            from_other: Jitter::new(JITTER_FRAMES),
            secrecy: Secrecy::Open,
            frames: Frames::default(),
            reporter: Reporter::new(ssrc, format!("{ssrc:08x}@callbox")),
            report_at_ms: now_ms + REPORT_MS,
            scratch: Vec::new(),
        }
    }

    /// Its local address, by the name that its plan has for it.
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.plan.local, self.port)
    }

    pub(crate) fn frames(&self) -> Frames {
        self.frames
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.plan.tenant
    }

    pub(crate) fn law(&self) -> Law {
        self.plan.remote.as_ref().map_or(Law::Mu, |remote| law(remote.codec))
    }

    // What is asked.

    pub(crate) fn update(&mut self, plan: MediaPlan, now_ms: u64) {
        let before = self.law();
        if self.aim.update(now_ms, &plan, &self.rtp) {
            self.greeting = GREETING_FRAMES;
        }
        self.plan = plan;
        self.heard_ms = now_ms;
        if self.law() != before {
            self.forget_kept();
        }
    }

    /// A play whose sounds are being prepared. What plays goes on until it can begin.
    pub(crate) fn play(&mut self, play: Play, tell: &dyn Fn(LegKey, MediaEvent)) {
        if let Some(never) = self.next.replace(play) {
            self.ended(never, PlayEnd::Replaced, tell);
        }
    }

    pub(crate) fn ready(&mut self, step: StepId, clip: Result<Clip, MediaFault>, tell: &dyn Fn(LegKey, MediaEvent)) {
        if let Some(play) = [&mut self.current, &mut self.next].into_iter().flatten().find(|play| play.step == step) {
            play.ready(clip);
        }
        if self.next.as_ref().is_some_and(Play::can_begin) {
            let old = std::mem::replace(&mut self.current, self.next.take());
            if let Some(old) = old {
                self.ended(old, PlayEnd::Replaced, tell);
            }
        }
    }

    pub(crate) fn stop_play(&mut self, step: StepId, tell: &dyn Fn(LegKey, MediaEvent)) {
        for slot in [&mut self.current, &mut self.next] {
            if let Some(play) = slot.take_if(|play| play.step == step) {
                let (key, played) = (self.key, play.played_ms());
                tell(key, MediaEvent::Played { step, played, end: PlayEnd::Stopped });
            }
        }
    }

    pub(crate) fn press(&mut self, digits: &str, tell: &dyn Fn(LegKey, MediaEvent)) {
        let result = match self.way() {
            crate::keypad::Way::Closed(why) => Err(MediaFault::Node(why.to_owned())),
            _ => self.keypad.ask(digits),
        };
        if result.is_err() {
            tell(self.key, MediaEvent::DigitsSent { result });
        }
    }

    pub(crate) fn record(&mut self, step: StepId, plan: RecordPlan, writer: &Writer, events: &crate::Events) {
        if let Some(before) = &self.recorder {
            self.stop_record(before.step, "stopped", writer, events);
        }
        if plan.beep {
            let tone = Tone { first_hz: 1_000, second_hz: None, length: 200 };
            let samples = callbox_audio::Tone::new(tone.first_hz, None, tone.length).samples();
            let mut beep = Play::new(step, self.law(), 1, 1);
            beep.ready(Ok(Clip::whole(Kept::free(self.law().encode_all(&samples)))));
            self.beep = Some(beep);
        }
        self.forget_kept();
        self.recorder = Some(Recorder::new(step, plan, writer));
    }

    pub(crate) fn recorder(&mut self, step: StepId) -> Option<&mut Recorder> {
        self.recorder.as_mut().filter(|recorder| recorder.step == step)
    }

    pub(crate) fn stop_record(&mut self, step: StepId, by: &'static str, writer: &Writer, events: &crate::Events) {
        if let Some(recorder) = self.recorder.take_if(|recorder| recorder.step == step) {
            let (key, events, finishing) = (self.key, events.clone(), self.finishing.clone());
            recorder.finish(by, writer, move |end| {
                events(key, MediaEvent::Recorded { step, end });
                drop(finishing);
            });
        }
    }

    pub(crate) fn sensitive(&mut self, is_sensitive: bool) {
        self.secrecy = if is_sensitive { Secrecy::Sensitive } else { Secrecy::Open };
    }

    /// A bridge begins: what comes of the other is a new source.
    pub(crate) fn join(&mut self, with: usize, digits: BridgeDigits) {
        self.link = Link::Bridged { with, digits };
        self.out.turn();
    }

    /// Everything ends, and is told, before the leg itself is.
    pub(crate) fn close(mut self, tick: &mut Tick<'_>) {
        for play in [self.current.take(), self.next.take()].into_iter().flatten() {
            self.ended(play, PlayEnd::Stopped, tick.tell);
        }
        let unsent = self.keypad.give_up();
        self.digits_failed(unsent, "the leg is closed", tick.tell);
        self.report(tick, true);
        let (key, frames, events) = (self.key, self.frames, tick.events.clone());
        match self.recorder.take() {
            Some(recorder) => {
                let step = recorder.step;
                // `Closed` is last: it waits for the file.
                recorder.finish("closed", tick.writer, move |end| {
                    events(key, MediaEvent::Recorded { step, end });
                    events(key, MediaEvent::Closed { frames });
                });
            }
            // One that was stopped a moment ago has not told of its end yet.
            None if Arc::strong_count(&self.finishing) > 1 => {
                let done = Box::new(move || events(key, MediaEvent::Closed { frames }));
                if let Err(Task::Then(done)) = tick.writer.give(Task::Then(done)) {
                    done();
                }
            }
            None => events(key, MediaEvent::Closed { frames }),
        }
    }

    // Every 20 ms.

    /// The tick of `at_ms`. Those that were left out because the thread was late are time that has
    /// passed all the same.
    pub(crate) fn tick(&mut self, tick: &mut Tick<'_>, at_ms: u64) {
        let frames = (at_ms.saturating_sub(self.due_ms) / FRAME_MS + 1) as u32;
        self.due_ms = at_ms + FRAME_MS;
        self.budget = hearing::BUDGET;
        self.out.tick(frames.wrapping_mul(FRAME_SAMPLES as u32));
        if self.digits.is_open() {
            self.digits.tick(tick.now_ms, &mut self.scratch);
            self.tell_digits(tick.tell);
        }
        let mut frame = [0u8; HEADER_BYTES + FRAME_SAMPLES];
        let law = self.law();
        let mut said = self.fill(law, &mut frame, tick.tell);
        if self.send_digit(tick.tell) {
            said = false;
        } else if said {
            self.send(&mut frame);
        } else {
            self.out.rest();
        }
        if self.recorder.is_some() {
            self.keep(law, said.then_some(&frame[HEADER_BYTES..]), tick);
        }
        if tick.now_ms >= self.report_at_ms {
            self.report_at_ms = tick.now_ms + REPORT_MS / 2 + u64::from(self.out.ssrc()) % REPORT_MS;
            self.report(tick, false);
        }
        let wants_sound = self.plan.remote.as_ref().is_some_and(|remote| remote.receive);
        if wants_sound && self.heard != Hearing::Missed && tick.now_ms.saturating_sub(self.heard_ms) >= tick.silence_ms
        {
            self.heard = Hearing::Missed;
            (tick.tell)(self.key, MediaEvent::Silent { for_ms: u32::try_from(tick.silence_ms).unwrap_or(u32::MAX) });
        }
    }

    fn report(&mut self, tick: &mut Tick<'_>, is_last: bool) {
        let Some(to) = self.aim.reports() else { return };
        self.reporter.report(tick.wall_us, self.out.timestamp(), &mut self.received, is_last, tick.buffer);
        let _ = self.rtcp.send_to(tick.buffer, to);
    }

    fn ended(&self, play: Play, end: PlayEnd, tell: &dyn Fn(LegKey, MediaEvent)) {
        tell(self.key, MediaEvent::Played { step: play.step, played: play.played_ms(), end });
    }
}

fn law(codec: Codec) -> Law {
    match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    }
}

pub(crate) const FRAME_MS: u64 = 20;
/// RFC 3550 6.2 with few members: every five seconds, give or take half.
const REPORT_MS: u64 = 5_000;
/// 60 ms: what phones on a mobile network need.
const JITTER_FRAMES: usize = 3;
const GREETING_FRAMES: u8 = 3;
