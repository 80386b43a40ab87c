//! Sound as numbers: G.711, tones, gain and mixing, what is heard in a frame, WAV files.
//!
//! Everything is 16-bit mono at 8 kHz but for the files that are read. No clock, no file handle:
//! bytes in, samples out.

#![forbid(unsafe_code)]

pub mod g711;
mod level;
mod tone;
mod wav;

pub use level::{Silence, goertzel_db, level_db, scale};
pub use tone::Tone;
pub use wav::{Header, WavError, read_wav};

/// Of telephone sound.
pub const RATE_HZ: u32 = 8_000;
/// 20 ms.
pub const FRAME_SAMPLES: usize = 160;
