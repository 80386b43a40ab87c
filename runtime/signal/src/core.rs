//! The agent and the sockets it speaks through. Lives on the signalling thread alone.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_model::{LegCommand, LegEvent, LegKey};
use callbox_sip::digest::Authenticator;
use callbox_sip::locate::{Failing, Target};
use callbox_sip::{Agent, Broken, Chance, Effect, Limits, Message, Method, Peer, Settings, Transport};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};

use crate::connections::Connections;
use crate::dialling::{Dialling, Wish};
use crate::door::Porter;
use crate::locals::Locals;
use crate::meters::Meters;
use crate::names::Names;
use crate::rate::{Level, Rates};
use crate::registrations::Registrations;
use crate::tls::Keys;
use crate::trunks::Trunks;
use crate::{Admission, Config, Events, translate};

pub(crate) struct Core {
    /// For the tasks that it starts.
    me: Weak<RefCell<Self>>,
    zero: Instant,
    pub(crate) agent: Agent,
    pub(crate) config: Rc<Config>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) events: Events,
    rates: Rates,
    /// Of streams that come.
    connects: Rates,
    /// By where they are bound.
    pub(crate) udp: Vec<(SocketAddr, Rc<UdpSocket>)>,
    pub(crate) locals: Locals,
    pub(crate) connections: Connections,
    pub(crate) keys: Arc<Keys>,
    pub(crate) names: Rc<Names>,
    pub(crate) dialling: Dialling,
    /// Places that could not be reached lately.
    pub(crate) failing: Failing,
    authenticator: Authenticator,
    pub(crate) registrations: Registrations,
    pub(crate) trunks: Trunks,
    /// For what need not be secret.
    pub(crate) seed: u64,
    /// Told when the next deadline has moved.
    pub(crate) rearmed: Rc<Notify>,
    armed: Option<Duration>,
    pub(crate) legs: Arc<AtomicUsize>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) meters: Meters,
}

/// What a core is made of, besides its settings.
pub(crate) struct Parts {
    pub(crate) chance: Seeds,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) events: Events,
    pub(crate) legs: Arc<AtomicUsize>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) listening: Vec<(Transport, SocketAddr)>,
    pub(crate) registrations: Registrations,
}

/// Chance of the operating system's, one part for each use.
pub(crate) struct Seeds {
    pub(crate) agent: [u8; 16],
    pub(crate) nonces: [u8; 32],
    pub(crate) dice: [u8; 8],
}

