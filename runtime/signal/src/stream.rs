//! One TCP connection: messages out of its bytes, bytes into it, and an end to those who dawdle.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use callbox_sip::{Framed, Framer, Limits, Peer, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::core::Core;

pub(crate) async fn run(core: Rc<RefCell<Core>>, id: u64, stream: TcpStream, mut unsent: mpsc::Receiver<Bytes>) {
    let (local, remote) = match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(remote)) => (local, remote),
        _ => return core.borrow_mut().disconnected(id),
    };
    let _ = stream.set_nodelay(true);
    let peer = Peer { transport: Transport::Tcp, local, remote, connection: id };
    let (mut reader, mut writer) = stream.into_split();
    let config = core.borrow().config.clone();
    let (pings, mut pongs) = mpsc::channel::<Bytes>(4);
    let read = read(&core, &mut reader, peer, config.idle, config.message_within, pings);
    let write = async {
        loop {
            let bytes = tokio::select! {
                bytes = unsent.recv() => bytes,
                pong = pongs.recv() => pong,
            };
            let Some(bytes) = bytes else { return };
            // A far end that does not read is cut off, with what waits for it.
            match tokio::time::timeout(config.message_within, writer.write_all(&bytes)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    core.borrow_mut().disconnected(id);
}

async fn read(
    core: &Rc<RefCell<Core>>,
    reader: &mut tokio::net::tcp::OwnedReadHalf,
    peer: Peer,
    idle: Duration,
    message_within: Duration,
    pings: mpsc::Sender<Bytes>,
) {
    let limits = Limits::default();
    let mut framer = Framer::default();
    let mut buffer = vec![0u8; READ_BYTES];
    // When the message that has begun must be whole.
    let mut due: Option<tokio::time::Instant> = None;
    loop {
        let until = due.unwrap_or_else(|| tokio::time::Instant::now() + idle);
        let count = match tokio::time::timeout_at(until, reader.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => count,
            // Phones say nothing for the length of a call.
            Err(_) if due.is_none() && core.borrow().is_used(peer.connection) => continue,
            _ => return,
        };
        framer.push(&buffer[..count]);
        let mut is_progress = false;
        loop {
            match framer.next(&limits) {
                Ok(Some(Framed::Message(message))) => {
                    is_progress = true;
                    core.borrow_mut().message(peer, Ok(message));
                }
                Ok(Some(Framed::Ping)) => {
                    is_progress = true;
                    let _ = pings.try_send(Bytes::from_static(b"\r\n"));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a stream that cannot be read is closed");
                    return;
                }
            }
        }
        if framer.waiting() == 0 {
            due = None;
        } else if is_progress || due.is_none() {
            due = Some(tokio::time::Instant::now() + message_within);
        }
    }
}

/// Opens the connection of a dialled leg.
pub(crate) async fn dial(core: Rc<RefCell<Core>>, id: u64, remote: SocketAddr, unsent: mpsc::Receiver<Bytes>) {
    let within = core.borrow().config.connect_within;
    match tokio::time::timeout(within, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => run(core, id, stream, unsent).await,
        _ => core.borrow_mut().disconnected(id),
    }
}

const READ_BYTES: usize = 16 << 10;
