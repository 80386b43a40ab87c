//! Listens to what a phone recorded: which tones, when, how loud, with which gaps.
//!
//! On purpose not the code of `callbox-audio`: what is tested does not judge itself.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Mono sound. A stereo file gives one ear for each channel.
#[derive(Clone)]
pub struct Ear {
    rate_hz: u32,
    samples: Vec<f32>,
}

/// A stretch in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub from_s: f32,
    pub to_s: f32,
}

impl Ear {
    /// The channels of a WAV file, left first. A file whose header says 0 samples, as one has that
    /// was still being written, is read to its end.
    pub fn channels(path: &Path) -> Result<Vec<Self>> {
        let bytes = std::fs::read(path).with_context(|| format!("no recording at {}", path.display()))?;
        let (format, data) = chunks(&bytes).with_context(|| format!("{} is no WAV file", path.display()))?;
        if format.bits != 16 || format.channels == 0 {
            bail!("{}: {} bits, {} channels", path.display(), format.bits, format.channels);
        }
        let all: Vec<f32> =
            data.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect();
        Ok((0..format.channels)
            .map(|channel| Self {
                rate_hz: format.rate_hz,
                samples: all.iter().skip(channel).step_by(format.channels).copied().collect(),
            })
            .collect())
    }

    pub fn open(path: &Path) -> Result<Self> {
        let mut channels = Self::channels(path)?;
        Ok(channels.swap_remove(0))
    }

    pub fn length_s(&self) -> f32 {
        self.samples.len() as f32 / self.rate_hz as f32
    }

    /// Of the whole, in dB of full scale.
    pub fn level_db(&self) -> f32 {
        level_db(&self.samples)
    }

    /// Of a part, in dB of full scale.
    pub fn level_between_db(&self, from_s: f32, to_s: f32) -> f32 {
        let place = |at_s: f32| ((at_s * self.rate_hz as f32) as usize).min(self.samples.len());
        level_db(&self.samples[place(from_s)..place(to_s).max(place(from_s))])
    }

    /// Seconds of the recording that are louder than -45 dB.
    pub fn sounding_s(&self) -> f32 {
        let window = self.window();
        let loud = self.samples.chunks(window).filter(|chunk| level_db(chunk) > -45.0).count();
        loud as f32 * WINDOW_S
    }

    /// Where a tone of this frequency is most of what is heard. Pauses up to 60 ms are bridged.
    pub fn tone(&self, hz: f32) -> Vec<Stretch> {
        let window = self.window();
        let heard: Vec<bool> = self
            .samples
            .chunks_exact(window)
            .map(|chunk| {
                let power = power(chunk);
                power > 1e-5 && goertzel(chunk, hz, self.rate_hz as f32) > 0.6 * power
            })
            .collect();
        let mut stretches: Vec<Stretch> = Vec::new();
        for (at, _) in heard.iter().enumerate().filter(|(_, heard)| **heard) {
            let (from_s, to_s) = (at as f32 * WINDOW_S, (at + 1) as f32 * WINDOW_S);
            match stretches.last_mut() {
                Some(last) if from_s - last.to_s <= 0.0601 => last.to_s = to_s,
                _ => stretches.push(Stretch { from_s, to_s }),
            }
        }
        stretches.retain(|stretch| stretch.length_s() >= 0.0399);
        stretches
    }

    /// The longest stretch of a tone.
    pub fn longest(&self, hz: f32) -> Option<Stretch> {
        self.tone(hz).into_iter().max_by(|a, b| a.length_s().total_cmp(&b.length_s()))
    }

    /// Tones of a list in the order in which they are heard, repeats left out.
    pub fn melody(&self, of: &[f32]) -> Vec<f32> {
        let mut notes: Vec<(f32, f32)> =
            of.iter().flat_map(|&hz| self.tone(hz).into_iter().map(move |stretch| (stretch.from_s, hz))).collect();
        notes.sort_by(|a, b| a.0.total_cmp(&b.0));
        notes.into_iter().map(|(_, hz)| hz).collect()
    }

    fn window(&self) -> usize {
        (self.rate_hz as f32 * WINDOW_S) as usize
    }
}

impl Stretch {
    pub fn length_s(self) -> f32 {
        self.to_s - self.from_s
    }
}

struct Format {
    channels: usize,
    rate_hz: u32,
    bits: u16,
}

fn chunks(bytes: &[u8]) -> Option<(Format, &[u8])> {
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let (mut at, mut format) = (12, None);
    loop {
        let name = bytes.get(at..at + 4)?;
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        let body = at + 8;
        match name {
            b"fmt " => {
                let field =
                    |from: usize| Some(u16::from_le_bytes(bytes.get(body + from..body + from + 2)?.try_into().ok()?));
                format = Some(Format {
                    channels: field(2)?.into(),
                    rate_hz: u32::from_le_bytes(bytes.get(body + 4..body + 8)?.try_into().ok()?),
                    bits: field(14)?,
                });
            }
            b"data" => {
                let end = if length == 0 { bytes.len() } else { bytes.len().min(body + length) };
                return Some((format?, bytes.get(body..end)?));
            }
            _ => {}
        }
        at = body + length + length % 2;
    }
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
}

fn level_db(samples: &[f32]) -> f32 {
    10.0 * power(samples).max(1e-12).log10()
}

/// Power of one frequency in a window, on the scale of [`power`].
fn goertzel(samples: &[f32], hz: f32, rate_hz: f32) -> f32 {
    let coefficient = 2.0 * (std::f32::consts::TAU * hz / rate_hz).cos();
    let (mut one, mut two) = (0.0f32, 0.0f32);
    for sample in samples {
        (one, two) = (sample + coefficient * one - two, one);
    }
    let squared = one * one + two * two - coefficient * one * two;
    2.0 * squared / (samples.len() as f32).powi(2)
}

const WINDOW_S: f32 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    fn ear(parts: &[(f32, f32)]) -> Ear {
        let mut samples = Vec::new();
        for &(hz, seconds) in parts {
            samples.extend((0..(8_000.0 * seconds) as usize).map(|at| {
                if hz == 0.0 { 0.0 } else { 0.3 * (std::f32::consts::TAU * hz * at as f32 / 8_000.0).sin() }
            }));
        }
        Ear { rate_hz: 8_000, samples }
    }

    #[test]
    fn tones_are_told_apart_and_timed() {
        let ear = ear(&[(0.0, 0.5), (440.0, 1.0), (0.0, 0.2), (660.0, 0.4), (440.0, 0.3)]);
        assert_eq!(ear.melody(&[440.0, 660.0]), [440.0, 660.0, 440.0]);
        let longest = ear.longest(440.0).unwrap();
        assert!((longest.from_s - 0.5).abs() < 0.03 && (longest.length_s() - 1.0).abs() < 0.05, "{longest:?}");
        assert!(ear.tone(880.0).is_empty());
        assert!(ear.level_between_db(0.1, 0.4) < -90.0 && ear.level_between_db(0.6, 1.4) > -15.0);
        assert!((ear.sounding_s() - 1.7).abs() < 0.1);
    }

    #[test]
    fn a_gap_splits_a_tone() {
        assert_eq!(ear(&[(440.0, 1.0), (0.0, 0.1), (440.0, 1.0)]).tone(440.0).len(), 2);
    }
}
