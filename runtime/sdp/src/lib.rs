//! Session descriptions (RFC 8866) and offer/answer (RFC 3264) for one stream of telephone audio.
//!
//! [`Description::read`] takes what a far end sent; [`Session`] writes ours: [`Session::offer`],
//! [`Session::answer`], and [`Session::accept`] for an answer to our offer. An offer may come at
//! any time of a session's life: its streams keep their places, its payload types their meaning.
//! Each gives the bytes to send and an [`Agreed`] stream: where to send, in which codec, with which payload types.
//!
//! It knows PCMU, PCMA and telephone-event. It does no encryption, no ICE, and no bundling: a
//! stream that demands those is refused with an [`Error`] that says so, and further streams of a
//! description are declined with port 0, in their order.

#![forbid(unsafe_code)]

mod description;
mod session;

pub use description::{Audio, Codec, Description, Direction};
pub use session::{Agreed, Session, Written};

use thiserror::Error;

/// Why two ends cannot agree. Each is a 488 with these words as its reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("the session description has {found} bytes, more than {MOST_BYTES}")]
    TooLong { found: usize },
    #[error("the session description cannot be read: {0}")]
    Syntax(String),
    #[error("the session description has {found} streams, more than {MOST_STREAMS}")]
    TooManyStreams { found: usize },
    #[error("the session description has a stream with {found} attributes, more than {MOST_ATTRIBUTES}")]
    TooManyAttributes { found: usize },
    #[error("the session description offers no audio")]
    NoAudio,
    #[error("the audio stream wants transport `{0}`; only RTP/AVP is spoken here")]
    Transport(String),
    #[error("the audio stream has no usable address: {0}")]
    Address(String),
    #[error("no codec in common: offered were {offered}; spoken here are PCMU and PCMA")]
    NoCodec { offered: String },
    #[error("the answer has {found} streams, the offer had {offered}")]
    StreamCount { offered: usize, found: usize },
    #[error("the far end declined the audio stream")]
    Declined,
}

/// A description that is longer is not read. Real ones have 300 to 3,000 bytes.
pub const MOST_BYTES: usize = 65_536;
/// Streams of one description.
pub const MOST_STREAMS: usize = 64;
/// Attributes of one stream.
pub const MOST_ATTRIBUTES: usize = 256;