impl Core {
    pub(crate) fn new(config: Config, parts: Parts) -> Rc<RefCell<Self>> {
        let settings = Settings { advertised: config.advertised, most_legs: config.legs, ..Settings::default() };
        let Parts { chance, admission, events, legs, keys, listening, registrations } = parts;
        Rc::new_cyclic(|me| {
            RefCell::new(Self {
                me: me.clone(),
                zero: Instant::now(),
                agent: Agent::new(settings, Chance::new(chance.agent)),
                rates: Rates::new(config.requests_per_s_per_source, config.sources),
                connects: Rates::new(config.connects_per_s_per_source, config.sources),
                admission,
                events,
                udp: Vec::new(),
                locals: Locals::new(listening, &config.own, config.sources),
                connections: Connections::new(config.connections, config.connections_per_source, config.unsent),
                keys,
                names: Rc::new(Names::new(&config)),
                dialling: Dialling::default(),
                failing: Failing::default(),
                authenticator: Authenticator::new(chance.nonces),
                registrations,
                trunks: Trunks::default(),
                seed: u64::from_ne_bytes(chance.dice),
                rearmed: Rc::new(Notify::new()),
                armed: None,
                legs,
                effects: Vec::new(),
                meters: Meters::new(),
                config: Rc::new(config),
            })
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.zero.elapsed()
    }

    /// Starts what waits for something: it is given this core when it runs.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, work: impl FnOnce(Rc<RefCell<Self>>) -> F) {
        if let Some(me) = self.me.upgrade() {
            tokio::task::spawn_local(work(me));
        }
    }

    // What comes in.

    pub(crate) fn is_stranger(&self, source: IpAddr) -> bool {
        let is_stranger = !self.admission.may_talk(source);
        if is_stranger {
            self.meters.dropped.stranger.increment(1);
        }
        is_stranger
    }

    pub(crate) fn datagram(&mut self, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        // Keep-alives of NATs: nothing but line ends.
        if self.is_stranger(remote.ip()) || bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return;
        }
        let now = self.now();
        let local = self.locals.named(now, local, remote);
        let peer = Peer { transport: Transport::Udp, local, remote, connection: 0 };
        let message = Message::parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default());
        self.message(peer, message);
    }

    pub(crate) fn message(&mut self, peer: Peer, message: Result<Message, Broken>) {
        self.meters.received.increment(1);
        if let Err(broken) = &message {
            self.meters.dropped.broken.increment(1);
            tracing::debug!(error = %broken, "a message that cannot be read");
        }
        let now = self.now();
        let is_request = message.as_ref().is_ok_and(Message::is_request);
        let (mut level, excess) = match is_request {
            true => self.rates.take(now, peer.remote.ip()),
            false => (Level::Fine, None),
        };
        if let (Level::Over | Level::Flood, Ok(message)) = (level, &message) {
            // What belongs to a call that is here goes through: an ACK or a BYE that is dropped
            // makes more work than it saves. Of what is new, only an INVITE is told.
            if self.agent.is_known(message) {
                level = Level::Fine;
            } else if level == Level::Flood || message.method() != Some(&Method::Invite) {
                self.meters.dropped.flood.increment(1);
                return;
            }
        }
        if let Ok(message) = &message {
            self.meters.count(message);
        }
        let mut effects = std::mem::take(&mut self.effects);
        let mut porter = Porter {
            advertised: self.config.advertised,
            level,
            admission: &*self.admission,
            authenticator: &mut self.authenticator,
            registrations: &mut self.registrations,
            begun: None,
        };
        // RFC 7339: who asks too much is told what share to keep to itself.
        self.agent.set_overload(excess, OVERLOAD_HOLDS);
        self.agent.receive(now, peer, message, &mut porter, &mut effects);
        self.agent.set_overload(None, OVERLOAD_HOLDS);
        if let Some((leg, offered)) = porter.begun {
            (self.events)(leg, LegEvent::Offered(Box::new(offered)));
        }
        self.carry(effects);
    }

    /// A stream that leads where it should, or that does not.
    pub(crate) fn tried(&mut self, target: Target, result: Result<(), &io::Error>) {
        let now = self.now();
        match result {
            Ok(()) => self.failing.worked(target),
            Err(error) => {
                self.failing.failed(now, target, None);
                self.no_handshake(target.transport, error);
            }
        }
    }

    /// A stream that did not get as far as SIP.
    pub(crate) fn no_handshake(&self, transport: Transport, error: &io::Error) {
        self.meters.dropped.handshake.increment(1);
        tracing::debug!(transport = transport.name(), %error, "no connection");
    }

    /// One that came. None: there is no room.
    pub(crate) fn accept(&mut self, transport: Transport, remote: SocketAddr) -> Option<(u64, mpsc::Receiver<Bytes>)> {
        let now = self.now();
        if self.connects.take(now, remote.ip()).0 != Level::Fine {
            self.meters.dropped.connects.increment(1);
            return None;
        }
        let accepted = self.connections.accept(transport, remote);
        if accepted.is_none() {
            self.meters.dropped.connections_full.increment(1);
        }
        accepted
    }

    /// A connection is gone, or could not be made.
    pub(crate) fn disconnected(&mut self, connection: u64) {
        let now = self.now();
        let led_to = self.connections.leads_to(connection);
        self.connections.closed(connection);
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.disconnected(now, connection, &mut effects);
        if let Some((transport, remote)) = led_to {
            // What named no connection in particular went over this one.
            let peer = Peer { transport, local: remote, remote, connection: 0 };
            self.agent.unreachable(now, &peer, &mut effects);
        }
        self.registrations.disconnected(now, connection, &*self.admission);
        self.trunks_disconnected(now, connection);
        self.carry(effects);
    }

    /// Whether a call or a registration, theirs or ours, needs this connection.
    pub(crate) fn is_used(&self, connection: u64) -> bool {
        self.registrations.is_used(connection) || self.trunks.is_used(connection) || self.agent.is_used(connection)
    }

    pub(crate) fn local_towards(&mut self, transport: Transport, remote: SocketAddr) -> SocketAddr {
        let now = self.now();
        self.locals.towards(now, transport, remote).unwrap_or(remote)
    }

    /// Words that nobody else has.
    pub(crate) fn token(&self) -> String {
        let mut bytes = [0u8; 16];
        // Where there is no chance to be had, the seed was, and the time goes on.
        if getrandom::fill(&mut bytes).is_err() {
            bytes[..8].copy_from_slice(&self.seed.to_ne_bytes());
            bytes[8..].copy_from_slice(&(self.now().as_nanos() as u64).to_ne_bytes());
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // What the user wants.

    pub(crate) fn unbind(&mut self, user: callbox_model::UserId, contact: Option<&str>) {
        let now = self.now();
        self.registrations.unbind(now, user, contact, &*self.admission);
        self.rearm();
    }

    pub(crate) fn command(&mut self, leg: LegKey, command: LegCommand) {
        let ask = command.ask();
        if let LegCommand::Dial { ask, way, body, headers, timeout_ms } = command {
            let until = self.now() + Duration::from_millis(timeout_ms.into());
            return self.dial(Wish { leg, ask, way: *way, body, headers, until });
        }
        if self.dialling.is_locating(leg) {
            return self.while_locating(leg, &command);
        }
        if let Some(command) = translate::command(command) {
            self.tell_agent(leg, ask, command);
        }
    }

    pub(crate) fn tell_agent(&mut self, leg: LegKey, ask: u32, command: callbox_sip::Command) {
        let now = self.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.command(now, leg.0, ask, command, &mut effects);
        self.carry(effects);
    }

    // The time.

    pub(crate) fn tick(&mut self) {
        let now = self.now();
        self.armed = None;
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.tick(now, &mut effects);
        self.registrations.expire(now, &*self.admission);
        self.trunks_tick(now);
        self.carry(effects);
    }

    pub(crate) fn deadline(&mut self) -> Option<Duration> {
        self.armed = self.next_deadline();
        self.armed
    }

    fn next_deadline(&self) -> Option<Duration> {
        let all = [self.agent.next_deadline(), self.registrations.next_deadline(), self.trunks.next_deadline()];
        all.into_iter().flatten().min()
    }

    /// The next deadline may be an earlier one.
    pub(crate) fn rearm(&mut self) {
        let next = self.next_deadline();
        if next.is_some_and(|next| self.armed.is_none_or(|armed| next < armed)) {
            self.armed = next;
            self.rearmed.notify_one();
        }
    }

    /// The end of the thread: every leg is told.
    pub(crate) fn close(&mut self) {
        let now = self.now();
        self.stop_locating();
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.close(now, &mut effects);
        self.carry(effects);
    }
}

/// How long a source keeps what it was told to keep. Its rate is known anew after a second.
const OVERLOAD_HOLDS: Duration = Duration::from_secs(2);
