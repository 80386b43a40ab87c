//! What the driver is set to. Every limit with its unit and its reason.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use callbox_sip::Transport;

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Vec<Listen>,
    /// Named in Contact, Via and session descriptions instead of the local address.
    pub advertised: Option<IpAddr>,
    /// Sockets of the node and of what it needs: nothing is ever sent there, whoever names them.
    /// A port of 0 is every port. What this service listens on need not be named.
    pub own: Vec<SocketAddr>,
    pub tls: Tls,
    /// Servers that are asked for names. Empty: those of `/etc/resolv.conf`.
    pub dns: Vec<SocketAddr>,
    /// For one question, with all its repetitions. A caller who hears nothing hangs up after some
    /// ten seconds, and a name may take three questions.
    pub dns_within: Duration,
    /// Questions at once. More are refused: a module that dials made-up names must not cost every
    /// other its answer.
    pub dns_questions: usize,
    /// Requests a second of one source; a burst may be twice that. Over it: 503 with Retry-After;
    /// at twice the rate: silence. A carrier's trunk sends a few hundred.
    pub requests_per_s_per_source: u32,
    /// Streams a second that one source may open; a burst may be twice that. Each costs a signature
    /// with TLS, a millisecond of this thread. An office comes back by the hundred when its line
    /// does.
    pub connects_per_s_per_source: u32,
    /// Sources whose rate is remembered. The oldest is forgotten first.
    pub sources: usize,
    /// Streams at once, theirs and ours: each costs a descriptor and up to a message of memory,
    /// with TLS some 20 KiB more. A registered browser holds one for the whole day.
    pub connections: usize,
    /// Streams of one source. A proxy or an office has many phones behind one address.
    pub connections_per_source: usize,
    /// A connection that serves neither a call nor a registration, and sends nothing for so long,
    /// is closed. Phones ping every two minutes.
    pub idle: Duration,
    /// A message that was begun must be whole after so long: slow senders are cut off. So are far
    /// ends that do not read.
    pub message_within: Duration,
    /// To connect to who is dialled.
    pub connect_within: Duration,
    /// For TLS and WebSocket together, once connected. Three round trips and a signature take a
    /// second on a bad day.
    pub handshake_within: Duration,
    /// Bytes that a stream may send before its WebSocket handshake is done. Browsers send below
    /// 1 KiB, and some cookies.
    pub websocket_head_bytes: usize,
    /// How often a stream that we dialled is asked whether it still stands, and every WebSocket
    /// (RFC 5626 4.4.1 wants 95 to 120 s; NATs forget after some five minutes).
    pub ping_every: Duration,
    /// An answer that is owed for a ping comes within so long, or the stream is dead (RFC 5626
    /// 4.4.1).
    pub pong_within: Duration,
    /// Contacts that are registered, of all users: some 2 KB each.
    pub registrations: usize,
    /// Less is refused with 423: a phone that registers every few seconds is a flood.
    pub registered_least: Duration,
    /// More is cut: a phone that vanished is called in vain for no longer.
    pub registered_most: Duration,
    /// When the phone does not say.
    pub registered_default: Duration,
    /// How often phones that keep a flow are told to ping (RFC 5626 4.4.1). NATs forget a silent
    /// connection after some five minutes.
    pub flow_timer: Duration,
    /// Messages that wait for a connection to take them.
    pub unsent: usize,
    /// Commands that wait for the thread.
    pub commands: usize,
    /// Legs at once.
    pub legs: usize,
    /// Bytes of the kernel's receive buffer of a UDP socket: bursts wait there.
    pub receive_buffer_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub transport: Transport,
    pub address: SocketAddr,
}

/// TLS 1.2 and 1.3. Files are PEM; [`crate::Handle::reload_tls`] reads them again.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Who we are. Listeners of TLS and WSS need it; those we dial see it when they ask.
    pub identity: Option<Identity>,
    pub clients: Clients,
    /// Who may vouch for those that we dial. None: whom the system trusts.
    pub authorities: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain, ours first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Whether those who come over TLS show a certificate of theirs.
#[derive(Clone, Debug, Default)]
pub enum Clients {
    #[default]
    NotAsked,
    /// Who shows one shows a good one.
    Optional {
        authorities: PathBuf,
    },
    Required {
        authorities: PathBuf,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            advertised: None,
            own: Vec::new(),
            tls: Tls::default(),
            dns: Vec::new(),
            dns_within: Duration::from_secs(3),
            dns_questions: 256,
            requests_per_s_per_source: 2_000,
            connects_per_s_per_source: 100,
            sources: 10_000,
            connections: 16_384,
            connections_per_source: 256,
            idle: Duration::from_secs(300),
            message_within: Duration::from_secs(10),
            connect_within: Duration::from_secs(5),
            handshake_within: Duration::from_secs(10),
            websocket_head_bytes: 8 << 10,
            ping_every: Duration::from_secs(100),
            pong_within: Duration::from_secs(10),
            registrations: 100_000,
            registered_least: Duration::from_secs(60),
            registered_most: Duration::from_secs(3_600),
            registered_default: Duration::from_secs(600),
            flow_timer: Duration::from_secs(120),
            unsent: 256,
            commands: 65_536,
            legs: 50_000,
            receive_buffer_bytes: 4 << 20,
        }
    }
}
