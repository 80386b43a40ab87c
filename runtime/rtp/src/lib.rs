//! RTP and RTCP for telephone sound, pure: packets, digits (RFC 4733), order (jitter), where a
//! stream comes from (latching), the numbers of what is sent, and reports (RFC 3550 6).
//!
//! No socket and no clock: bytes and times in, facts out. It does no encryption.

#![forbid(unsafe_code)]

mod digits;
mod jitter;
mod latch;
mod outgoing;
mod packet;
mod reports;

pub use digits::{Digits, EventPacket, Heard, Press, code_of, digit_of};
pub use jitter::{Frame, Jitter, Placed};
pub use latch::{Latch, Verdict};
pub use outgoing::{Content, Outgoing, Stamp};
pub use packet::{HEADER_BYTES, Packet, write_header};
pub use reports::{Received, Reporter, is_rtcp};
