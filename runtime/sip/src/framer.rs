//! Messages out of a stream, whatever way it was cut (RFC 3261 18.3).

use bytes::{Buf, BytesMut};

use crate::message::{Limits, Message, ParseError, head_end};

/// Collects the bytes of one connection.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// Up to here no head's end was found: not looked at again.
    searched: usize,
}

#[derive(Debug)]
pub enum Framed {
    Message(Message),
    /// CRLF CRLF between messages (RFC 5626 4.4.1): to be answered with CRLF.
    Ping,
}

impl Framer {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that are no message yet.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next message. After an error the stream is lost: nobody knows where the next one begins.
    pub fn next(&mut self, limits: &Limits) -> Result<Option<Framed>, ParseError> {
        if self.searched == 0 {
            if self.buffer.starts_with(b"\r\n\r\n") {
                self.buffer.advance(4);
                return Ok(Some(Framed::Ping));
            }
            // A single CRLF is a pong, or the first half of a ping.
            if self.buffer.len() > 2 && self.buffer.starts_with(b"\r\n") && self.buffer[2] != b'\r' {
                self.buffer.advance(2);
            }
            if matches!(&self.buffer[..], b"\r" | b"\r\n" | b"\r\n\r") {
                return Ok(None);
            }
        }
        // The end may straddle what was seen already.
        let from = self.searched.saturating_sub(3);
        let Some(found) = head_end(&self.buffer[from..]) else {
            self.searched = self.buffer.len();
            return self.too_long(limits).map_or(Ok(None), Err);
        };
        let head = from + found;
        if head > limits.head_bytes {
            return Err(ParseError::TooLarge { what: "the head", found: head, most: limits.head_bytes });
        }
        let length = content_length(&self.buffer[..head])?;
        if length > limits.body_bytes {
            return Err(ParseError::TooLarge { what: "the body", found: length, most: limits.body_bytes });
        }
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.searched = 0;
        let bytes = self.buffer.split_to(head + length).freeze();
        let mut message = Message::parse_head(bytes, head, limits)?;
        message.set_body(head..head + length);
        Ok(Some(Framed::Message(message)))
    }

    fn too_long(&self, limits: &Limits) -> Option<ParseError> {
        (self.buffer.len() > limits.head_bytes).then(|| ParseError::TooLarge {
            what: "the head",
            found: self.buffer.len(),
            most: limits.head_bytes,
        })
    }
}

/// RFC 3261 18.3: over a stream it must be there; without it, there is no body.
fn content_length(head: &[u8]) -> Result<usize, ParseError> {
    let generous = Limits { headers: usize::MAX, vias: usize::MAX, ..Limits::default() };
    // Heads are bounded, and looked at once when they are whole.
    let message = Message::parse_head(bytes::Bytes::copy_from_slice(head), head.len(), &generous)?;
    Ok(message.content_length()?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nl: 4\r\n\r\nbody";

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let stream = [b"\r\n\r\n", INVITE, b"\r\n", INVITE, b"\r\n\r\n"].concat();
        for cut in 0..stream.len() {
            let mut framer = Framer::default();
            let mut seen = String::new();
            for part in [&stream[..cut], &stream[cut..]] {
                framer.push(part);
                while let Some(framed) = framer.next(&Limits::default()).unwrap() {
                    seen.push(match framed {
                        Framed::Message(message) => {
                            assert_eq!(message.body(), b"body");
                            'm'
                        }
                        Framed::Ping => 'p',
                    });
                }
            }
            assert_eq!(seen, "pmmp", "cut at {cut}");
            assert_eq!(framer.waiting(), 0, "cut at {cut}");
        }
    }

    #[test]
    fn a_head_without_end_and_a_body_without_measure_are_refused() {
        let mut framer = Framer::default();
        let line = b"X-A: 1234567890123456789012345678901234567890\r\n";
        framer.push(b"INVITE sip:a@b SIP/2.0\r\n");
        let error = (0..1_000).find_map(|_| {
            framer.push(line);
            framer.next(&Limits::default()).err()
        });
        assert!(matches!(error, Some(ParseError::TooLarge { what: "the head", .. })), "{error:?}");
        let mut framer = Framer::default();
        framer.push(b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 99999999\r\n\r\n");
        assert!(matches!(framer.next(&Limits::default()), Err(ParseError::TooLarge { what: "the body", .. })));
    }
}
