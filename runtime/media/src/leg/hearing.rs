//! What comes from the far end.

use std::ops::Range;

use callbox_audio::g711::Law;
use callbox_model::{LegKey, MediaEvent};
use callbox_rtp::{EventPacket, Heard, Packet, Placed, Verdict, is_rtcp};

use super::{Hearing, Leg, Secrecy, law};

/// A packet that came, for the leg at the other side of a bridge. Its bytes are in the buffer that
/// it was read into.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Without payload.
    pub(super) packet: Packet<'static>,
    pub(super) payload: Range<usize>,
    pub(super) what: What,
    pub(super) secrecy: Secrecy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Sound(Law),
    Event(EventPacket),
    /// It stays here.
    Kept,
}

/// What became of a wake.
pub(crate) enum Came {
    Nothing,
    /// For this leg alone, or for nobody.
    Packet,
    ToPass(Passing),
}

impl Leg {
    /// Takes one packet. `Nothing`: none waits.
    pub(crate) fn receive(&mut self, now_ms: u64, buffer: &mut [u8], tell: &dyn Fn(LegKey, MediaEvent)) -> Came {
        let (count, from) = match self.aim.receive(&self.rtp, buffer) {
            Ok(came) => came,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Came::Nothing,
            // An ICMP error of an earlier packet: the far end's port is closed.
            Err(_) => return Came::Packet,
        };
        self.budget = self.budget.saturating_sub(1);
        let bytes = &buffer[..count];
        let Some(packet) = Packet::read(bytes).filter(|_| !is_rtcp(bytes)) else {
            self.frames.dropped += 1;
            return Came::Packet;
        };
        match self.aim.hear(now_ms, &self.plan, &self.rtp, from, &packet) {
            Verdict::Drop => {
                self.frames.dropped += 1;
                return Came::Packet;
            }
            Verdict::Locked => tell(self.key, MediaEvent::FirstPacket { from }),
            Verdict::Pass => {}
        }
        self.budget = self.budget.saturating_sub(PACKET_COST);
        self.heard_ms = now_ms;
        self.heard = Hearing::Sound;
        let what = self.hear(now_ms, &packet, tell);
        let begin = packet.payload.as_ptr() as usize - bytes.as_ptr() as usize;
        Came::ToPass(Passing {
            payload: begin..begin + packet.payload.len(),
            packet: bare(&packet),
            what,
            secrecy: self.secrecy,
        })
    }

    /// More has come since the last tick than a phone sends.
    pub(crate) fn is_flooded(&self) -> bool {
        self.budget == 0
    }

    pub(crate) fn receive_report(&mut self, buffer: &mut [u8]) {
        // Read, so that the socket does not fill up; what they say of our sound changes nothing.
        let _ = self.rtcp.recv(buffer);
    }

    fn hear(&mut self, now_ms: u64, packet: &Packet<'_>, tell: &dyn Fn(LegKey, MediaEvent)) -> What {
        let Some(remote) = &self.plan.remote else { return What::Kept };
        let is_wanted = remote.receive;
        self.received.hear(now_ms, packet.ssrc, packet.sequence, packet.timestamp);
        if Some(packet.payload_type) == remote.dtmf_payload_type {
            let Some(event) = EventPacket::read(packet.payload) else { return What::Kept };
            self.digits.hear(now_ms, packet.ssrc, packet.timestamp, event, &mut self.scratch);
            self.tell_digits(tell);
            // Digits that are nobody's business pass no bridge.
            return if is_wanted && self.secrecy == Secrecy::Open { What::Event(event) } else { What::Kept };
        }
        let Some(&(_, codec)) = remote.accept.iter().find(|(payload, _)| *payload == packet.payload_type) else {
            self.frames.dropped += 1;
            return What::Kept;
        };
        self.frames.received += 1;
        let theirs = law(codec);
        if self.recorder.is_some() {
            // Kept as our own law, so that a frame needs no label.
            let placed = self.put(packet, theirs);
            self.frames.dropped += u64::from(placed != Placed::Kept);
        }
        // Some phones send a digit's tone beside its event.
        let is_secret = self.secrecy == Secrecy::Sensitive && self.digits.is_open();
        if is_wanted && !is_secret { What::Sound(theirs) } else { What::Kept }
    }

    fn put(&mut self, packet: &Packet<'_>, theirs: Law) -> Placed {
        let ours = self.law();
        let mut frame = [0u8; MOST_PAYLOAD];
        let count = packet.payload.len().min(MOST_PAYLOAD);
        let frame = &mut frame[..count];
        frame.copy_from_slice(&packet.payload[..count]);
        theirs.translate(ours, frame);
        self.from_far.put(packet.ssrc, packet.sequence, frame)
    }

    pub(super) fn tell_digits(&mut self, tell: &dyn Fn(LegKey, MediaEvent)) {
        for heard in self.scratch.drain(..) {
            let event = match heard {
                Heard::Began(digit) => MediaEvent::DigitBegan { digit },
                Heard::Ended { digit, length_ms } => MediaEvent::DigitEnded { digit, length: length_ms },
            };
            tell(self.key, event);
        }
    }
}

fn bare(packet: &Packet<'_>) -> Packet<'static> {
    let Packet { payload_type, marker, sequence, timestamp, ssrc, payload: _ } = *packet;
    Packet { payload_type, marker, sequence, timestamp, ssrc, payload: &[] }
}

/// Of one that is heard, beside one that is dropped: 16 and 256 are heard and dropped in a tick,
/// where a phone sends one, or two after a stall.
const PACKET_COST: u32 = 15;
pub(super) const BUDGET: u32 = 256;
/// 60 ms of sound; of a longer packet the rest is not recorded.
const MOST_PAYLOAD: usize = 480;
