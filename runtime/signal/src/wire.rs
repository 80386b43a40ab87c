//! One stream: TCP or TLS, its bytes as they are or in WebSocket frames. What was said comes out,
//! messages go in; who holds one does not see which kind it is.

mod handshake;
mod watched;
mod websocket;

pub(crate) use handshake::{Ways, accept, dial, is_secure, keep};

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use callbox_sip::{Broken, Framed, Framer, Limits, Message};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use websocket::{FrameReader, FrameWriter};

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// TCP, or TLS on it.
pub(crate) type Pipe = Box<dyn Duplex>;

pub(crate) struct Wire {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) pings: Pings,
}

/// Who asks whether the other is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pings {
    /// They do: RFC 5626 leaves it to who dialled.
    Theirs,
    /// We do; not everybody answers.
    Ours,
    /// We do, and an answer is owed (RFC 6455 5.5.2).
    OursAndAnswered,
}

#[derive(Debug)]
pub(crate) enum Heard {
    Message(Result<Message, Broken>),
    /// To be answered with [`PONG`].
    Ping,
    Pong,
}

pub(crate) enum Reader {
    Bytes(Box<ByteReader>),
    Frames(Box<FrameReader>),
}

pub(crate) enum Writer {
    Bytes(WriteHalf<Pipe>),
    Frames(FrameWriter),
}

pub(crate) struct ByteReader {
    half: ReadHalf<Pipe>,
    framer: Framer,
    limits: Limits,
    /// The last bytes that came.
    last: [u8; 3],
    pong: Option<Heard>,
}

impl Wire {
    pub(crate) fn bytes(pipe: Pipe, pings: Pings) -> Self {
        let (half, writer) = tokio::io::split(pipe);
        let reader =
            ByteReader { half, framer: Framer::default(), limits: Limits::default(), last: [0; 3], pong: None };
        Self { reader: Reader::Bytes(Box::new(reader)), writer: Writer::Bytes(writer), pings }
    }
}

impl Reader {
    /// Waits until something has come. Nothing of it is lost when it is given up.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => bytes.fill().await,
            Self::Frames(frames) => frames.fill().await,
        }
    }

    /// The next of what has come. After an error nothing more can be understood.
    pub(crate) fn take(&mut self) -> io::Result<Option<Heard>> {
        match self {
            Self::Bytes(bytes) => bytes.take(),
            Self::Frames(frames) => Ok(frames.take()),
        }
    }

    /// Whether a message has come in part.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.has_begun(),
            Self::Frames(frames) => frames.has_begun(),
        }
    }
}

impl ByteReader {
    async fn fill(&mut self) -> io::Result<()> {
        let Self { half, framer, last, pong, .. } = self;
        poll_fn(|cx| {
            // One buffer for all streams of the thread: most of them are silent most of the time.
            BUFFER.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                let polled = Pin::new(&mut *half).poll_read(cx, &mut read);
                let bytes = read.filled();
                polled.map(|result| match result {
                    Ok(()) if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(()) => {
                        *pong = (framer.waiting() == 0 && bytes == PONG).then_some(Heard::Pong);
                        framer.push(bytes);
                        for &byte in &bytes[bytes.len().saturating_sub(last.len())..] {
                            last.rotate_left(1);
                            last[2] = byte;
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                })
            })
        })
        .await
    }

    fn take(&mut self) -> io::Result<Option<Heard>> {
        if let Some(pong) = self.pong.take() {
            return Ok(Some(pong));
        }
        match self.framer.next(&self.limits) {
            Ok(Some(Framed::Message(message))) => Ok(Some(Heard::Message(Ok(message)))),
            Ok(Some(Framed::Ping)) => Ok(Some(Heard::Ping)),
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// A pong waits in the framer, since it may be half a ping. It owes nothing.
    fn has_begun(&self) -> bool {
        match self.framer.waiting() {
            0 => false,
            few @ 1..=3 => self.last[3 - few..].iter().any(|byte| !matches!(byte, b'\r' | b'\n')),
            _ => true,
        }
    }
}

impl Writer {
    pub(crate) async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Bytes(half) => {
                half.write_all(&bytes).await?;
                half.flush().await
            }
            Self::Frames(frames) => frames.send(bytes).await,
        }
    }

    pub(crate) async fn ping(&mut self) -> io::Result<()> {
        match self {
            Self::Bytes(_) => self.send(PING).await,
            Self::Frames(frames) => frames.ping().await,
        }
    }
}

/// RFC 5626 4.4.1
const PING: Bytes = Bytes::from_static(b"\r\n\r\n");
pub(crate) const PONG: Bytes = Bytes::from_static(b"\r\n");

const READ_BYTES: usize = 16 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}
