//! The signalling driver: SIP sockets around the pure machines of `callbox-sip`.
//!
//! [`Service::start`] opens UDP, TCP, TLS, WS and WSS sockets and runs the user agent and the
//! registrar on a thread of its own. [`Handle::send`] tells it what a leg shall do; [`Events`]
//! tells what legs do; [`Admission`] is asked who may talk, whose digest is held against what, and
//! which INVITE becomes which leg. Names are looked up, and every address that comes out is held
//! against the rules of the way that is called ([`callbox_model::Egress`]).
//!
//! It holds no opinion on any of that, and reads no session description.

#![forbid(unsafe_code)]

mod companions;
mod config;
mod connections;
mod core;
mod dialling;
mod door;
mod errands;
mod listen;
mod locals;
mod locating;
mod meters;
mod names;
mod outgoing;
mod pulse;
mod rate;
mod registrations;
mod run;
mod service;
mod stream;
mod tls;
mod translate;
mod trunks;
mod wire;

pub use companions::Companion;
pub use config::{Clients, Config, Identity, Listen, Tls, Transport};
pub use service::{Handle, Service};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callbox_model::{
    Credentials, Egress, LegEvent, LegKey, Offered, Registration, TrunkId, TrunkState, UserId, Verifiers,
};
use thiserror::Error;

/// Who may talk to us, and what becomes of an INVITE. Asked on the signalling thread: it answers
/// from memory.
pub trait Admission: Send + Sync + 'static {
    /// Others get no answer at all.
    fn may_talk(&self, source: IpAddr) -> bool;

    /// Names the leg, or refuses it. [`LegEvent::Offered`] of that leg follows at once. Of
    /// `offered.origin` only [`callbox_model::Origin::User`] is decided before: by a digest that
    /// was right.
    fn admit(&self, offered: &Offered) -> Result<LegKey, Refusal>;

    /// A domain whose users register here, in lower case. None: no such domain.
    fn realm(&self, domain: &str) -> Option<Realm>;

    /// What a user's digest is held against. `user` is the name that it was made with.
    fn verifiers(&self, domain: &str, user: &str) -> Option<(UserId, Arc<Verifiers>)>;

    /// To be kept, for the next start. Told in the order in which it came about; what
    /// [`Service::start`] finds to be over is told before it returns.
    fn registered(&self, change: Registered);

    /// A trunk of [`Handle::set_trunks`] is registered, or is not.
    fn trunk_state(&self, trunk: TrunkId, state: TrunkState);
}

/// What a domain lets its phones do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// Offered last, for phones that know no better.
    pub md5: bool,
    pub contacts_per_user: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Registered {
    /// A new contact, or one that was refreshed.
    Bound(Registration),
    Unbound {
        user: UserId,
        contact: String,
        why: &'static str,
    },
}

/// A contact, and the flow that leads there while it stands: a connection, or over UDP the way by
/// which the phone registered. It goes into [`callbox_model::Way::flow`].
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub registration: Registration,
    pub flow: Option<u64>,
}

/// A trunk that wants to know where we are.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkRegistration {
    pub trunk: TrunkId,
    /// The registrar: the trunk's URI.
    pub uri: String,
    pub credentials: Arc<Credentials>,
    pub expires: Duration,
    pub egress: Arc<Egress>,
}

/// Why an INVITE is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Status {
        status: u16,
        reason: String,
        retry_after_s: Option<u32>,
    },
    /// 401 with the challenges of this domain, which [`Admission::realm`] knows: it might be taken
    /// from one of its users.
    Challenge {
        domain: String,
    },
}

/// Told on the signalling thread; must not wait.
pub type Events = Arc<dyn Fn(LegKey, LegEvent) + Send + Sync>;

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot listen for SIP on {transport} {address}: {source}")]
    Listen { transport: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("cannot listen for SIP on {transport} {address}: there is no certificate (tls.identity)")]
    NoIdentity { transport: &'static str, address: SocketAddr },
    #[error("TLS: {}: {why}", path.display())]
    Tls { path: PathBuf, why: String },
    #[error("TLS 1.2 and 1.3 cannot be spoken: {0}")]
    TlsVersions(String),
    #[error("cannot start the signalling thread: {0}")]
    Thread(std::io::Error),
    #[error("the operating system gave no random bytes: {0}")]
    Chance(String),
}
