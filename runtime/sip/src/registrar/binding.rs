//! One contact, with all that leads to it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::Transport;
use crate::registrar::UserKey;
use crate::transaction::Time;
use crate::uri::{Host, Scheme, Uri};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub user: UserKey,
    /// The Contact URI: the Request-URI of what is sent there.
    pub contact: String,
    /// `+sip.instance`, without its brackets: a URN.
    pub instance: Option<String>,
    /// Set when the phone keeps this flow, and others beside it, open (RFC 5626).
    pub reg_id: Option<u32>,
    /// Routes of what is sent there, in their order (RFC 3327).
    pub path: Vec<String>,
    /// Thousandths. 1,000 when the phone gave no `q`.
    pub q_permille: u16,
    pub call_id: String,
    pub cseq: u32,
    /// Where the REGISTER came from, and what it came in on.
    pub transport: Transport,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// The connection that leads there, while it is open.
    pub flow: Option<u64>,
    pub user_agent: Option<String>,
    /// Since 1970.
    pub expires: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The contact, read.
    pub(super) uri: Uri,
    pub(super) updated: Time,
    pub(super) expires_at: Time,
    pub(super) binding: Binding,
}

impl Binding {
    /// Where packets for the contact go, when it has no `path`: what it names, when that is where
    /// it registered from; else where it registered from, since the address that it names is one
    /// behind its NAT, or no address at all.
    pub fn reach(&self) -> SocketAddr {
        let Ok(Uri { scheme, host: Some(Host::Address(address)), port, .. }) = Uri::read(self.contact.as_bytes())
        else {
            return self.remote;
        };
        if self.transport != Transport::Udp || address.to_canonical() != self.remote.ip().to_canonical() {
            return self.remote;
        }
        let default = if scheme == Scheme::Sips { 5_061 } else { 5_060 };
        SocketAddr::new(self.remote.ip(), port.unwrap_or(default))
    }

    /// Whether nothing but an open connection of ours leads there: browsers cannot be called up,
    /// and a phone that keeps flows open says that it cannot either. Behind a proxy with a path,
    /// the flow is the proxy's.
    pub(super) fn needs_flow(&self) -> bool {
        let is_browser = matches!(self.transport, Transport::Ws | Transport::Wss);
        self.path.is_empty() && (is_browser || self.reg_id.is_some())
    }
}

impl Entry {
    pub(super) fn new(binding: Binding, expires_at: Time) -> Option<Self> {
        Some(Self { uri: Uri::read(binding.contact.as_bytes()).ok()?, updated: Time::ZERO, expires_at, binding })
    }
}
