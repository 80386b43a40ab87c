//! The thread: sockets, timers and commands, all told to one core.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use callbox_model::{LegCommand, LegKey};
use socket2::Socket;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;

use crate::companions::{Companions, welcome};
use crate::config::{Config, Transport};
use crate::core::{Core, Parts};
use crate::errands::Errands;
use crate::stream;

pub(crate) fn run(
    config: Config,
    parts: Parts,
    sockets: Vec<(Transport, Socket)>,
    queue: mpsc::Receiver<(LegKey, LegCommand)>,
    errands: Arc<Errands>,
    companions: Companions,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the signalling thread has no runtime");
            return;
        }
    };
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let core = Core::new(config, parts);
        for (transport, socket) in sockets {
            match transport {
                Transport::Udp => {
                    let Ok(socket) = UdpSocket::from_std(socket.into()) else { continue };
                    let Ok(local) = socket.local_addr() else { continue };
                    // Until the loop has looked at it once, it would take nothing.
                    let _ = socket.writable().await;
                    let socket = Rc::new(socket);
                    core.borrow_mut().udp.push((local, socket.clone()));
                    tokio::task::spawn_local(datagrams(core.clone(), local, socket));
                }
                Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                    let Ok(listener) = TcpListener::from_std(socket.into()) else { continue };
                    tokio::task::spawn_local(accept(core.clone(), transport, listener));
                }
            }
        }
        let rearmed = core.borrow().rearmed.clone();
        tokio::task::spawn_local(commands(core.clone(), queue));
        tokio::task::spawn_local(carry_out(core.clone(), errands));
        tokio::task::spawn_local(welcome(companions));
        tokio::task::spawn_local(timers(core.clone(), rearmed));
        let _ = stopped.await;
        core.borrow_mut().close();
    });
}

/// Takes all that has come before it looks at anything else.
async fn datagrams(core: Rc<RefCell<Core>>, local: SocketAddr, socket: Rc<UdpSocket>) {
    let mut buffer = vec![0u8; 65_536];
    while socket.readable().await.is_ok() {
        for _ in 0..BATCH {
            match socket.try_recv_from(&mut buffer) {
                Ok((count, remote)) => core.borrow_mut().datagram(local, remote, &buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // A port that answered ICMP unreachable: nothing of ours.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn commands(core: Rc<RefCell<Core>>, mut queue: mpsc::Receiver<(LegKey, LegCommand)>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        for (leg, command) in batch.drain(..) {
            core.borrow_mut().command(leg, command);
        }
    }
}

async fn carry_out(core: Rc<RefCell<Core>>, errands: Arc<Errands>) {
    loop {
        let waiting = errands.next().await;
        let mut core = core.borrow_mut();
        for (user, contact) in waiting.unbind {
            core.unbind(user, contact.as_deref());
        }
        if let Some(trunks) = waiting.trunks {
            core.set_trunks(trunks);
        }
    }
}

async fn timers(core: Rc<RefCell<Core>>, rearmed: Rc<Notify>) {
    loop {
        let (now, deadline) = {
            let mut core = core.borrow_mut();
            (core.now(), core.deadline())
        };
        match deadline {
            Some(at) if at <= now => core.borrow_mut().tick(),
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep(at - now) => core.borrow_mut().tick(),
                    () = rearmed.notified() => {}
                }
            }
            None => rearmed.notified().await,
        }
    }
}

async fn accept(core: Rc<RefCell<Core>>, transport: Transport, listener: TcpListener) {
    loop {
        let (socket, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: those that are open go on.
                tracing::warn!(%error, "cannot accept a SIP connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let accepted = {
            let mut core = core.borrow_mut();
            if core.is_stranger(remote.ip()) { None } else { core.accept(transport, remote) }
        };
        if let Some((id, queue)) = accepted {
            tokio::task::spawn_local(stream::accepted(core.clone(), id, transport, socket, queue));
        }
    }
}

/// Messages taken in one go, before others have their turn.
const BATCH: usize = 64;
