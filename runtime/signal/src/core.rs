//! The agent and the sockets it speaks through. Lives on the signalling thread alone.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callbox_model::{LegCommand, LegEvent, LegKey, Refused};
use callbox_sip::{Agent, Broken, Chance, Effect, Limits, Message, Method, Peer, Settings, Transport};
use metrics::{Counter, Gauge, counter, gauge};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};

use crate::rate::{Level, Rates};
use crate::{Admission, Config, Events, Refusal, translate};

pub(crate) struct Core {
    zero: Instant,
    agent: Agent,
    pub(crate) config: Rc<Config>,
    pub(crate) admission: Arc<dyn Admission>,
    events: Events,
    rates: Rates,
    pub(crate) udp: Vec<Rc<UdpSocket>>,
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) connections: HashMap<u64, Connection>,
    next_connection: u64,
    /// Connections to be opened by the service's tasks.
    pub(crate) dialled: Vec<(u64, SocketAddr, mpsc::Receiver<Bytes>)>,
    /// Told when the next deadline has moved.
    pub(crate) rearm: Rc<Notify>,
    armed: Option<Duration>,
    legs: Arc<AtomicUsize>,
    /// Which of our addresses leads to whom, and since when that is known.
    ways: HashMap<IpAddr, (Duration, IpAddr)>,
    effects: Vec<Effect>,
    meters: Meters,
}

pub(crate) struct Connection {
    pub(crate) remote: SocketAddr,
    pub(crate) unsent: mpsc::Sender<Bytes>,
}

struct Meters {
    received: Counter,
    sent: Counter,
    broken: Counter,
    stranger: Counter,
    flood: Counter,
    lost: Counter,
    legs: Gauge,
    transactions: Gauge,
    /// By method, in the order of [`METHODS`]; all others last.
    requests: Vec<Counter>,
    /// By the first digit of the status.
    responses: Vec<Counter>,
}

