//! One or two frequencies, without clicks at the ends.

use std::f32::consts::TAU;

use crate::RATE_HZ;

/// Gives samples for as long as it is asked; the phase never jumps.
#[derive(Clone, Debug)]
pub struct Tone {
    steps: [f32; 2],
    phases: [f32; 2],
    amplitude: f32,
    at: usize,
    length: usize,
}

impl Tone {
    pub fn new(first_hz: u16, second_hz: Option<u16>, length_ms: u32) -> Self {
        let step = |hz: u16| TAU * f32::from(hz) / RATE_HZ as f32;
        let amplitude = LOUDNESS / if second_hz.is_some() { 2.0 } else { 1.0 };
        Self {
            steps: [step(first_hz), second_hz.map_or(0.0, step)],
            phases: [0.0; 2],
            amplitude,
            at: 0,
            length: (u64::from(length_ms) * u64::from(RATE_HZ) / 1_000) as usize,
        }
    }

    pub fn samples(self) -> Vec<i16> {
        self.collect()
    }
}

impl Iterator for Tone {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        if self.at >= self.length {
            return None;
        }
        let edge = self.at.min(self.length - 1 - self.at);
        let ramp = (edge as f32 / RAMP_SAMPLES).min(1.0);
        let sum = self.phases[0].sin() + self.phases[1].sin();
        for (phase, step) in self.phases.iter_mut().zip(self.steps) {
            *phase = (*phase + step) % TAU;
        }
        self.at += 1;
        Some((sum * ramp * self.amplitude) as i16)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.length - self.at, Some(self.length - self.at))
    }
}

/// -10 dB of full scale: what telephone tones have.
const LOUDNESS: f32 = 10_362.0;
/// 5 ms.
const RAMP_SAMPLES: f32 = 40.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{goertzel_db, level_db};

    #[test]
    fn a_tone_is_what_it_says() {
        let samples = Tone::new(440, None, 1_000).samples();
        assert_eq!(samples.len(), 8_000);
        assert!((level_db(&samples) + 13.0).abs() < 0.5, "{}", level_db(&samples));
        assert!(goertzel_db(&samples, 440.0) > -14.0);
        assert!(goertzel_db(&samples, 660.0) < -40.0);
        let both = Tone::new(770, Some(1_336), 100).samples();
        assert!(goertzel_db(&both, 770.0) > -22.0 && goertzel_db(&both, 1_336.0) > -22.0);
        assert_eq!(both[0], 0);
    }
}
