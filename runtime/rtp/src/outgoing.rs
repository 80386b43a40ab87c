//! The numbers of one stream that we send: its own sound, or that of another stream that is passed
//! on. Whatever the source, the far end hears one stream: one SSRC, sequence and timestamps that
//! go on, and the marker where a talk spurt begins.

use crate::Packet;

/// The clock of the stream is moved on by its ticks, and follows the source that is passed on.
#[derive(Debug)]
pub struct Outgoing {
    ssrc: u32,
    /// Of the next packet.
    sequence: u16,
    /// In samples, at this tick.
    clock: u32,
    /// The first sample that nothing was sent for yet.
    free: u32,
    spurt: Spurt,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spurt {
    /// The next packet begins one.
    Over,
    Going,
}

/// A stream that is passed on: what is added to its numbers. So its losses and its order are what
/// the far end sees, as if no one stood between.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    sequence_shift: u16,
    timestamp_shift: u32,
    newest: u16,
    /// Packets since the shifts were fixed, up to `MOST_MISORDERED`.
    span: u16,
}

/// What a packet that is passed on holds, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Sound(u32),
    /// A telephone-event: its timestamp is where it began, so long before.
    Event(u16),
}

/// What goes into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
}

impl Outgoing {
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self { ssrc, sequence, clock: timestamp, free: timestamp, spurt: Spurt::Over, source: None }
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Of this moment.
    pub fn timestamp(&self) -> u32 {
        self.clock
    }

    /// Time has passed, whether or not something was sent.
    pub fn tick(&mut self, samples: u32) {
        self.clock = self.clock.wrapping_add(samples);
    }

    /// Nothing of our own is sent in this tick. A source has markers of its own.
    pub fn rest(&mut self) {
        if self.source.is_none() {
            self.spurt = Spurt::Over;
        }
    }

    /// A frame of our own sound, at this tick.
    pub fn frame(&mut self, samples: u32) -> Stamp {
        let timestamp = self.begin();
        self.free = timestamp.wrapping_add(samples);
        let marker = std::mem::replace(&mut self.spurt, Spurt::Going) == Spurt::Over;
        self.next(timestamp, marker)
    }

    /// Where an event of our own begins, if it begins at this tick.
    pub fn begin(&mut self) -> u32 {
        if self.source.take().is_some() {
            self.spurt = Spurt::Over;
        }
        // What was sent is never gone back over.
        self.clock = later(self.clock, self.free);
        self.clock
    }

    /// A packet of an event that began at `timestamp`.
    pub fn event(&mut self, timestamp: u32, is_first: bool) -> Stamp {
        self.source = None;
        self.spurt = Spurt::Over;
        self.next(timestamp, is_first)
    }

    fn next(&mut self, timestamp: u32, marker: bool) -> Stamp {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Stamp { sequence, timestamp, marker }
    }

    /// From now on another stream is passed on, even if it is the same one again.
    pub fn turn(&mut self) {
        self.source = None;
    }

    /// A packet is passed on, `since` samples after the tick. None: it is so late that its place
    /// in our stream is taken.
    pub fn relay(&mut self, since: u32, packet: &Packet<'_>, content: Content) -> Option<Stamp> {
        let now = self.clock.wrapping_add(since);
        let (length, back) = match content {
            Content::Sound(samples) => (samples, 0),
            Content::Event(duration) => (0, u32::from(duration)),
        };
        let ahead = self.source.as_ref().and_then(|source| source.ahead(now, packet, back));
        let (source, ahead) = match (&mut self.source, ahead) {
            (Some(source), Some(ahead)) => (source, ahead),
            (slot, _) => {
                self.spurt = Spurt::Over;
                let begins = later(now, self.free).wrapping_sub(back);
                let source = slot.insert(Source {
                    ssrc: packet.ssrc,
                    sequence_shift: self.sequence.wrapping_sub(packet.sequence),
                    timestamp_shift: begins.wrapping_sub(packet.timestamp),
                    newest: packet.sequence.wrapping_sub(1),
                    span: 0,
                });
                (source, 1)
            }
        };
        let sequence = packet.sequence.wrapping_add(source.sequence_shift);
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_shift);
        if ahead > 0 {
            source.newest = packet.sequence;
            source.span = source.span.saturating_add(ahead.unsigned_abs()).min(MOST_MISORDERED);
            self.sequence = sequence.wrapping_add(1);
            if length > 0 {
                self.clock = timestamp;
                self.free = later(self.free, timestamp.wrapping_add(length));
            }
        } else if ahead.unsigned_abs() >= source.span {
            return None;
        }
        let begins = std::mem::replace(&mut self.spurt, Spurt::Going) == Spurt::Over;
        Some(Stamp { sequence, timestamp, marker: packet.marker || begins })
    }

    /// A packet of the source is not passed on, and leaves no hole.
    pub fn skip(&mut self, packet: &Packet<'_>) {
        let Some(source) = self.source.as_mut().filter(|source| source.ssrc == packet.ssrc) else { return };
        let ahead = packet.sequence.wrapping_sub(source.newest) as i16;
        if (1..=MOST_LOST).contains(&ahead) {
            source.newest = packet.sequence;
            self.sequence = packet.sequence.wrapping_add(source.sequence_shift);
            source.sequence_shift = source.sequence_shift.wrapping_sub(1);
            // What came before it and is late would get a number that was used.
            source.span = 0;
        }
    }
}