impl Core {
    pub(crate) fn new(
        config: Config,
        seed: [u8; 16],
        admission: Arc<dyn Admission>,
        events: Events,
        legs: Arc<AtomicUsize>,
    ) -> Self {
        let settings = Settings { advertised: config.advertised, most_legs: config.legs, ..Settings::default() };
        let dropped = |reason: &'static str| counter!("sip_dropped_total", "reason" => reason);
        Self {
            zero: Instant::now(),
            agent: Agent::new(settings, Chance::new(seed)),
            rates: Rates::new(config.requests_per_s_per_source, config.sources),
            config: Rc::new(config),
            admission,
            events,
            udp: Vec::new(),
            tcp: Vec::new(),
            connections: HashMap::new(),
            next_connection: 1,
            dialled: Vec::new(),
            rearm: Rc::new(Notify::new()),
            armed: None,
            legs,
            ways: HashMap::new(),
            effects: Vec::new(),
            meters: Meters {
                received: counter!("sip_messages_total", "direction" => "in"),
                sent: counter!("sip_messages_total", "direction" => "out"),
                broken: dropped("broken"),
                stranger: dropped("not-allowed"),
                flood: dropped("flood"),
                lost: dropped("not-sent"),
                legs: gauge!("sip_legs"),
                transactions: gauge!("sip_transactions"),
                requests: METHODS
                    .iter()
                    .chain(&["other"])
                    .map(|&method| counter!("sip_requests_total", "method" => method))
                    .collect(),
                responses: CLASSES.iter().map(|&class| counter!("sip_responses_total", "class" => class)).collect(),
            },
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.zero.elapsed()
    }

    pub(crate) fn is_stranger(&self, source: IpAddr) -> bool {
        let is_stranger = !self.admission.may_talk(source);
        if is_stranger {
            self.meters.stranger.increment(1);
        }
        is_stranger
    }

    pub(crate) fn datagram(&mut self, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        // Keep-alives of NATs: nothing but line ends.
        if self.is_stranger(remote.ip()) || bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return;
        }
        let local =
            if local.ip().is_unspecified() { SocketAddr::new(self.towards(remote), local.port()) } else { local };
        let peer = Peer { transport: Transport::Udp, local, remote, connection: 0 };
        let message = Message::parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default());
        self.message(peer, message);
    }

    pub(crate) fn message(&mut self, peer: Peer, message: Result<Message, Broken>) {
        self.meters.received.increment(1);
        if let Err(broken) = &message {
            self.meters.broken.increment(1);
            tracing::debug!(error = %broken, "a message that cannot be read");
        }
        let now = self.now();
        let is_request = message.as_ref().is_ok_and(Message::is_request);
        let mut level = if is_request { self.rates.take(now, peer.remote.ip()) } else { Level::Fine };
        if let (Level::Over | Level::Flood, Ok(message)) = (level, &message) {
            // What belongs to a call that is here goes through: an ACK or a BYE that is dropped
            // makes more work than it saves. Of what is new, only an INVITE is told.
            if self.agent.is_known(message) {
                level = Level::Fine;
            } else if level == Level::Flood || message.method() != Some(&Method::Invite) {
                self.meters.flood.increment(1);
                return;
            }
        }
        if let Ok(message) = &message {
            self.meters.count(message);
        }
        let mut begun = None;
        let (admission, advertised) = (&self.admission, self.config.advertised);
        let mut admit = |invite: &callbox_sip::Invite| {
            if level == Level::Over {
                return Err(callbox_sip::Refusal {
                    status: 503,
                    reason: "Too many requests from this address".to_owned(),
                    retry_after_s: Some(2),
                });
            }
            let offered = translate::offered(invite, advertised);
            match admission.admit(&offered) {
                Ok(leg) => {
                    begun = Some((leg, offered));
                    Ok(leg.0)
                }
                Err(Refusal { status, reason, retry_after_s }) => {
                    Err(callbox_sip::Refusal { status, reason, retry_after_s })
                }
            }
        };
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.receive(now, peer, message, &mut admit, &mut effects);
        if let Some((leg, offered)) = begun {
            (self.events)(leg, LegEvent::Offered(Box::new(offered)));
        }
        self.carry(effects);
    }

    pub(crate) fn command(&mut self, leg: LegKey, command: LegCommand) {
        let now = self.now();
        let ask = command.ask();
        match translate::command(command, |address, transport| self.route(address, transport)) {
            Ok(command) => {
                let mut effects = std::mem::take(&mut self.effects);
                self.agent.command(now, leg.0, ask, command, &mut effects);
                self.carry(effects);
            }
            Err(refused) => (self.events)(leg, LegEvent::Reply { ask, result: Err(refused) }),
        }
    }

    pub(crate) fn tick(&mut self) {
        let now = self.now();
        self.armed = None;
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.tick(now, &mut effects);
        self.carry(effects);
    }

    pub(crate) fn disconnected(&mut self, connection: u64) {
        self.connections.remove(&connection);
        let now = self.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.disconnected(now, connection, &mut effects);
        self.carry(effects);
    }

    /// Whether a call needs this connection.
    pub(crate) fn is_used(&self, connection: u64) -> bool {
        self.agent.is_used(connection)
    }

    /// The end of the thread: every leg is told.
    pub(crate) fn close(&mut self) {
        let now = self.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.agent.close(now, &mut effects);
        self.carry(effects);
    }

    pub(crate) fn connection_id(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }

    pub(crate) fn deadline(&mut self) -> Option<Duration> {
        self.armed = self.agent.next_deadline();
        self.armed
    }

    fn carry(&mut self, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { peer, bytes } => self.send(peer, bytes),
                Effect::Event { leg, event } => (self.events)(LegKey(leg), translate::event(event)),
            }
        }
        self.effects = effects;
        let (legs, servers, clients) = self.agent.counts();
        self.legs.store(legs, Ordering::Relaxed);
        self.meters.legs.set(legs as f64);
        self.meters.transactions.set((servers + clients) as f64);
        let next = self.agent.next_deadline();
        if next.is_some_and(|next| self.armed.is_none_or(|armed| next < armed)) {
            self.armed = next;
            self.rearm.notify_one();
        }
    }

    fn send(&mut self, peer: Peer, bytes: Bytes) {
        self.meters.sent.increment(1);
        let is_sent = match peer.transport {
            Transport::Udp => self.udp_for(peer).is_some_and(|socket| socket.try_send_to(&bytes, peer.remote).is_ok()),
            // A full queue is a far end that reads nothing: it will be cut off by its own writer.
            Transport::Tcp => {
                self.connections.get(&peer.connection).is_some_and(|open| open.unsent.try_send(bytes).is_ok())
            }
        };
        if !is_sent {
            // Transactions send again, or give up.
            self.meters.lost.increment(1);
        }
    }

    fn udp_for(&self, peer: Peer) -> Option<&Rc<UdpSocket>> {
        let by_port = |socket: &&Rc<UdpSocket>| {
            socket.local_addr().is_ok_and(|local| {
                local.port() == peer.local.port()
                    && (local.ip() == peer.local.ip() || local.ip().is_unspecified())
                    && local.is_ipv4() == peer.remote.is_ipv4()
            })
        };
        self.udp.iter().find(by_port).or_else(|| self.udp.first())
    }

    /// The way of a dialled leg.
    fn route(&mut self, remote: SocketAddr, transport: Option<String>) -> Result<Peer, Refused> {
        match transport.as_deref() {
            None | Some("udp") => {
                let local = self
                    .udp
                    .iter()
                    .filter_map(|socket| socket.local_addr().ok())
                    .find(|local| local.is_ipv4() == remote.is_ipv4())
                    .ok_or_else(|| Refused::Invalid(format!("no UDP socket reaches {remote}")))?;
                let ip = if local.ip().is_unspecified() { self.towards(remote) } else { local.ip() };
                Ok(Peer { transport: Transport::Udp, local: SocketAddr::new(ip, local.port()), remote, connection: 0 })
            }
            Some("tcp") => {
                let open = self.connections.iter().find(|(_, open)| open.remote == remote).map(|(id, _)| *id);
                let connection = match open {
                    Some(connection) => connection,
                    None => self.connect(remote),
                };
                let port = self.tcp.first().map_or(5_060, SocketAddr::port);
                let local = SocketAddr::new(self.towards(remote), port);
                Ok(Peer { transport: Transport::Tcp, local, remote, connection })
            }
            Some(other) => Err(Refused::Invalid(format!("transport `{other}` is not spoken"))),
        }
    }

    /// What is sent meanwhile waits in the connection's queue.
    fn connect(&mut self, remote: SocketAddr) -> u64 {
        let id = self.connection_id();
        let (unsent, queue) = mpsc::channel(self.config.unsent);
        self.connections.insert(id, Connection { remote, unsent });
        self.dialled.push((id, remote, queue));
        id
    }
}

