//! The frames of all legs, counted into the rows of the ledger. Between two rows lies a boundary:
//! what every leg has counted there, added up, so that the rows tile the call's frames.

use callbox_model::{Frames, LegNumber, MediaCommand};

use crate::Output;
use crate::call::Call;
use crate::leg::{Leg, Sound};

impl Call {
    /// Of the whole call, as last counted.
    pub(crate) fn frames(&self) -> Frames {
        self.legs.all.iter().fold(self.past, |sum, leg| plus(sum, leg.frames()))
    }

    /// Where the frames of one holder end and those of the next begin.
    pub(crate) fn frame_boundary(&mut self, out: &mut Vec<Output>) -> usize {
        let at = self.ledger.next_boundary();
        let (mut known, mut waiting) = (self.past, 0);
        for leg in &mut self.legs.all {
            match leg.sound {
                Sound::Open(_) if !leg.is_on_offer() => {
                    let ask = u32::try_from(at).unwrap_or(u32::MAX);
                    leg.line.media(MediaCommand::Count { ask }, out);
                }
                // `Closed` brings the last count.
                Sound::Closing { .. } => {}
                _ => {
                    known = plus(known, leg.frames());
                    continue;
                }
            }
            leg.owes.get_or_insert(at);
            waiting += 1;
        }
        self.ledger.boundary(known, waiting);
        at
    }

    /// What media counted for `ask`, and so for everything asked before.
    pub(crate) fn counted(&mut self, number: LegNumber, ask: usize, frames: Frames) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        leg.line.frames = frames;
        let share = leg.frames();
        while let Some(at) = leg.owes.filter(|at| *at <= ask) {
            self.ledger.counted(at, share);
            leg.owes = Some(at + 1).filter(|next| *next < self.ledger.next_boundary());
        }
    }

    /// Its sound is over: every count still under way is the last one.
    pub(crate) fn counted_last(&mut self, number: LegNumber, frames: Option<Frames>) {
        let Some(leg) = self.legs.get(number) else { return };
        let frames = frames.unwrap_or(leg.line.frames);
        self.counted(number, usize::MAX, frames);
    }

    /// Its next frames are those of another port. What the old one still counts is added when it
    /// has closed.
    pub(crate) fn start_counting_anew(&mut self, number: LegNumber) {
        if let Some(leg) = self.legs.get_mut(number) {
            leg.line.frames = Frames::default();
        }
    }

    /// Brings the counts of a long row up to date. Boundary 0, the call's beginning, is known.
    pub(crate) fn refresh_frames(&mut self, out: &mut Vec<Output>) {
        for leg in &self.legs.all {
            if matches!(leg.sound, Sound::Open(_)) && !leg.is_on_offer() {
                leg.line.media(MediaCommand::Count { ask: 0 }, out);
            }
        }
    }
}

impl Leg {
    /// Those that are this call's.
    pub(crate) fn frames(&self) -> Frames {
        since(self.line.frames, self.base)
    }
}

pub(crate) fn since(all: Frames, before: Frames) -> Frames {
    Frames {
        sent: all.sent.saturating_sub(before.sent),
        received: all.received.saturating_sub(before.received),
        dropped: all.dropped.saturating_sub(before.dropped),
    }
}

pub(crate) fn plus(one: Frames, other: Frames) -> Frames {
    Frames {
        sent: one.sent.saturating_add(other.sent),
        received: one.received.saturating_add(other.received),
        dropped: one.dropped.saturating_add(other.dropped),
    }
}