impl Source {
    /// How many packets it is ahead of the newest. None: it does not go on from there.
    fn ahead(&self, now: u32, packet: &Packet<'_>, back: u32) -> Option<i16> {
        let ahead = packet.sequence.wrapping_sub(self.newest) as i16;
        let heard = packet.timestamp.wrapping_add(self.timestamp_shift).wrapping_add(back);
        let apart = heard.wrapping_sub(now) as i32;
        let goes_on = self.ssrc == packet.ssrc
            && (-(MOST_MISORDERED as i16)..=MOST_LOST).contains(&ahead)
            && apart.unsigned_abs() <= MOST_APART;
        goes_on.then_some(ahead)
    }
}

/// Of two times on a clock that turns.
fn later(one: u32, other: u32) -> u32 {
    if (other.wrapping_sub(one) as i32) > 0 { other } else { one }
}

/// Packets that may be missing at once; a longer hole is a new beginning.
const MOST_LOST: i16 = 100;
const MOST_MISORDERED: u16 = 50;
/// A second: beyond it, the far end's clock was set anew.
const MOST_APART: u32 = 8_000;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet<'static> {
        Packet { payload_type: 0, marker: false, sequence, timestamp, ssrc, payload: &[] }
    }

    fn relay(out: &mut Outgoing, ssrc: u32, sequence: u16, timestamp: u32) -> (u16, u32, bool) {
        let stamp = out.relay(40, &packet(ssrc, sequence, timestamp), Content::Sound(160)).unwrap();
        (stamp.sequence, stamp.timestamp, stamp.marker)
    }

    #[test]
    fn sources_change_and_the_stream_goes_on() {
        let mut out = Outgoing::new(1, 65_534, 1_000);
        out.tick(160);
        assert_eq!(out.frame(160), Stamp { sequence: 65_534, timestamp: 1_160, marker: true });
        assert_eq!(relay(&mut out, 7, 500, 90_000), (65_535, 1_320, true));
        out.tick(160);
        assert_eq!(relay(&mut out, 7, 501, 90_160), (0, 1_480, false));
        out.tick(160);
        // Another stream, with numbers of its own.
        assert_eq!(relay(&mut out, 8, 9, 5), (1, 1_680, true));
        out.tick(160);
        assert_eq!(out.frame(160), Stamp { sequence: 2, timestamp: 1_840, marker: true });
        out.tick(160);
        assert_eq!(out.frame(160), Stamp { sequence: 3, timestamp: 2_000, marker: false });
    }

    #[test]
    fn losses_disorder_and_silence_are_passed_on_as_they_are() {
        let mut out = Outgoing::new(1, 100, 0);
        assert_eq!(relay(&mut out, 7, 10, 1_600), (100, 40, true));
        out.tick(480);
        assert_eq!(relay(&mut out, 7, 13, 2_080), (103, 520, false));
        assert_eq!(relay(&mut out, 7, 12, 1_920), (102, 360, false));
        assert_eq!(out.relay(0, &packet(7, 9, 1_440), Content::Sound(160)), None, "it was before us");
        // Ten seconds of silence, and the far end says with the marker that it speaks again.
        out.tick(80_000);
        let spurt = Packet { marker: true, ..packet(7, 14, 82_100) };
        let stamp = out.relay(0, &spurt, Content::Sound(160)).unwrap();
        assert_eq!((stamp.sequence, stamp.timestamp, stamp.marker), (104, 80_540, true));
    }

    #[test]
    fn a_clock_that_jumps_is_taken_up_where_we_are() {
        let mut out = Outgoing::new(1, 100, 0);
        relay(&mut out, 7, 10, 1_600);
        out.tick(160);
        let (sequence, timestamp, marker) = relay(&mut out, 7, 11, 4_000_000_000);
        assert_eq!((sequence, marker), (101, true));
        assert!((160..=400).contains(&timestamp), "{timestamp}");
        assert_eq!(relay(&mut out, 7, 40_000, 4_000_000_160).0, 102, "its sequence as well");
    }

    #[test]
    fn what_is_kept_leaves_no_hole_and_events_stay_where_they_began() {
        let mut out = Outgoing::new(1, 100, 0);
        relay(&mut out, 7, 10, 1_600);
        out.skip(&packet(7, 11, 1_760));
        out.skip(&packet(7, 12, 1_760));
        out.tick(480);
        assert_eq!(relay(&mut out, 7, 13, 2_080), (101, 520, false));
        for (sequence, duration) in [(14, 160), (15, 320)] {
            out.tick(160);
            let event = Packet { marker: sequence == 14, ..packet(7, sequence, 2_240) };
            let stamp = out.relay(0, &event, Content::Event(duration)).unwrap();
            assert_eq!((stamp.sequence, stamp.timestamp, stamp.marker), (sequence + 88, 680, sequence == 14));
        }
        // One that has been going on when it is first heard.
        out.turn();
        let stamp = out.relay(0, &packet(9, 50, 10_000), Content::Event(400)).unwrap();
        out.tick(160);
        let sound = out.relay(0, &packet(9, 51, 10_560), Content::Sound(160)).unwrap();
        assert_eq!(sound.timestamp.wrapping_sub(stamp.timestamp), 560);
        assert_eq!(sound.sequence, stamp.sequence + 1);
    }

    #[derive(Clone, Debug)]
    enum Move {
        Tick,
        Frame,
        Relay(u32, u16, u32),
        Skip(u32, u16),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            Just(Move::Tick),
            Just(Move::Frame),
            (0u32..3, any::<u16>(), any::<u32>()).prop_map(|(ssrc, sequence, at)| Move::Relay(ssrc, sequence, at)),
            (0u32..3, 0u16..60, 0u32..40).prop_map(|(ssrc, sequence, at)| Move::Relay(ssrc, sequence, at * 160)),
            (0u32..3, 0u16..60).prop_map(|(ssrc, sequence)| Move::Skip(ssrc, sequence)),
        ];
        proptest::collection::vec(one, 0..200)
    }

    proptest! {
        /// Whatever comes in, what goes out is one stream: a number is used twice only for a packet
        /// that itself came twice, and nothing of our own goes back over what was sent.
        #[test]
        fn one_stream_goes_out(moves in moves()) {
            let mut out = Outgoing::new(1, 65_500, 4_294_960_000);
            let (mut newest, mut latest) = (65_499u16, 4_294_959_999u32);
            let (mut ours, mut theirs) = (BTreeSet::new(), BTreeMap::new());
            for one in moves {
                match one {
                    Move::Tick => out.tick(160),
                    Move::Skip(ssrc, sequence) => out.skip(&packet(ssrc, sequence, 0)),
                    Move::Frame => {
                        let stamp = out.frame(160);
                        prop_assert!(stamp.sequence.wrapping_sub(newest) as i16 > 0);
                        prop_assert!(stamp.timestamp.wrapping_sub(latest) as i32 > 0);
                        ours.insert(stamp.sequence);
                        (newest, latest) = (stamp.sequence, stamp.timestamp.wrapping_add(159));
                    }
                    Move::Relay(ssrc, sequence, at) => {
                        let Some(stamp) = out.relay(0, &packet(ssrc, sequence, at), Content::Sound(160)) else { continue };
                        prop_assert!(!ours.contains(&stamp.sequence));
                        let before = theirs.insert(stamp.sequence, (ssrc, sequence));
                        prop_assert!(before.is_none_or(|before| before == (ssrc, sequence)));
                        if stamp.sequence.wrapping_sub(newest) as i16 > 0 {
                            newest = stamp.sequence;
                            if (stamp.timestamp.wrapping_add(159).wrapping_sub(latest) as i32) > 0 {
                                latest = stamp.timestamp.wrapping_add(159);
                            }
                        }
                    }
                }
            }
        }
    }
}
