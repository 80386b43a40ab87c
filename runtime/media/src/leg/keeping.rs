//! What is recorded of a leg: both directions, frame by frame.

use callbox_audio::FRAME_SAMPLES;
use callbox_audio::g711::Law;
use callbox_rtp::{Frame, Jitter};

use super::{JITTER_FRAMES, Leg, Secrecy, Tick};

impl Leg {
    /// `said` is what was sent of our own; without it, what the other leg said is taken.
    pub(super) fn keep(&mut self, law: Law, said: Option<&[u8]>, tick: &mut Tick<'_>) {
        let (mut received, mut sent) = ([0i16; FRAME_SAMPLES], [0i16; FRAME_SAMPLES]);
        if let Frame::Sound(payload) = self.from_far.take() {
            // Digits that are nobody's business are not heard in it either.
            if self.secrecy == Secrecy::Open {
                decode(law, &payload, &mut received);
            }
            self.from_far.give_back(payload);
        }
        if let Frame::Sound(payload) = self.from_other.take() {
            if said.is_none() {
                decode(law, &payload, &mut sent);
            }
            self.from_other.give_back(payload);
        }
        decode(law, said.unwrap_or_default(), &mut sent);
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

    /// What waits to be recorded is of another time, or another law.
    pub(super) fn forget_kept(&mut self) {
        self.from_far = Jitter::new(JITTER_FRAMES);
        self.from_other = Jitter::new(JITTER_FRAMES);
    }
}

fn decode(law: Law, bytes: &[u8], samples: &mut [i16; FRAME_SAMPLES]) {
    for (sample, &byte) in samples.iter_mut().zip(bytes) {
        *sample = law.decode(byte);
    }
}
