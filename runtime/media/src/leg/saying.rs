//! What goes to the far end: what plays, digits, and the leg at the other side of a bridge.

use callbox_audio::FRAME_SAMPLES;
use callbox_audio::g711::Law;
use callbox_model::{BridgeDigits, LegKey, MediaEvent, MediaFault};
use callbox_rtp::{Content, HEADER_BYTES, Packet, Stamp, write_header};

use super::hearing::{Passing, What};
use super::{FRAME_MS, Leg, Link, Secrecy};
use crate::keypad::{Stroked, Way};
use crate::player::Step;

impl Leg {
    /// The next frame of what is played. False: nothing is.
    pub(super) fn fill(&mut self, law: Law, frame: &mut [u8], tell: &dyn Fn(LegKey, MediaEvent)) -> bool {
        let may_send = self.may_send();
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

    pub(super) fn send(&mut self, frame: &mut [u8; HEADER_BYTES + FRAME_SAMPLES]) {
        let Some(remote) = &self.plan.remote else { return };
        let payload_type = remote.payload_type;
        let stamp = self.out.frame(FRAME_SAMPLES as u32);
        self.put_packet(payload_type, stamp, frame);
        self.frames.sent += 1;
    }

    /// A packet of the leg it is bridged with. Its payload stands in `buffer`, with room for a
    /// header before it.
    pub(crate) fn relay(&mut self, now_ms: u64, passing: Passing, buffer: &mut [u8]) {
        let Link::Bridged { digits, .. } = self.link else { return };
        let Passing { packet, payload, what, secrecy } = passing;
        let ours = self.law();
        let Some(remote) = self.plan.remote.as_ref().filter(|_| self.may_send() && !self.is_busy()) else {
            return self.out.skip(&packet);
        };
        let (payload_type, content) = match (what, remote.dtmf_payload_type) {
            (What::Sound(theirs), _) => {
                theirs.translate(ours, &mut buffer[payload.clone()]);
                if self.recorder.is_some() && secrecy == Secrecy::Open {
                    self.from_other.put(packet.ssrc, packet.sequence, &buffer[payload.clone()]);
                }
                (remote.payload_type, Content::Sound(payload.len() as u32))
            }
            (What::Event(event), Some(theirs)) if digits == BridgeDigits::Pass => {
                (theirs, Content::Event(event.duration))
            }
            (What::Event(_) | What::Kept, _) => return self.out.skip(&packet),
        };
        // Its last tick was a frame before the next one.
        let since_ms = (now_ms + FRAME_MS).saturating_sub(self.due_ms).min(FRAME_MS);
        let Some(stamp) = self.out.relay(since_ms as u32 * SAMPLES_MS, &packet, content) else { return };
        self.put_packet(payload_type, stamp, &mut buffer[payload.start - HEADER_BYTES..payload.end]);
        self.greeting = 0;
        self.frames.sent += u64::from(matches!(content, Content::Sound(_)));
    }

    /// What is heard in place of the other.
    fn is_busy(&self) -> bool {
        self.current.is_some() || self.beep.is_some() || self.keypad.is_pressing()
    }

    fn may_send(&self) -> bool {
        self.plan.remote.as_ref().is_some_and(|remote| remote.send) && !self.aim.is_nowhere()
    }

    /// True while a digit is being sent, in place of sound.
    pub(super) fn send_digit(&mut self, tell: &dyn Fn(LegKey, MediaEvent)) -> bool {
        let way = self.way();
        let out = &mut self.out;
        match self.keypad.tick(way, || out.begin()) {
            Ok(Stroked::Nothing) => {}
            Ok(Stroked::Sent) => tell(self.key, MediaEvent::DigitsSent { result: Ok(()) }),
            Ok(Stroked::Packet { event, is_first, timestamp }) => {
                let Some(payload_type) = self.plan.remote.as_ref().and_then(|remote| remote.dtmf_payload_type) else {
                    return false;
                };
                let stamp = self.out.event(timestamp, is_first);
                let mut bytes = [0u8; HEADER_BYTES + 4];
                bytes[HEADER_BYTES..].copy_from_slice(&event.bytes());
                self.put_packet(payload_type, stamp, &mut bytes);
                return true;
            }
            Err((requests, why)) => self.digits_failed(requests, why, tell),
        }
        false
    }

    /// Whether digits can be sent.
    pub(super) fn way(&self) -> Way {
        match &self.plan.remote {
            Some(remote) if remote.dtmf_payload_type.is_none() => Way::Closed("the far end takes no telephone-event"),
            Some(remote) if !remote.send => Way::Closed("the far end has put us on hold"),
            Some(_) if self.aim.is_nowhere() => Way::Awaited,
            Some(_) => Way::Open,
            None => Way::Closed("nothing is agreed with the far end yet"),
        }
    }

    pub(super) fn digits_failed(&self, requests: usize, why: &str, tell: &dyn Fn(LegKey, MediaEvent)) {
        for _ in 0..requests {
            tell(self.key, MediaEvent::DigitsSent { result: Err(MediaFault::Node(why.to_owned())) });
        }
    }

    /// Writes the header into the first bytes, and sends all.
    fn put_packet(&mut self, payload_type: u8, stamp: Stamp, bytes: &mut [u8]) {
        let Stamp { sequence, timestamp, marker } = stamp;
        let packet = Packet { payload_type, marker, sequence, timestamp, ssrc: self.out.ssrc(), payload: &[] };
        if let Some(head) = bytes.first_chunk_mut() {
            write_header(head, &packet);
        }
        self.reporter.sent(bytes.len() - HEADER_BYTES);
        self.aim.send(&self.rtp, bytes);
    }
}

/// Of telephone sound.
const SAMPLES_MS: u32 = 8;
