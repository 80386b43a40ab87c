//! The thread: sockets, timers and commands, all told to one core.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use callbox_model::{LegCommand, LegEvent, LegKey, Refused};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;

use crate::config::{Config, Listen, Transport};
use crate::core::{Connection, Core};
use crate::{Admission, Error, Events, stream};

pub struct Service {
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

/// Tells the signalling thread what legs shall do. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<(LegKey, LegCommand)>,
    events: Events,
    listening: Arc<[(Transport, SocketAddr)]>,
    legs: Arc<AtomicUsize>,
}

impl Service {
    /// Opens the sockets and starts the thread. Fails when an address cannot be had.
    pub fn start(config: Config, admission: Arc<dyn Admission>, events: Events) -> Result<(Self, Handle), Error> {
        let mut seed = [0u8; 16];
        getrandom::fill(&mut seed).map_err(|error| Error::Chance(error.to_string()))?;
        let sockets = config
            .listen
            .iter()
            .map(|listen| open(*listen, &config).map(|socket| (listen.transport, socket)))
            .collect::<Result<Vec<_>, _>>()?;
        let listening: Arc<[_]> = sockets
            .iter()
            .filter_map(|(transport, socket)| Some((*transport, socket.local_addr().ok()?.as_socket()?)))
            .collect();
        let (commands, queue) = mpsc::channel(config.commands);
        let (stop, stopped) = oneshot::channel();
        let legs = Arc::new(AtomicUsize::new(0));
        let handle = Handle { commands, events: events.clone(), listening: listening.clone(), legs: legs.clone() };
        let thread = std::thread::Builder::new()
            .name("signal".to_owned())
            .spawn(move || {
                let core = Core::new(config, seed, admission, events, legs);
                run(core, sockets, queue, stopped);
            })
            .map_err(Error::Thread)?;
        Ok((Self { thread: Some(thread), stop: Some(stop) }, handle))
    }

    /// Closes the sockets. Calls are to be hung up before; those that are left are told of their end.
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// Never waits. Answered by [`LegEvent::Reply`], whatever happens.
    pub fn send(&self, leg: LegKey, command: LegCommand) {
        let ask = command.ask();
        let why = match self.commands.try_send((leg, command)) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Closed(_)) => Refused::Gone,
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("sip_dropped_total", "reason" => "commands-full").increment(1);
                Refused::Invalid("signalling does not keep up".to_owned())
            }
        };
        (self.events)(leg, LegEvent::Reply { ask, result: Err(why) });
    }

    pub fn listening(&self) -> &[(Transport, SocketAddr)] {
        &self.listening
    }

    pub fn open_legs(&self) -> usize {
        self.legs.load(Ordering::Relaxed)
    }
}

fn open(listen: Listen, config: &Config) -> Result<Socket, Error> {
    let failed = |source| Error::Listen { transport: listen.transport.name(), address: listen.address, source };
    let (kind, protocol) = match listen.transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(listen.address), kind, Some(protocol)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    if listen.address.is_ipv6() {
        socket.set_only_v6(true).map_err(failed)?;
    }
    match listen.transport {
        // The kernel gives less than is asked for without a word; that is no failure.
        Transport::Udp => {
            let _ = socket.set_recv_buffer_size(config.receive_buffer_bytes);
            socket.bind(&listen.address.into()).map_err(failed)?;
        }
        Transport::Tcp => {
            socket.set_reuse_address(true).map_err(failed)?;
            socket.bind(&listen.address.into()).map_err(failed)?;
            socket.listen(1_024).map_err(failed)?;
        }
    }
    Ok(socket)
}

fn run(
    core: Core,
    sockets: Vec<(Transport, Socket)>,
    queue: mpsc::Receiver<(LegKey, LegCommand)>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the signalling thread has no runtime");
            return;
        }
    };
    let rearm = core.rearm.clone();
    let core = Rc::new(RefCell::new(core));
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        for (transport, socket) in sockets {
            match transport {
                Transport::Udp => {
                    let Ok(socket) = UdpSocket::from_std(socket.into()) else { continue };
                    // Until the runtime has heard that the socket takes datagrams, sending fails
                    // without being tried.
                    let _ = socket.writable().await;
                    let socket = Rc::new(socket);
                    core.borrow_mut().udp.push(socket.clone());
                    tokio::task::spawn_local(datagrams(core.clone(), socket));
                }
                Transport::Tcp => {
                    let Ok(listener) = TcpListener::from_std(socket.into()) else { continue };
                    core.borrow_mut().tcp.extend(listener.local_addr());
                    tokio::task::spawn_local(accept(core.clone(), listener));
                }
            }
        }
        tokio::task::spawn_local(commands(core.clone(), queue));
        tokio::task::spawn_local(timers(core.clone(), rearm));
        let _ = stopped.await;
        core.borrow_mut().close();
    });
}

/// Takes all that has come before it looks at anything else.
async fn datagrams(core: Rc<RefCell<Core>>, socket: Rc<UdpSocket>) {
    let mut buffer = vec![0u8; 65_536];
    let Ok(local) = socket.local_addr() else { return };
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
        let dialled = std::mem::take(&mut core.borrow_mut().dialled);
        for (id, remote, unsent) in dialled {
            tokio::task::spawn_local(stream::dial(core.clone(), id, remote, unsent));
        }
    }
}

async fn timers(core: Rc<RefCell<Core>>, rearm: Rc<Notify>) {
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
                    () = rearm.notified() => {}
                }
            }
            None => rearm.notified().await,
        }
    }
}

async fn accept(core: Rc<RefCell<Core>>, listener: TcpListener) {
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
        let mut open = core.borrow_mut();
        let of_source = open.connections.values().filter(|one| one.remote.ip() == remote.ip()).count();
        let is_full =
            open.connections.len() >= open.config.connections || of_source >= open.config.connections_per_source;
        if is_full || open.is_stranger(remote.ip()) {
            continue;
        }
        let id = open.connection_id();
        let (unsent, queue) = mpsc::channel(open.config.unsent);
        open.connections.insert(id, Connection { remote, unsent });
        drop(open);
        tokio::task::spawn_local(stream::run(core.clone(), id, socket, queue));
    }
}

/// Messages taken in one go, before others have their turn.
const BATCH: usize = 64;
