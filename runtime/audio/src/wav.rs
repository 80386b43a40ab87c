//! WAV files: read to 8 kHz mono, and written while they grow.

use std::io::Cursor;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use thiserror::Error;

use crate::RATE_HZ;
use crate::g711::Law;

/// Why a file cannot be played.
#[derive(Debug, Error)]
pub enum WavError {
    #[error("it is no WAV file that can be read: {0}")]
    Format(String),
    #[error("it has {0} channels; one or two can be played")]
    Channels(u16),
    #[error("its rate of {0} Hz is not within 4000 to 192000")]
    Rate(u32),
    #[error("it lasts {found_s} s, longer than {most_s} s")]
    TooLong { found_s: u64, most_s: u64 },
    #[error("it cannot be brought to 8 kHz: {0}")]
    Resample(String),
    #[error("it has no sound in it")]
    Empty,
}

/// PCM of 8 to 32 bits, float, μ-law and A-law; one or two channels; any rate. Gives 8 kHz mono.
pub fn read_wav(bytes: &[u8], most_s: u64) -> Result<Vec<i16>, WavError> {
    let (samples, channels, rate) = match companded(bytes) {
        Some((law, channels, rate, data)) => {
            (data.iter().map(|&byte| f32::from(law.decode(byte)) / 32_768.0).collect(), channels, rate)
        }
        None => linear(bytes)?,
    };
    if !(1..=2).contains(&channels) {
        return Err(WavError::Channels(channels));
    }
    if !(4_000..=192_000).contains(&rate) {
        return Err(WavError::Rate(rate));
    }
    let mono: Vec<f32> =
        samples.chunks_exact(channels.into()).map(|frame| frame.iter().sum::<f32>() / f32::from(channels)).collect();
    let found_s = mono.len() as u64 / u64::from(rate);
    if found_s > most_s {
        return Err(WavError::TooLong { found_s, most_s });
    }
    if mono.is_empty() {
        return Err(WavError::Empty);
    }
    let mono = if rate == RATE_HZ { mono } else { resample(&mono, rate)? };
    Ok(mono.iter().map(|sample| (sample * 32_768.0).clamp(-32_768.0, 32_767.0) as i16).collect())
}

fn linear(bytes: &[u8]) -> Result<(Vec<f32>, u16, u32), WavError> {
    let wrong = |error: hound::Error| WavError::Format(error.to_string());
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(wrong)?;
    let spec = reader.spec();
    let samples = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<Vec<_>, _>>().map_err(wrong)?,
        hound::SampleFormat::Int => {
            let full = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
            let samples = reader.samples::<i32>().collect::<Result<Vec<_>, _>>().map_err(wrong)?;
            samples.into_iter().map(|sample| sample as f32 / full).collect()
        }
    };
    Ok((samples, spec.channels, spec.sample_rate))
}

/// Formats 6 and 7, which the library does not read.
fn companded(bytes: &[u8]) -> Option<(Law, u16, u32, &[u8])> {
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12;
    let mut format = None;
    loop {
        let name = bytes.get(at..at + 4)?;
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        let body = bytes.get(at + 8..)?;
        match name {
            b"fmt " => {
                let word = |from: usize| Some(u16::from_le_bytes(body.get(from..from + 2)?.try_into().ok()?));
                let law = match word(0)? {
                    6 => Law::A,
                    7 => Law::Mu,
                    _ => return None,
                };
                let rate = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
                format = Some((law, word(2)?, rate));
            }
            b"data" => {
                let (law, channels, rate) = format?;
                return Some((law, channels, rate, &body[..length.min(body.len())]));
            }
            _ => {}
        }
        at = at.checked_add(8)?.checked_add(length)?.checked_add(length % 2)?;
    }
}

