//! A pipe that counts what is read from it: WebSocket frames are taken apart behind a door where
//! nobody sees how far one has come.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Pipe;

pub(crate) struct Watched {
    pipe: Pipe,
    watch: Watch,
}

/// Shared with who looks on.
#[derive(Clone)]
pub(crate) struct Watch(Rc<Seen>);

struct Seen {
    bytes: Cell<u64>,
    /// Reading more than this is an error.
    most: Cell<u64>,
}

impl Watched {
    pub(crate) fn new(pipe: Pipe, most: usize) -> (Self, Watch) {
        let watch = Watch(Rc::new(Seen { bytes: Cell::new(0), most: Cell::new(most as u64) }));
        (Self { pipe, watch: watch.clone() }, watch)
    }
}

impl Watch {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// From here on others count.
    pub(crate) fn lift(&self) {
        self.0.most.set(u64::MAX);
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.pipe).poll_read(cx, buffer);
        let seen = &self.watch.0;
        seen.bytes.set(seen.bytes.get() + (buffer.filled().len() - before) as u64);
        if seen.bytes.get() > seen.most.get() {
            let why = format!("more than {} bytes before the handshake was done", seen.most.get());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
