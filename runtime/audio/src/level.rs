//! How loud, and at which frequency; and when it has been quiet for long.

use std::f32::consts::TAU;

use crate::RATE_HZ;

/// In dB of full scale; a full square wave is 0.
pub fn level_db(samples: &[i16]) -> f32 {
    let power = samples.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / samples.len().max(1) as f32;
    decibels(power)
}

/// Of one frequency alone.
pub fn goertzel_db(samples: &[i16], hz: f32) -> f32 {
    let coefficient = 2.0 * (TAU * hz / RATE_HZ as f32).cos();
    let (mut one, mut two) = (0.0f32, 0.0f32);
    for &sample in samples {
        (one, two) = (f32::from(sample) + coefficient * one - two, one);
    }
    let squared = one * one + two * two - coefficient * one * two;
    decibels(2.0 * squared / (samples.len().max(1) as f32).powi(2))
}

/// Makes it louder or softer; what would be too loud is clipped.
pub fn scale(samples: &mut [i16], gain_db: i8) {
    if gain_db == 0 {
        return;
    }
    let factor = 10f32.powf(f32::from(gain_db) / 20.0);
    for sample in samples {
        *sample = (f32::from(*sample) * factor).clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
    }
}

fn decibels(power: f32) -> f32 {
    10.0 * (power / (32_768.0 * 32_768.0)).max(1e-12).log10()
}

/// Counts quiet frames. Background noise below -45 dB counts as quiet.
#[derive(Clone, Debug, Default)]
pub struct Silence {
    quiet_samples: u64,
}

impl Silence {
    /// How long it has been quiet, with this frame, in milliseconds.
    pub fn hear(&mut self, samples: &[i16]) -> u32 {
        if level_db(samples) < QUIET_DB {
            self.quiet_samples += samples.len() as u64;
        } else {
            self.quiet_samples = 0;
        }
        (self.quiet_samples * 1_000 / u64::from(RATE_HZ)) as u32
    }
}

const QUIET_DB: f32 = -45.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tone;

    #[test]
    fn silence_is_counted_and_forgotten() {
        let mut silence = Silence::default();
        let tone = Tone::new(440, None, 40).samples();
        assert_eq!(silence.hear(&[0; 160]), 20);
        assert_eq!(silence.hear(&[3; 160]), 40);
        assert_eq!(silence.hear(&tone[80..240]), 0);
        assert_eq!(silence.hear(&[0; 160]), 20);
    }

    #[test]
    fn gain_is_in_decibels_and_clips() {
        let mut samples = Tone::new(440, None, 100).samples();
        let before = level_db(&samples);
        scale(&mut samples, -6);
        assert!((before - level_db(&samples) - 6.0).abs() < 0.1);
        scale(&mut samples, 60);
        assert!(samples.contains(&i16::MAX));
    }
}
