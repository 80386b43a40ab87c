//! Between the call brain and signalling: one leg, addressed by its [`LegKey`].
//!
//! `call` knows no SIP and `signal` knows no call. Every [`LegCommand`] that carries an `ask`
//! gets exactly one [`LegEvent::Reply`] with it; [`LegEvent::Ended`] is the last event of every
//! leg, and comes once. Commands to a leg that is gone are answered `Refused::Gone`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;

use crate::{Egress, EndCause, Header, TrunkId, UserId};

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
    /// The leg whose place this one is to take (RFC 3891). It stood when the INVITE came.
    pub replaces: Option<LegKey>,
    /// Who it is, where that is proved.
    pub origin: Origin,
    /// Where its sound may be sent besides `peer` before anything came from there.
    pub media_networks: Arc<[IpNet]>,
}

/// Who is at the far end, as far as it is proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody that is known: an address that may call.
    #[default]
    Anonymous,
    /// By the address it speaks from.
    Trunk(TrunkId),
    /// By digest.
    User(UserId),
}

/// One way to a far end that may be called. Made by the node by its rules; the brain only passes
/// it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The Request-URI.
    pub target: String,
    /// The From header without its tag: `<sip:..>`, or with a name before it.
    pub caller: String,
    /// Route headers in their order: an outbound proxy, the Path of a registration.
    pub routes: Vec<String>,
    /// Of the rules: identities that are asserted, Privacy, History-Info. They stand before what
    /// a module adds.
    pub headers: Vec<Header>,
    /// The driver's connection that alone reaches it (RFC 5626).
    pub flow: Option<u64>,
    /// For 401 and 407 of this far end and this realm alone.
    pub credentials: Option<Arc<Credentials>>,
    /// Where packets may go, asked of every address after names are resolved.
    pub egress: Arc<Egress>,
    /// The local address to name in the session description that is offered.
    pub local: IpAddr,
    /// As [`Offered::media_networks`].
    pub media_networks: Arc<[IpNet]>,
    /// Of whom the minutes are bought.
    pub trunk: Option<TrunkId>,
}

/// What a trunk asks for. Never shown: not in logs, not in errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// None answers any realm, which is for trunks that do not say theirs beforehand.
    pub realm: Option<String>,
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

/// Where a REFER sends its far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferTo {
    Address(String),
    /// To take over that leg (Replaces).
    Leg(LegKey),
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
    Dial { ask: u32, way: Box<Way>, body: Body, headers: Vec<Header>, timeout_ms: u32 },
    /// A re-INVITE with this offer. The reply comes when it is answered, after
    /// [`LegEvent::Reanswered`]; a refusal is `Refused::Answered`. Glare (491) is tried again by
    /// signalling itself.
    Reoffer { ask: u32, body: Body },
    /// REFER. The reply comes with its answer; what came of it is told by `ReferProgress`.
    Refer { ask: u32, to: ReferTo, timeout_ms: u32 },
    /// The answer to [`LegEvent::Referred`].
    AnswerRefer { ask: u32, status: u16 },
    /// Tells who sent an accepted REFER how far it has come (NOTIFY); 200 and above is the last.
    NotifyRefer { ask: u32, status: u16 },
    /// One digit by INFO, where the far end takes no telephone-event.
    Info { ask: u32, digit: char, length_ms: u32 },
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
        headers: Vec<Header>,
        /// Where signalling speaks with it.
        peer: IpAddr,
    },
    /// The far end answered (dialled legs). Early media of another branch of a fork may have
    /// come before; this body is the one that counts.
    Answered {
        body: Option<Body>,
        headers: Vec<Header>,
        peer: IpAddr,
    },
    /// The answer to our [`LegCommand::Reoffer`].
    Reanswered {
        body: Option<Body>,
    },
    /// The far end asks for a transfer. Unanswered by the deadline, signalling answers 603.
    Referred {
        to: String,
        by: Option<String>,
        /// The leg of this node that `to` would replace (attended transfer).
        replaces: Option<LegKey>,
    },
    /// What our REFER has come to: the SIP status of the call it asked for.
    ReferProgress {
        status: u16,
        is_final: bool,
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
    /// The far end said no.
    Answered { status: u16, reason: String },
    /// The rules do not let it go there, and which.
    Denied(String),
    /// There is no way there now: a name that does not resolve, a connection that is refused.
    Unavailable(String),
}

/// Gives out keys. Shared by everybody who makes legs.
#[derive(Debug, Default)]
pub struct LegSource(AtomicU64);

impl LegSource {
    /// A leg of this lane, under a serial that is never used twice.
    pub fn next(&self, lane: u8) -> LegKey {
        LegKey::new(lane, self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
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
            | Self::Dial { ask, .. }
            | Self::Reoffer { ask, .. }
            | Self::Refer { ask, .. }
            | Self::AnswerRefer { ask, .. }
            | Self::NotifyRefer { ask, .. }
            | Self::Info { ask, .. } => *ask,
        }
    }
}
