//! What the agent is told, and what it says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::message::Message;
use crate::transaction::Time;

/// Names a leg. Chosen by whoever admits or dials it.
pub type LegId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    /// RFC 7118.
    Ws,
    Wss,
}

/// Where a message came from, and where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub transport: Transport,
    /// Ours, as the far end can reach it.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Of the driver's connections. 0 is none in particular: over a stream, the driver takes one
    /// that leads there, or opens one.
    pub connection: u64,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Stands in Contact instead of the local address.
    pub advertised: Option<IpAddr>,
    /// User-Agent and Server.
    pub product: String,
    /// How long a re-INVITE or UPDATE waits for its user before it is answered 500. Callers give
    /// up after 32 s.
    pub decide_within: Duration,
    /// Legs at once. More are refused with 503.
    pub most_legs: usize,
    /// After how long without a sign of life a call is ended (RFC 4028). Half an hour, as the RFC
    /// would have it: a refresh every quarter of an hour costs nothing.
    pub session: Duration,
    /// What others may ask for at least; who asks for less is answered 422. 90 s, which is the
    /// least that the RFC allows.
    pub min_session: Duration,
    /// When the next of a call's peers is tried, though the one before has not said anything yet.
    /// 4.5 s: two retransmissions, and a second. RFC 3263 would wait for 32 s, which no caller does.
    pub next_peer_after: Duration,
}

/// An INVITE that wants in.
#[derive(Clone, Debug)]
pub struct Invite {
    pub message: Message,
    pub peer: Peer,
    /// The session description, out of a multipart body too.
    pub offer: Option<Vec<u8>>,
    /// The leg whose place it is to take (RFC 3891), which stands.
    pub replaces: Option<LegId>,
}

/// What the driver decides while a request is being read. It answers from memory.
pub trait Door {
    /// Asked about each new INVITE, before anything is kept of it.
    fn invite(&mut self, now: Time, invite: &Invite) -> Decision;

    /// The whole answer to a REGISTER (the registrar's).
    fn register(&mut self, now: Time, peer: &Peer, request: &Message) -> Answered;
}

/// A final answer, with what its status demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
}

/// Names a request outside of dialogs, of the driver's own.
pub type RequestId = u64;

/// What a trunk asks for (RFC 3261 22, RFC 8760).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// None answers whichever realm the far end names.
    pub realm: Option<String>,
    pub username: String,
    pub password: String,
}

/// Why it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub reason: String,
    pub retry_after_s: Option<u32>,
    /// `WWW-Authenticate`, for example.
    pub headers: Vec<(String, String)>,
}

/// What admission says of an INVITE.
pub type Decision = Result<LegId, Refusal>;

/// What the user wants of a leg. Each is answered by one [`Event::Reply`].
#[derive(Clone, Debug)]
pub enum Command {
    Ring {
        status: u16,
        body: Option<Vec<u8>>,
    },
    Answer {
        body: Vec<u8>,
        headers: Vec<(String, String)>,
    },
    Reject {
        status: u16,
        reason: String,
        headers: Vec<(String, String)>,
    },
    /// What ends the leg in its present state.
    Hangup {
        reason: Option<String>,
    },
    AnswerReoffer {
        body: Vec<u8>,
    },
    RefuseReoffer {
        status: u16,
    },
    Dial(Box<Dial>),
    /// A re-INVITE. Its reply comes with its answer, after [`Event::Reanswered`].
    Reoffer {
        body: Vec<u8>,
    },
    /// Its reply comes with its answer.
    Refer {
        to: ReferTo,
        timeout: Duration,
    },
    AnswerRefer {
        status: u16,
    },
    NotifyRefer {
        status: u16,
    },
    Info {
        digit: char,
        length_ms: u32,
    },
}

#[derive(Clone, Debug)]
pub struct Dial {
    /// In the order in which they are tried (RFC 3263 4.3): the next, when one cannot be reached,
    /// does not answer, or answers 503.
    pub to: Vec<Peer>,
    pub target: String,
    /// From, without its tag: `"Name" <sip:..>` or `<sip:..>`.
    pub caller: String,
    pub routes: Vec<String>,
    pub credentials: Option<Credentials>,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
    pub timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferTo {
    Address(String),
    /// With Replaces, of that leg's dialog.
    Leg(LegId),
}

#[derive(Clone, Debug)]
pub enum Effect {
    Send {
        peer: Peer,
        bytes: Bytes,
    },
    Event {
        leg: LegId,
        event: Event,
    },
    /// The end of a request of [`crate::Agent::request`]: its final answer, or 408 (nobody
    /// answered) or 503 (nobody could be reached) of our own.
    Response {
        request: RequestId,
        result: Result<Message, u16>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The ACK of our 200.
    Confirmed {
        body: Option<Vec<u8>>,
    },
    Reoffered {
        body: Option<Vec<u8>>,
    },
    /// The ACK of a re-INVITE without an offer.
    Reconfirmed {
        body: Vec<u8>,
    },
    /// `peer` is where the far end signals from.
    Ringing {
        status: u16,
        body: Option<Vec<u8>>,
        headers: Vec<(String, String)>,
        peer: IpAddr,
    },
    Answered {
        body: Option<Vec<u8>>,
        headers: Vec<(String, String)>,
        peer: IpAddr,
    },
    Reanswered {
        body: Option<Vec<u8>>,
    },
    /// REFER. Waits for [`Command::AnswerRefer`].
    Referred {
        to: String,
        by: Option<String>,
        replaces: Option<LegId>,
    },
    /// NOTIFY of our REFER.
    ReferProgress {
        status: u16,
        is_final: bool,
    },
    Digit {
        digit: char,
        length_ms: u32,
    },
    Reply {
        ask: u32,
        result: Result<(), No>,
    },
    /// Last, and once.
    Ended {
        status: u16,
        reason: String,
        remote: bool,
    },
}

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// Not in this state, which is named.
    State(&'static str),
    Gone,
    Invalid(String),
    /// The far end's own answer.
    Answered {
        status: u16,
        reason: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            advertised: None,
            product: concat!("callbox/", env!("CARGO_PKG_VERSION")).to_owned(),
            decide_within: Duration::from_secs(10),
            most_legs: 50_000,
            session: Duration::from_secs(1_800),
            min_session: Duration::from_secs(90),
            next_peer_after: Duration::from_millis(4_500),
        }
    }
}

impl Peer {
    /// For Contact and Via.
    pub(crate) fn advertised(&self, settings: &Settings) -> SocketAddr {
        SocketAddr::new(settings.advertised.unwrap_or(self.local.ip()), self.local.port())
    }
}

impl Transport {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}
