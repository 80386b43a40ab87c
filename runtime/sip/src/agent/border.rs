//! What the agent is told, and what it says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::message::Message;

/// Names a leg. Chosen by whoever admits or dials it.
pub type LegId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

/// Where a message came from, and where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub transport: Transport,
    /// Ours, as the far end can reach it.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Of the driver's connections; 0 is none in particular.
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
}

/// An INVITE that wants in.
#[derive(Clone, Debug)]
pub struct Invite {
    pub message: Message,
    pub peer: Peer,
    /// The session description, out of a multipart body too.
    pub offer: Option<Vec<u8>>,
}

/// Why it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub reason: String,
    pub retry_after_s: Option<u32>,
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
    Dial {
        to: Peer,
        target: String,
        caller: String,
        body: Vec<u8>,
        headers: Vec<(String, String)>,
        timeout: Duration,
    },
}

#[derive(Clone, Debug)]
pub enum Effect {
    Send { peer: Peer, bytes: Bytes },
    Event { leg: LegId, event: Event },
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
    Ringing {
        status: u16,
        body: Option<Vec<u8>>,
    },
    Answered {
        body: Option<Vec<u8>>,
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            advertised: None,
            product: concat!("callbox/", env!("CARGO_PKG_VERSION")).to_owned(),
            decide_within: Duration::from_secs(10),
            most_legs: 50_000,
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
        }
    }
}
