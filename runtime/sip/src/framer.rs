//! Messages out of a stream, whatever way it was cut (RFC 3261 18.3).

use bytes::{Buf, BytesMut};

use crate::message::{Limits, Message, ParseError, head_end};

/// Collects the bytes of one connection.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    progress: Progress,
}

#[derive(Debug)]
pub enum Framed {
    Message(Message),
    /// CRLF CRLF between messages (RFC 5626 4.4.1): to be answered with CRLF.
    Ping,
}

/// What is known of the message that the buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Up to `searched` no end of a head was found: not looked at again.
    Head { searched: usize },
    /// `head` bytes are a head that was measured: `length` bytes of body follow. It is not looked
    /// at again before they are there, so a slow sender costs no more than a fast one.
    Body { head: usize, length: usize },
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
        if self.progress == Progress::default() {
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
        if let Progress::Head { searched } = self.progress {
            self.progress = self.search(searched, limits)?;
        }
        let Progress::Body { head, length } = self.progress else { return Ok(None) };
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.progress = Progress::default();
        let bytes = self.buffer.split_to(head + length).freeze();
        let mut message = Message::parse_head(bytes, head, limits)?;
        message.set_body(head..head + length);
        Ok(Some(Framed::Message(message)))
    }

    /// Looks for the end of the head, and measures the head when it is whole.
    fn search(&self, searched: usize, limits: &Limits) -> Result<Progress, ParseError> {
        // The end may straddle what was seen already.
        let from = searched.saturating_sub(3);
        let end = head_end(&self.buffer[from..]).map(|found| from + found);
        let found = end.unwrap_or(self.buffer.len());
        if found > limits.head_bytes {
            return Err(ParseError::TooLarge { what: "the head", found, most: limits.head_bytes });
        }
        let Some(head) = end else { return Ok(Progress::Head { searched: found }) };
        let length = content_length(&self.buffer[..head])?;
        if length > limits.body_bytes {
            return Err(ParseError::TooLarge { what: "the body", found: length, most: limits.body_bytes });
        }
        Ok(Progress::Body { head, length })
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::Head { searched: 0 }
    }
}

/// RFC 3261 18.3: over a stream it must be there; without it, there is no body.
fn content_length(head: &[u8]) -> Result<usize, ParseError> {
    let generous = Limits { headers: usize::MAX, vias: usize::MAX, ..Limits::default() };
    // A copy of a bounded head, made once: the message itself is read when its body is there.
    let message = Message::parse_head(bytes::Bytes::copy_from_slice(head), head.len(), &generous)?;
    Ok(message.content_length()?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// While the body is awaited, the head in the buffer is made unreadable: whoever looked at it
    /// again would say so.
    #[test]
    fn a_head_is_measured_once_however_slow_its_body_is() {
        let head = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nl: 65536\r\n\r\n";
        let body: Vec<u8> = (0..65_536u32).map(|at| at.to_le_bytes()[0]).collect();
        let limits = Limits::default();
        let mut framer = Framer::default();
        for (at, byte) in head.iter().enumerate() {
            assert_eq!(framer.progress, Progress::Head { searched: at });
            framer.push(&[*byte]);
            assert!(framer.next(&limits).unwrap().is_none());
        }
        let (last, all_but_last) = body.split_last().unwrap();
        framer.buffer[..head.len()].fill(b'?');
        for byte in all_but_last {
            assert_eq!(framer.progress, Progress::Body { head: head.len(), length: body.len() });
            framer.push(&[*byte]);
            assert!(framer.next(&limits).unwrap().is_none());
        }
        framer.buffer[..head.len()].copy_from_slice(head);
        framer.push(&[*last]);
        let Some(Framed::Message(message)) = framer.next(&limits).unwrap() else { panic!("the message is whole") };
        assert_eq!(message.body(), body);
        assert_eq!((framer.progress, framer.waiting()), (Progress::default(), 0));
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

    /// What a stream says: its pings and messages, up to what breaks it.
    fn said(parts: &[&[u8]]) -> Vec<String> {
        let mut framer = Framer::default();
        let mut said = Vec::new();
        for part in parts {
            framer.push(part);
            loop {
                match framer.next(&Limits::default()) {
                    Ok(None) => break,
                    Ok(Some(Framed::Ping)) => said.push("ping".to_owned()),
                    Ok(Some(Framed::Message(message))) => said.push(format!("{message:?} + {:?}", message.body())),
                    Err(error) => {
                        said.push(error.to_string());
                        return said;
                    }
                }
            }
        }
        said.push(format!("{} wait", framer.waiting()));
        said
    }

    fn cut<'s>(stream: &'s [u8], cuts: &[prop::sample::Index]) -> Vec<&'s [u8]> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        let mut begin = 0;
        ends.into_iter().map(|end| &stream[std::mem::replace(&mut begin, end)..end]).collect()
    }

    /// A ping, or a message with a body that may look like SIP itself, and how it reads.
    fn part() -> impl Strategy<Value = (Vec<u8>, String)> {
        let body = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            Just(b"\r\n\r\n".to_vec()),
            Just(INVITE.to_vec()),
        ];
        let length = prop_oneof![Just("l: "), Just("Content-Length :"), Just("CONTENT-LENGTH:\r\n ")];
        let message = (any::<bool>(), length, "[a-z ]{0,40}", body).prop_map(|(after_pong, length, subject, body)| {
            let head = format!("OPTIONS sip:a@b SIP/2.0\r\nSubject: {subject}\r\n{length}{}\r\n\r\n", body.len());
            let message = [head.as_bytes(), &body].concat();
            let said = format!("{} + {body:?}", String::from_utf8_lossy(&message));
            ([if after_pong { &b"\r\n"[..] } else { b"" }, &message].concat(), said)
        });
        prop_oneof![1 => Just((b"\r\n\r\n".to_vec(), "ping".to_owned())), 4 => message]
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_messages(
            parts in proptest::collection::vec(part(), 0..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let (bytes, mut expected): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            expected.push("0 wait".to_owned());
            let stream = bytes.concat();
            prop_assert_eq!(said(&cut(&stream, &cuts)), expected);
        }

        #[test]
        fn a_broken_stream_breaks_the_same_however_it_is_cut(
            pieces in proptest::collection::vec(prop::sample::select(PIECES), 0..16),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let stream = pieces.concat();
            prop_assert_eq!(said(&cut(&stream, &cuts)), said(&[&stream]));
        }
    }

    const PIECES: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\n",
        b"l: 4\r\n",
        b"l: 5\r\n",
        b"l: x\r\n",
        b"Subject: \xff\r\n",
        b" \t",
        b":",
        b"body",
        INVITE,
    ];
}
