//! The signalling driver: SIP sockets around the pure user agent of `callbox-sip`.
//!
//! [`Service::start`] opens UDP and TCP sockets and runs the agent on a thread of its own.
//! [`Handle::send`] tells it what a leg shall do; [`Events`] tells what legs do; [`Admission`] is
//! asked who may talk, and which INVITE becomes which leg. It holds no opinion on any of that.
//!
//! It resolves no names and speaks no TLS: a target is an address.

#![forbid(unsafe_code)]

mod config;
mod core;
mod rate;
mod service;
mod stream;
mod translate;

pub use config::{Config, Listen, Transport};
pub use service::{Handle, Service};

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use callbox_model::{LegEvent, LegKey, Offered};
use thiserror::Error;

/// Who may talk to us, and what becomes of an INVITE. Asked on the signalling thread: it answers
/// from memory.
pub trait Admission: Send + Sync + 'static {
    /// Others get no answer at all.
    fn may_talk(&self, source: IpAddr) -> bool;

    /// Names the leg, or refuses it. [`LegEvent::Offered`] of that leg follows at once.
    fn admit(&self, offered: &Offered) -> Result<LegKey, Refusal>;
}

/// A SIP status and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub reason: String,
    pub retry_after_s: Option<u32>,
}

/// Told on the signalling thread; must not wait.
pub type Events = Arc<dyn Fn(LegKey, LegEvent) + Send + Sync>;

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot listen for SIP on {transport} {address}: {source}")]
    Listen { transport: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("cannot start the signalling thread: {0}")]
    Thread(std::io::Error),
    #[error("the operating system gave no random bytes: {0}")]
    Chance(String),
}