impl Core {
    /// As [`towards`], which takes the kernel 30 us: remembered for a minute, since routes change.
    fn towards(&mut self, remote: SocketAddr) -> IpAddr {
        let now = self.now();
        if let Some((since, local)) = self.ways.get(&remote.ip())
            && now - *since < WAY_KEPT
        {
            return *local;
        }
        if self.ways.len() >= self.config.sources {
            self.ways.clear();
        }
        let local = towards(remote);
        self.ways.insert(remote.ip(), (now, local));
        local
    }
}

impl Meters {
    fn count(&self, message: &Message) {
        match (message.method(), message.status()) {
            (Some(method), _) => {
                let known = METHODS.iter().position(|name| *name == method.as_str());
                self.requests[known.unwrap_or(METHODS.len())].increment(1);
            }
            (None, Some(status)) => self.responses[usize::from(status / 100).min(6)].increment(1),
            (None, None) => {}
        }
    }
}

/// The address of this machine that a far end would see. Nothing is sent.
fn towards(remote: SocketAddr) -> IpAddr {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    std::net::UdpSocket::bind(any)
        .and_then(|socket| socket.connect(remote).and_then(|()| socket.local_addr()))
        .map_or(remote.ip(), |local| local.ip())
}

const WAY_KEPT: Duration = Duration::from_secs(60);
const METHODS: &[&str] = &["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "REGISTER"];
const CLASSES: &[&str] = &["none", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
