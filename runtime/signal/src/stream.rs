//! The life of one stream: from its handshake to its end, and an end to those who dawdle.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use callbox_sip::locate::Target;
use callbox_sip::{Peer, Transport};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::connections::Destination;
use crate::core::Core;
use crate::pulse::{Next, Pulse};
use crate::wire::{self, Heard, PONG, Reader, Ways, Wire};

type Time = tokio::time::Instant;

/// One that came.
pub(crate) async fn accepted(
    core: Rc<RefCell<Core>>,
    id: u64,
    transport: Transport,
    socket: TcpStream,
    unsent: mpsc::Receiver<Bytes>,
) {
    if let (Ok(local), Ok(remote)) = (socket.local_addr(), socket.peer_addr()) {
        wire::keep(&socket);
        let (tls, ways) = (core.borrow().keys.server(), ways(&core));
        match wire::accept(transport, socket, tls, ways).await {
            Ok(wire) => live(&core, Peer { transport, local, remote, connection: id }, wire, unsent).await,
            Err(error) => core.borrow().no_handshake(transport, &error),
        }
    }
    core.borrow_mut().disconnected(id);
}

/// One of ours. What is sent meanwhile waits in its queue.
pub(crate) async fn dialled(core: Rc<RefCell<Core>>, id: u64, destination: Destination, unsent: mpsc::Receiver<Bytes>) {
    let Destination { transport, remote, host } = destination;
    let target = Target { transport, address: remote };
    let (tls, ways) = (core.borrow().keys.client(), ways(&core));
    match wire::dial(transport, remote, &host, tls, ways).await {
        Ok(wire) => {
            core.borrow_mut().tried(target, Ok(()));
            let local = core.borrow_mut().local_towards(transport, remote);
            live(&core, Peer { transport, local, remote, connection: id }, wire, unsent).await;
        }
        Err(error) => core.borrow_mut().tried(target, Err(&error)),
    }
    core.borrow_mut().disconnected(id);
}

fn ways(core: &Rc<RefCell<Core>>) -> Ways {
    let config = &core.borrow().config;
    Ways {
        connect_within: config.connect_within,
        within: config.handshake_within,
        head_bytes: config.websocket_head_bytes,
    }
}

async fn live(core: &Rc<RefCell<Core>>, peer: Peer, wire: Wire, mut unsent: mpsc::Receiver<Bytes>) {
    let config = core.borrow().config.clone();
    let Wire { reader, mut writer, pings } = wire;
    let pulse = RefCell::new(Pulse::new(Time::now(), pings, config.ping_every, config.pong_within));
    let (tell, mut pinged) = mpsc::channel(PINGS);
    let read = read(core, peer, reader, &pulse, tell);
    let write = async {
        loop {
            let due = pulse.borrow().due();
            let written = tokio::select! {
                bytes = unsent.recv() => match bytes {
                    Some(bytes) => tokio::time::timeout(config.message_within, writer.send(bytes)).await,
                    None => return,
                },
                Some(()) = pinged.recv() => {
                    tokio::time::timeout(config.message_within, writer.send(PONG)).await
                }
                () = sleep_until(due) => {
                    let next = pulse.borrow_mut().next(Time::now());
                    match next {
                        Next::Ping => tokio::time::timeout(config.message_within, writer.ping()).await,
                        Next::Wait => continue,
                        Next::Dead => return,
                    }
                }
            };
            // A far end that does not read is cut off, with what waits for it.
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::pin!(write);
    tokio::select! {
        () = read => {
            // What was whole before the end of it is answered: nothing more comes into the queue, and
            // what is in it goes out.
            core.borrow_mut().disconnected(peer.connection);
            let _ = tokio::time::timeout(config.message_within, &mut write).await;
        }
        () = &mut write => {}
    }
}

async fn read(
    core: &Rc<RefCell<Core>>,
    peer: Peer,
    mut reader: Reader,
    pulse: &RefCell<Pulse>,
    pinged: mpsc::Sender<()>,
) {
    let (idle, message_within) = {
        let config = &core.borrow().config;
        (config.idle, config.message_within)
    };
    // When the message that has begun must be whole.
    let mut due: Option<Time> = None;
    // A pong is no reason to stay: whoever pings would stay for ever.
    let mut idle_at = Time::now() + idle;
    loop {
        match tokio::time::timeout_at(due.unwrap_or(idle_at), reader.fill()).await {
            Ok(Ok(())) => {}
            // Phones say nothing for the length of a call, or for as long as they are registered.
            Err(_) if due.is_none() && core.borrow().is_used(peer.connection) => {
                idle_at = Time::now() + idle;
                continue;
            }
            Ok(Err(_)) | Err(_) => return,
        }
        let now = Time::now();
        pulse.borrow_mut().heard(now);
        let mut is_progress = false;
        loop {
            match reader.take() {
                Ok(Some(Heard::Message(message))) => {
                    idle_at = now + idle;
                    core.borrow_mut().message(peer, message);
                }
                Ok(Some(Heard::Ping)) => {
                    idle_at = now + idle;
                    // Whoever pings without reading the pongs gets no more of them.
                    let _ = pinged.try_send(());
                }
                Ok(Some(Heard::Pong)) => pulse.borrow_mut().answered(),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a stream that cannot be read is closed");
                    return;
                }
            }
            is_progress = true;
        }
        if !reader.has_begun() {
            due = None;
        } else if is_progress || due.is_none() {
            due = Some(now + message_within);
        }
    }
}

async fn sleep_until(due: Option<Time>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Of the far end, waiting for their answers.
const PINGS: usize = 4;
