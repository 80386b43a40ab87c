//! Between the call brain and signalling: one leg, addressed by its [`LegKey`].
//!
//! `call` knows no SIP and `signal` knows no call. Every [`LegCommand`] that carries an `ask`
//! gets exactly one [`LegEvent::Reply`] with it; [`LegEvent::Ended`] is the last event of every
//! leg, and comes once. Commands to a leg that is gone are answered `Refused::Gone`.

use std::net::IpAddr;

use crate::{EndCause, Header};

/// Names a leg in the node. The top byte is the lane that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegKey(pub u64);

/// A session description, carried as it came. Only `call` reads it.
pub type Body = Vec<u8>;

/// A leg that wants in.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// SIP URI of the From header.
    pub caller: String,
    /// SIP URI of the To header.
    pub called: String,
    /// The Request-URI: what the call is routed by.
    pub target: String,
    pub caller_name: Option<String>,
    /// All headers of the INVITE but those of the protocol's own working; the application's
    /// allow-list is applied by `call`.
    pub headers: Vec<Header>,
    /// None is a late offer: ours goes out with the 200, theirs comes with the ACK.
    pub offer: Option<Body>,
    /// Where the signalling came from.
    pub peer: IpAddr,
    /// The local address to name in session descriptions towards this peer.
    pub local: IpAddr,
    /// The SIP Call-ID, for the log and the trace.
    pub sip_call_id: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LegCommand {
    /// A provisional answer, 101 to 199, with early media when there is a body.
    Ring { ask: u32, status: u16, body: Option<Body> },
    /// 200 OK. With a late offer the body is our offer.
    Answer { ask: u32, body: Body, headers: Vec<Header> },
    /// A final answer of 300 to 699 before `Answer`.
    Reject { ask: u32, status: u16, reason: String, headers: Vec<Header> },
    /// BYE, or what ends the leg in its present state (487-CANCEL for a dialled one, a final
    /// answer for one that was not answered). Never refused, but for `Gone`.
    Hangup { ask: u32, reason: Option<String> },
    /// The answer to [`LegEvent::Reoffered`].
    AnswerReoffer { ask: u32, body: Body },
    /// Refuses [`LegEvent::Reoffered`], 488 for example. The session stays as it was.
    RefuseReoffer { ask: u32, status: u16 },
    /// Starts a leg. Its life is told by the events of `leg`.
    Dial { ask: u32, target: String, caller: String, body: Body, headers: Vec<Header>, timeout_ms: u32 },
}

#[derive(Clone, Debug, PartialEq)]
pub enum LegEvent {
    Offered(Box<Offered>),
    /// The ACK of our 200 came; with a late offer, its answer is the body.
    Confirmed {
        body: Option<Body>,
    },
    /// A re-INVITE or UPDATE. None asks for an offer of ours in the 200. Unanswered by the
    /// deadline, signalling answers 500 by itself.
    Reoffered {
        body: Option<Body>,
    },
    /// The ACK of a re-INVITE that had no offer brought the answer to ours.
    Reconfirmed {
        body: Body,
    },
    /// The far end rings (dialled legs).
    Ringing {
        status: u16,
        body: Option<Body>,
    },
    /// The far end answered (dialled legs).
    Answered {
        body: Option<Body>,
    },
    /// DTMF that came by INFO.
    Digit {
        digit: char,
        length_ms: u32,
    },
    Reply {
        ask: u32,
        result: Result<(), Refused>,
    },
    /// BYE, CANCEL, a failed dial, a timer, a lost connection. Always last, always once.
    Ended(EndCause),
}

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not possible in this state, which is named.
    State(&'static str),
    /// No such leg, or no longer.
    Gone,
    /// What was asked for cannot be put on the wire, and why.
    Invalid(String),
}

impl LegKey {
    pub const fn new(lane: u8, serial: u64) -> Self {
        Self((lane as u64) << 56 | (serial & 0x00ff_ffff_ffff_ffff))
    }

    pub const fn lane(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

impl LegCommand {
    pub const fn ask(&self) -> u32 {
        match self {
            Self::Ring { ask, .. }
            | Self::Answer { ask, .. }
            | Self::Reject { ask, .. }
            | Self::Hangup { ask, .. }
            | Self::AnswerReoffer { ask, .. }
            | Self::RefuseReoffer { ask, .. }
            | Self::Dial { ask, .. } => *ask,
        }
    }
}