fn resample(mono: &[f32], rate: u32) -> Result<Vec<f32>, WavError> {
    let wrong = |error: &dyn std::fmt::Display| WavError::Resample(error.to_string());
    let mut resampler =
        Fft::<f32>::new(rate as usize, RATE_HZ as usize, 1_024, 1, FixedSync::Input).map_err(|error| wrong(&error))?;
    let input = InterleavedSlice::new(mono, 1, mono.len()).map_err(|error| wrong(&error))?;
    let frames = resampler.process_all_needed_output_len(mono.len());
    let mut resampled = vec![0f32; frames];
    let mut output = InterleavedSlice::new_mut(&mut resampled, 1, frames).map_err(|error| wrong(&error))?;
    let (_, written) =
        resampler.process_all_into_buffer(&input, &mut output, mono.len(), None).map_err(|error| wrong(&error))?;
    resampled.truncate(written);
    Ok(resampled)
}

/// The first 44 bytes of a 16-bit file. Written again when the length is known; a file whose node
/// died says 0, and players read it to its end.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub channels: u16,
    pub data_bytes: u32,
}

impl Header {
    pub fn bytes(self) -> [u8; 44] {
        let mut bytes = [0u8; 44];
        let block = self.channels * 2;
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(b"RIFF");
        put(&self.data_bytes.saturating_add(36).to_le_bytes());
        put(b"WAVEfmt ");
        put(&16u32.to_le_bytes());
        put(&1u16.to_le_bytes());
        put(&self.channels.to_le_bytes());
        put(&RATE_HZ.to_le_bytes());
        put(&(RATE_HZ * u32::from(block)).to_le_bytes());
        put(&block.to_le_bytes());
        put(&16u16.to_le_bytes());
        put(b"data");
        put(&self.data_bytes.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Tone, goertzel_db};

    fn file(rate: u32, channels: u16, bits: u16, samples: &[f32]) -> Vec<u8> {
        let sample_format = if bits == 32 { hound::SampleFormat::Float } else { hound::SampleFormat::Int };
        let spec = hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            for _ in 0..channels {
                match bits {
                    32 => writer.write_sample(sample).unwrap(),
                    _ => writer.write_sample((sample * (2f32.powi(i32::from(bits) - 1) - 1.0)) as i32).unwrap(),
                }
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn files_of_any_kind_become_8_khz_mono() {
        for (rate, channels, bits) in
            [(8_000, 1, 16), (16_000, 1, 16), (44_100, 2, 24), (48_000, 2, 32), (22_050, 1, 8)]
        {
            let tone: Vec<f32> =
                (0..rate).map(|at| 0.3 * (std::f32::consts::TAU * 440.0 * at as f32 / rate as f32).sin()).collect();
            let samples = read_wav(&file(rate, channels, bits, &tone), 60).unwrap();
            assert!((7_900..=8_200).contains(&samples.len()), "{rate}: {}", samples.len());
            assert!(goertzel_db(&samples[1_000..7_000], 440.0) > -15.0, "{rate} {channels} {bits}");
        }
    }

    #[test]
    fn our_own_header_and_companded_files_are_read() {
        let samples = Tone::new(440, None, 500).samples();
        let mut bytes = Header { channels: 1, data_bytes: samples.len() as u32 * 2 }.bytes().to_vec();
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        assert_eq!(read_wav(&bytes, 60).unwrap(), samples);

        let mut bytes = Header { channels: 1, data_bytes: samples.len() as u32 }.bytes().to_vec();
        bytes[20] = 7;
        bytes.extend(Law::Mu.encode_all(&samples));
        let read = read_wav(&bytes, 60).unwrap();
        assert!(goertzel_db(&read, 440.0) > -14.0);
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        for (bytes, words) in [
            (b"hello".to_vec(), "no WAV"),
            (file(8_000, 1, 16, &[]), "no sound"),
            (file(1_000, 1, 16, &[0.0; 8]), "1000 Hz"),
            (file(8_000, 6, 16, &[0.0; 8]), "6 channels"),
            (file(8_000, 1, 16, &[0.0; 24_000]), "longer than 2 s"),
        ] {
            let error = read_wav(&bytes, 2).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), keeps_head: bool) {
            if keeps_head && bytes.len() >= 44 {
                bytes[..44].copy_from_slice(&Header { channels: 1, data_bytes: 100 }.bytes());
            }
            let _ = read_wav(&bytes, 60);
        }
    }
}
