//! One leg: its sockets, what it sends every 20 ms, and what it hears.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};

use callbox_audio::FRAME_SAMPLES;
use callbox_audio::g711::Law;
use callbox_model::{
    Codec, Frames, LegKey, MediaEvent, MediaFault, MediaPlan, PlayEnd, RecordPlan, StepId, TenantId, Tone,
};
use callbox_rtp::{
    Digits, EventPacket, Frame, HEADER_BYTES, Heard, Jitter, Latch, Packet, Placed, Press, Received, Reporter, Verdict,
    is_rtcp, write_header,
};

use crate::clips::{Clip, Kept};
use crate::player::{Play, Step};
use crate::recorder::Recorder;
use crate::writer::Writer;

pub(crate) struct Leg {
    pub(crate) key: LegKey,
    pub(crate) port: u16,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    plan: MediaPlan,
    latch: Latch,
    aim: Aim,
    // Sending.
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    talking: Talking,
    current: Option<Play>,
    next: Option<Play>,
    beep: Option<Play>,
    pressing: VecDeque<char>,
    press: Option<(Press, u32)>,
    press_pause: u32,
    greeting: u8,
    // Hearing.
    jitter: Jitter,
    digits: Digits,
    received: Received,
    heard_ms: u64,
    heard: Hearing,
    // Keeping.
    recorder: Option<Recorder>,
    secrecy: Secrecy,
    frames: Frames,
    reporter: Reporter,
    report_at_ms: u64,
    scratch: Vec<Heard>,
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// Nothing is known of the far end yet.
    Nowhere,
    At(SocketAddr),
    /// The socket is connected: the kernel drops what comes from elsewhere.
    Connected(SocketAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talking {
    /// The next packet begins a talk spurt: it has the marker.
    Quiet,
    Speaking,
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
        chance: [u32; 3],
    ) -> Self {
        let [ssrc, timestamp, sequence] = chance;
        let signalled = plan.remote.as_ref().map(|remote| remote.rtp);
        let mut leg = Self {
            key,
            port,
            rtp: sockets.0,
            rtcp: sockets.1,
            latch: Latch::new(now_ms, signalled, plan.peer),
            plan,
            aim: Aim::Nowhere,
            sequence: sequence as u16,
            timestamp,
            ssrc,
            talking: Talking::Quiet,
            current: None,
            next: None,
            beep: None,
            pressing: VecDeque::new(),
            press: None,
            press_pause: 0,
            greeting: GREETING_FRAMES,
            jitter: Jitter::new(JITTER_FRAMES),
            digits: Digits::default(),
            received: Received::default(),
            heard_ms: now_ms,
            heard: Hearing::Nothing,
            recorder: None,
            secrecy: Secrecy::Open,
            frames: Frames::default(),
            reporter: Reporter::new(ssrc, format!("{ssrc:08x}@callbox")),
            report_at_ms: now_ms + REPORT_MS,
            scratch: Vec::new(),
        };
        leg.take_aim();
        leg
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

    pub(crate) fn update(&mut self, plan: MediaPlan, now_ms: u64) {
        let signalled = plan.remote.as_ref().map(|remote| remote.rtp);
        let is_moved = signalled != self.plan.remote.as_ref().map(|remote| remote.rtp);
        self.latch.update(now_ms, signalled, plan.peer);
        self.plan = plan;
        self.heard_ms = now_ms;
        if is_moved {
            if let Aim::Connected(_) = self.aim {
                // Without it the kernel would go on dropping the new place's packets.
                let _ = rustix::net::connect_unspec(&self.rtp);
            }
            self.take_aim();
        }
    }

    fn take_aim(&mut self) {
        self.aim = match &self.plan.remote {
            Some(remote) if remote.rtp.port() != 0 && !remote.rtp.ip().is_unspecified() => Aim::At(remote.rtp),
            _ => Aim::Nowhere,
        };
    }

    // What is asked.

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

    pub(crate) fn press(&mut self, digits: &str) {
        self.pressing.extend(digits.chars().take(MOST_PRESSED));
    }

    pub(crate) fn record(&mut self, step: StepId, plan: RecordPlan, writer: &Writer) {
        if plan.beep {
            let tone = Tone { first_hz: 1_000, second_hz: None, length: 200 };
            let samples = callbox_audio::Tone::new(tone.first_hz, None, tone.length).samples();
            let mut beep = Play::new(step, self.law(), 1, 1);
            beep.ready(Ok(Clip::whole(Kept::free(self.law().encode_all(&samples)))));
            self.beep = Some(beep);
        }
        self.recorder = Some(Recorder::new(step, plan, writer));
    }

    pub(crate) fn recorder(&mut self, step: StepId) -> Option<&mut Recorder> {
        self.recorder.as_mut().filter(|recorder| recorder.step == step)
    }

    pub(crate) fn stop_record(&mut self, step: StepId, by: &'static str, writer: &Writer, events: &crate::Events) {
        if let Some(recorder) = self.recorder.take_if(|recorder| recorder.step == step) {
            let (key, events) = (self.key, events.clone());
            recorder.finish(by, writer, move |end| events(key, MediaEvent::Recorded { step, end }));
        }
    }

    pub(crate) fn sensitive(&mut self, is_sensitive: bool) {
        self.secrecy = if is_sensitive { Secrecy::Sensitive } else { Secrecy::Open };
    }

    /// Everything ends, and is told, before the leg itself is.
    pub(crate) fn close(mut self, tick: &mut Tick<'_>) {
        for play in [self.current.take(), self.next.take()].into_iter().flatten() {
            self.ended(play, PlayEnd::Stopped, tick.tell);
        }
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
            None => events(key, MediaEvent::Closed { frames }),
        }
    }

    // What comes.

    /// Takes what has come, but no more than a flood may cost.
    pub(crate) fn receive(&mut self, now_ms: u64, buffer: &mut [u8], tell: &dyn Fn(LegKey, MediaEvent)) {
        for _ in 0..MOST_PACKETS {
            match self.rtp.recv_from(buffer) {
                Ok((count, source)) => self.packet(now_ms, source, &buffer[..count], tell),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier packet: the far end's port is closed.
                Err(_) => {}
            }
        }
    }

    pub(crate) fn receive_reports(&mut self, buffer: &mut [u8]) {
        // Read, so that the socket does not fill up; what they say of our sound changes nothing.
        for _ in 0..MOST_PACKETS {
            if self.rtcp.recv_from(buffer).is_err() {
                return;
            }
        }
    }

    fn packet(&mut self, now_ms: u64, source: SocketAddr, bytes: &[u8], tell: &dyn Fn(LegKey, MediaEvent)) {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let Some(packet) = Packet::read(bytes).filter(|_| !is_rtcp(bytes)) else {
            self.frames.dropped += 1;
            return;
        };
        match self.latch.hear(now_ms, source, packet.ssrc, packet.sequence) {
            Verdict::Drop => {
                self.frames.dropped += 1;
                return;
            }
            Verdict::Locked => {
                self.aim = match rustix::net::connect(&self.rtp, &source) {
                    Ok(()) => Aim::Connected(source),
                    Err(_) => Aim::At(source),
                };
                tell(self.key, MediaEvent::FirstPacket { from: source });
            }
            Verdict::Pass => {}
        }
        self.heard_ms = now_ms;
        self.heard = Hearing::Sound;
        let Some(remote) = &self.plan.remote else { return };
        self.received.hear(now_ms, packet.ssrc, packet.sequence, packet.timestamp);
        if Some(packet.payload_type) == remote.dtmf_payload_type {
            if let Some(event) = EventPacket::read(packet.payload) {
                self.digits.hear(now_ms, packet.ssrc, packet.timestamp, event, &mut self.scratch);
                self.tell_digits(tell);
            }
            return;
        }
        let Some(&(_, codec)) = remote.accept.iter().find(|(payload, _)| *payload == packet.payload_type) else {
            self.frames.dropped += 1;
            return;
        };
        self.frames.received += 1;
        if self.recorder.is_some() {
            // Kept as our own law, so that a frame needs no label.
            let ours = self.law();
            let is_kept = if law(codec) == ours {
                self.jitter.put(packet.ssrc, packet.sequence, packet.payload)
            } else {
                let theirs = law(codec);
                let payload: Vec<u8> = packet.payload.iter().map(|&byte| ours.encode(theirs.decode(byte))).collect();
                self.jitter.put(packet.ssrc, packet.sequence, &payload)
            };
            self.frames.dropped += u64::from(is_kept != Placed::Kept);
        }
    }

    fn tell_digits(&mut self, tell: &dyn Fn(LegKey, MediaEvent)) {
        for heard in self.scratch.drain(..) {
            let event = match heard {
                Heard::Began(digit) => MediaEvent::DigitBegan { digit },
                Heard::Ended { digit, length_ms } => MediaEvent::DigitEnded { digit, length: length_ms },
            };
            tell(self.key, event);
        }
    }

    // Every 20 ms.

    /// `behind` ticks were left out because the thread was late: time has passed all the same.
    pub(crate) fn tick(&mut self, tick: &mut Tick<'_>, behind: u32) {
        self.timestamp = self.timestamp.wrapping_add((behind + 1).wrapping_mul(FRAME_SAMPLES as u32));
        if self.digits.is_open() {
            self.digits.tick(tick.now_ms, &mut self.scratch);
            self.tell_digits(tick.tell);
        }
        let mut frame = [0u8; HEADER_BYTES + FRAME_SAMPLES];
        let law = self.law();
        let said = self.fill(law, &mut frame, tick.tell);
        if self.send_digit(tick.tell) {
            self.talking = Talking::Quiet;
        } else if said {
            self.send(&mut frame);
        } else {
            self.talking = Talking::Quiet;
        }
        if self.recorder.is_some() {
            self.keep(law, said.then_some(&frame[HEADER_BYTES..]), tick);
        }
        if tick.now_ms >= self.report_at_ms {
            self.report_at_ms = tick.now_ms + REPORT_MS / 2 + u64::from(self.ssrc) % REPORT_MS;
            self.report(tick, false);
        }
        let wants_sound = self.plan.remote.as_ref().is_some_and(|remote| remote.receive);
        if wants_sound && self.heard != Hearing::Missed && tick.now_ms.saturating_sub(self.heard_ms) >= tick.silence_ms
        {
            self.heard = Hearing::Missed;
            (tick.tell)(self.key, MediaEvent::Silent { for_ms: u32::try_from(tick.silence_ms).unwrap_or(u32::MAX) });
        }
    }

    /// The next frame of what is played. False: nothing is.
    fn fill(&mut self, law: Law, frame: &mut [u8], tell: &dyn Fn(LegKey, MediaEvent)) -> bool {
        let may_send = self.plan.remote.as_ref().is_some_and(|remote| remote.send) && self.aim != Aim::Nowhere;
        let sound = &mut frame[HEADER_BYTES..];
        if let Some(beep) = &mut self.beep {
            if beep.fill(law, sound) == Step::Over {
                self.beep = None;
            }
            return may_send;
        }
        if let Some(play) = &mut self.current {
            let before = play.played_ms();
            match play.fill(law, sound) {
                Step::Frame => return may_send,
                Step::Waiting => {}
                Step::Over => {
                    let is_heard = play.played_ms() > before;
                    if let Some(play) = self.current.take() {
                        let (step, played) = (play.step, play.played_ms());
                        tell(self.key, MediaEvent::Played { step, played, end: play.own_end() });
                    }
                    if is_heard {
                        return may_send;
                    }
                }
            }
        }
        if self.greeting > 0 && may_send {
            // A little silence opens NATs, and shows phones where we are.
            self.greeting -= 1;
            sound.fill(law.silence());
            return true;
        }
        false
    }

    fn send(&mut self, frame: &mut [u8; HEADER_BYTES + FRAME_SAMPLES]) {
        let Some(remote) = &self.plan.remote else { return };
        let packet = Packet {
            payload_type: remote.payload_type,
            marker: self.talking == Talking::Quiet,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: &[],
        };
        if let Some(head) = frame.first_chunk_mut() {
            write_header(head, &packet);
        }
        self.put(frame);
        self.talking = Talking::Speaking;
        self.frames.sent += 1;
    }

    fn put(&mut self, bytes: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        self.reporter.sent(bytes.len() - HEADER_BYTES);
        // What the kernel does not take is lost, as on any network.
        let _ = match self.aim {
            Aim::Nowhere => return,
            Aim::At(to) => self.rtp.send_to(bytes, to),
            Aim::Connected(_) => self.rtp.send(bytes),
        };
    }

    /// True while a digit is being sent, in place of sound.
    fn send_digit(&mut self, tell: &dyn Fn(LegKey, MediaEvent)) -> bool {
        if self.press_pause > 0 {
            self.press_pause -= 1;
            return false;
        }
        if self.press.is_none() {
            match self.pressing.pop_front() {
                None => return false,
                Some('w') => {
                    self.press_pause = 25;
                    return false;
                }
                Some(digit) => self.press = Press::new(digit, PRESS_MS).map(|press| (press, self.timestamp)),
            }
        }
        let Some((press, timestamp)) = &mut self.press else { return false };
        let Some((event, is_first)) = press.next_packet() else {
            self.press = None;
            self.press_pause = 3;
            if self.pressing.is_empty() {
                tell(self.key, MediaEvent::DigitsSent);
            }
            return false;
        };
        let payload_type = self.plan.remote.as_ref().and_then(|remote| remote.dtmf_payload_type);
        let Some(payload_type) = payload_type else { return false };
        let packet = Packet {
            payload_type,
            marker: is_first,
            sequence: self.sequence,
            timestamp: *timestamp,
            ssrc: self.ssrc,
            payload: &[],
        };
        let mut bytes = [0u8; HEADER_BYTES + 4];
        if let Some(head) = bytes.first_chunk_mut() {
            write_header(head, &packet);
        }
        bytes[HEADER_BYTES..].copy_from_slice(&event.bytes());
        self.put(&bytes);
        true
    }

    fn keep(&mut self, law: Law, said: Option<&[u8]>, tick: &mut Tick<'_>) {
        let (mut received, mut sent) = ([0i16; FRAME_SAMPLES], [0i16; FRAME_SAMPLES]);
        if let Frame::Sound(payload) = self.jitter.take() {
            // Digits that are nobody's business are not heard in it either.
            if self.secrecy == Secrecy::Open {
                for (slot, &byte) in received.iter_mut().zip(&payload) {
                    *slot = law.decode(byte);
                }
            }
            self.jitter.give_back(payload);
        }
        for (slot, &byte) in sent.iter_mut().zip(said.unwrap_or_default()) {
            *slot = law.decode(byte);
        }
        // A recording begins after its beep.
        if self.beep.is_some() {
            return;
        }
        let Some(recorder) = &mut self.recorder else { return };
        let step = recorder.step;
        if let Some(by) = recorder.hear(&received, &sent, tick.writer) {
            self.stop_record(step, by, tick.writer, tick.events);
        }
    }

    fn report(&mut self, tick: &mut Tick<'_>, is_last: bool) {
        let Some(remote) = &self.plan.remote else { return };
        // Reports go where the sound comes from; to nobody, before anything came.
        let to = match self.aim {
            Aim::Connected(rtp) if rtp != remote.rtp => SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)),
            _ => remote.rtcp,
        };
        if to.port() == 0 || to.ip().is_unspecified() {
            return;
        }
        self.reporter.report(tick.wall_us, self.timestamp, &mut self.received, is_last, tick.buffer);
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

/// RFC 3550 6.2 with few members: every five seconds, give or take half.
const REPORT_MS: u64 = 5_000;
/// 60 ms: what phones on a mobile network need.
const JITTER_FRAMES: usize = 3;
const GREETING_FRAMES: u8 = 3;
/// Packets of one leg in one tick: a phone sends one, or two after a stall.
const MOST_PACKETS: usize = 16;
const PRESS_MS: u32 = 100;
const MOST_PRESSED: usize = 256;
