//! What a leg hears: prepared sounds, one after the other, and how often.

use std::sync::{Arc, Weak};

use callbox_audio::g711::Law;
use callbox_model::{MediaFault, Millis, PlayEnd, StepId};

use crate::clips::Clip;

/// A play: being prepared, or heard.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) step: StepId,
    law: Law,
    /// In order; more are to come until there are `count`.
    clips: Vec<Clip>,
    count: usize,
    repeat: u32,
    at_clip: usize,
    at_byte: u64,
    round: u32,
    sent_bytes: u64,
    failed: Option<MediaFault>,
    /// While it is here, its sounds are worth preparing.
    wanted: Arc<()>,
}

/// What a tick gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The frame is filled.
    Frame,
    /// The next sound is not ready yet: nothing is heard.
    Waiting,
    /// The frame may hold the last of it; then it is over.
    Over,
}

impl Play {
    pub(crate) fn new(step: StepId, law: Law, count: usize, repeat: u32) -> Self {
        Self {
            step,
            law,
            clips: Vec::with_capacity(count),
            count,
            repeat,
            at_clip: 0,
            at_byte: 0,
            round: 0,
            sent_bytes: 0,
            failed: None,
            wanted: Arc::new(()),
        }
    }

    /// For those who prepare its sounds.
    pub(crate) fn wanted(&self) -> Weak<()> {
        Arc::downgrade(&self.wanted)
    }

    /// The next of its sounds is ready, or cannot be had.
    pub(crate) fn ready(&mut self, clip: Result<Clip, MediaFault>) {
        match clip {
            Ok(clip) => self.clips.push(clip),
            Err(fault) => self.failed = Some(fault),
        }
    }

    /// Something can be heard, or it is known that nothing can.
    pub(crate) fn can_begin(&self) -> bool {
        !self.clips.is_empty() || self.failed.is_some()
    }

    /// Fills one frame of `law`. What is left of it at the end is silence.
    pub(crate) fn fill(&mut self, law: Law, frame: &mut [u8]) -> Step {
        let mut filled = 0;
        while filled < frame.len() {
            let Some(clip) = self.clips.get(self.at_clip) else {
                if self.at_clip < self.count && self.failed.is_none() {
                    frame[filled..].fill(law.silence());
                    return if filled == 0 { Step::Waiting } else { Step::Frame };
                }
                let is_heard = self.clips.iter().any(|clip| clip.len() > 0);
                let is_again = self.repeat == 0 || self.round + 1 < self.repeat;
                if self.failed.is_none() && is_heard && is_again {
                    self.round = self.round.wrapping_add(1);
                    self.at_clip = 0;
                    self.at_byte = 0;
                    continue;
                }
                frame[filled..].fill(law.silence());
                return Step::Over;
            };
            let count = clip.read(self.at_byte, &mut frame[filled..]);
            if self.law != law {
                // The far end changed its codec while this was prepared.
                for byte in &mut frame[filled..filled + count] {
                    *byte = law.encode(self.law.decode(*byte));
                }
            }
            filled += count;
            self.at_byte += count as u64;
            self.sent_bytes += count as u64;
            if self.at_byte == clip.len() {
                self.at_clip += 1;
                self.at_byte = 0;
            }
        }
        Step::Frame
    }

    pub(crate) fn played_ms(&self) -> Millis {
        u32::try_from(self.sent_bytes / 8).unwrap_or(Millis::MAX)
    }

    /// Its end, when it came to one by itself.
    pub(crate) fn own_end(self) -> PlayEnd {
        self.failed.map_or(PlayEnd::Finished, PlayEnd::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clips::Kept;

    fn play(count: usize, repeat: u32, clips: &[&[u8]]) -> Play {
        let mut play = Play::new(1, Law::Mu, count, repeat);
        for clip in clips {
            play.ready(Ok(Clip::whole(Kept::free(clip.to_vec()))));
        }
        play
    }

    #[test]
    fn sounds_follow_each_other_without_a_gap() {
        let mut play = play(2, 1, &[&[1; 6], &[2; 5]]);
        let mut frame = [0; 4];
        let mut heard = Vec::new();
        while play.fill(Law::Mu, &mut frame) == Step::Frame {
            heard.extend(frame);
        }
        heard.extend(frame);
        assert_eq!(heard, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0xff]);
        assert_eq!(play.own_end(), PlayEnd::Finished);
    }

    #[test]
    fn it_repeats_as_often_as_said_and_for_ever() {
        let mut frame = [0; 4];
        let mut twice = play(1, 2, &[&[1; 4]]);
        assert_eq!(
            [twice.fill(Law::Mu, &mut frame), twice.fill(Law::Mu, &mut frame), twice.fill(Law::Mu, &mut frame)],
            [Step::Frame, Step::Frame, Step::Over]
        );
        let mut endless = play(1, 0, &[&[1; 3]]);
        assert!((0..1_000).all(|_| endless.fill(Law::Mu, &mut frame) == Step::Frame));
        let mut empty = play(1, 0, &[&[]]);
        assert_eq!(empty.fill(Law::Mu, &mut frame), Step::Over, "an empty sound does not repeat for ever");
    }

    #[test]
    fn what_is_not_ready_is_waited_for_and_what_fails_ends_it() {
        let mut frame = [0; 4];
        let mut late = play(2, 1, &[&[1; 4]]);
        assert_eq!(late.fill(Law::Mu, &mut frame), Step::Frame);
        assert_eq!(late.fill(Law::Mu, &mut frame), Step::Waiting);
        late.ready(Err(MediaFault::NoAsset("x".to_owned())));
        assert_eq!(late.fill(Law::Mu, &mut frame), Step::Over);
        assert_eq!(late.own_end(), PlayEnd::Failed(MediaFault::NoAsset("x".to_owned())));
    }

    #[test]
    fn another_codec_is_translated() {
        let mut play = play(1, 1, &[&[Law::Mu.encode(8_000); 4]]);
        let mut frame = [0; 4];
        play.fill(Law::A, &mut frame);
        assert!((i32::from(Law::A.decode(frame[0])) - 8_000).abs() < 400);
    }
}
