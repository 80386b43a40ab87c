//! Order: packets come late, twice and in the wrong order; frames leave one every 20 ms.

use std::collections::VecDeque;

/// Holds a few frames back, so that late ones still find their place.
#[derive(Debug)]
pub struct Jitter {
    slots: VecDeque<Option<Vec<u8>>>,
    /// Sequence of the slot at the front.
    next: Option<u16>,
    ssrc: u32,
    /// Frames that must wait before the first one leaves.
    depth: usize,
    stage: Stage,
    spare: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Filling,
    Flowing,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    Kept,
    Twice,
    Late,
}

/// What leaves in this tick.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Sound(Vec<u8>),
    /// It was lost.
    Missing,
    /// The far end sends nothing.
    Nothing,
}

impl Jitter {
    /// `depth` frames of 20 ms.
    pub fn new(depth: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            next: None,
            ssrc: 0,
            depth: depth.clamp(1, MOST_FRAMES / 2),
            stage: Stage::Filling,
            spare: Vec::new(),
        }
    }

    pub fn put(&mut self, ssrc: u32, sequence: u16, payload: &[u8]) -> Placed {
        if self.next.is_none() || self.ssrc != ssrc {
            self.restart(ssrc, sequence);
        }
        let ahead = sequence.wrapping_sub(self.next.unwrap_or(sequence));
        if ahead >= 0x8000 {
            return Placed::Late;
        }
        let ahead = usize::from(ahead);
        if ahead >= MOST_FRAMES {
            // A jump: the far end began anew.
            self.restart(ssrc, sequence);
            return self.put(ssrc, sequence, payload);
        }
        while self.slots.len() <= ahead {
            self.slots.push_back(None);
        }
        if self.slots[ahead].is_some() {
            return Placed::Twice;
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(payload);
        self.slots[ahead] = Some(kept);
        // More waits than should: the far end's clock is faster than ours. The oldest gives way.
        while self.stage == Stage::Flowing && self.slots.len() > 2 * self.depth + 2 {
            self.slots.pop_front();
            self.next = self.next.map(|next| next.wrapping_add(1));
        }
        Placed::Kept
    }

    /// Once every 20 ms.
    pub fn take(&mut self) -> Frame {
        if self.stage == Stage::Filling {
            if self.slots.len() < self.depth {
                return Frame::Nothing;
            }
            self.stage = Stage::Flowing;
        }
        let Some(slot) = self.slots.pop_front() else {
            self.stage = Stage::Filling;
            self.next = None;
            return Frame::Nothing;
        };
        self.next = self.next.map(|next| next.wrapping_add(1));
        slot.map_or(Frame::Missing, Frame::Sound)
    }

    /// Gives a frame's memory back.
    pub fn give_back(&mut self, frame: Vec<u8>) {
        if self.spare.len() < MOST_FRAMES {
            self.spare.push(frame);
        }
    }

    fn restart(&mut self, ssrc: u32, sequence: u16) {
        self.slots.clear();
        self.next = Some(sequence);
        self.ssrc = ssrc;
        self.stage = Stage::Filling;
    }
}

/// A second of sound.
const MOST_FRAMES: usize = 50;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sound(jitter: &mut Jitter) -> Option<u8> {
        match jitter.take() {
            Frame::Sound(payload) => Some(payload[0]),
            _ => None,
        }
    }

    #[test]
    fn the_order_is_mended_and_holes_are_told() {
        let mut jitter = Jitter::new(3);
        assert_eq!(jitter.take(), Frame::Nothing);
        for sequence in [10u16, 12, 11, 12, 14] {
            jitter.put(1, sequence, &[sequence as u8]);
        }
        assert_eq!([sound(&mut jitter), sound(&mut jitter), sound(&mut jitter)], [Some(10), Some(11), Some(12)]);
        assert_eq!(jitter.take(), Frame::Missing);
        assert_eq!(sound(&mut jitter), Some(14));
        assert_eq!(jitter.put(1, 12, &[12]), Placed::Late);
        assert_eq!(jitter.take(), Frame::Nothing);
    }

    #[test]
    fn it_survives_the_turn_of_the_count_and_a_new_stream() {
        let mut jitter = Jitter::new(1);
        for sequence in [65_534u16, 65_535, 0, 1] {
            assert_eq!(jitter.put(1, sequence, &[1]), Placed::Kept);
            assert_eq!(sound(&mut jitter), Some(1));
        }
        assert_eq!(jitter.put(2, 500, &[2]), Placed::Kept);
        assert_eq!(sound(&mut jitter), Some(2));
    }

    proptest! {
        #[test]
        fn memory_is_bounded(packets in proptest::collection::vec((0u32..2, any::<u16>()), 0..300)) {
            let mut jitter = Jitter::new(3);
            for (ssrc, sequence) in packets {
                jitter.put(ssrc, sequence, &[0; 160]);
                prop_assert!(jitter.slots.len() <= MOST_FRAMES);
            }
        }
    }
}
