//! Our own addresses: which of them leads to whom, and on which port we can be reached there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use callbox_model::Egress;
use callbox_sip::locate::Family;
use callbox_sip::{Peer, Transport};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::locating::FAMILIES;

pub(crate) struct Locals {
    listening: Vec<(Transport, SocketAddr)>,
    /// Against nothing but our own.
    rules: Egress,
    /// Which of our addresses leads to whom, and since when that is known.
    ways: HashMap<IpAddr, (Duration, IpAddr)>,
    most: usize,
}

impl Locals {
    pub(crate) fn new(listening: Vec<(Transport, SocketAddr)>, own: &[SocketAddr], most: usize) -> Self {
        let listened = listening.iter().map(|(_, at)| *at).filter(|at| !at.ip().is_unspecified());
        let rules = anywhere_but(own.iter().copied().chain(listened).collect());
        Self { listening, rules, ways: HashMap::new(), most }
    }

    /// Where `remote` can answer us. None: no socket of this transport reaches it.
    pub(crate) fn towards(&mut self, now: Duration, transport: Transport, remote: SocketAddr) -> Option<SocketAddr> {
        let is_fit = |(own, local): &&(Transport, SocketAddr)| *own == transport && local.is_ipv4() == remote.is_ipv4();
        match (self.listening.iter().find(is_fit), transport) {
            (Some(&(_, local)), _) if !local.ip().is_unspecified() => Some(local),
            (Some(&(_, local)), _) => Some(SocketAddr::new(self.way(now, remote), local.port())),
            (None, Transport::Udp) => None,
            // We listen to none of these, and can still open one: the far end sends over it too.
            (None, _) => Some(SocketAddr::new(self.way(now, remote), default_port(transport))),
        }
    }

    /// The socket that something came in on, or, when it is no longer, another one that reaches
    /// there.
    pub(crate) fn standing(
        &mut self,
        now: Duration,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let stands = self.listening.iter().any(|(own, at)| {
            *own == transport && at.port() == local.port() && (at.ip() == local.ip() || at.ip().is_unspecified())
        });
        if stands { Some(local) } else { self.towards(now, transport, remote) }
    }

    /// Of addresses that can be reached: those that we listen on, or any where we do not.
    pub(crate) fn families(&self) -> Vec<Family> {
        let is_spoken = |family: &Family| {
            let is_of = |(_, at): &(Transport, SocketAddr)| at.is_ipv4() == (*family == Family::V4);
            self.listening.is_empty() || self.listening.iter().any(is_of)
        };
        FAMILIES.into_iter().filter(is_spoken).collect()
    }

    /// As it can be named to `remote`.
    pub(crate) fn named(&mut self, now: Duration, local: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if local.ip().is_unspecified() { SocketAddr::new(self.way(now, remote), local.port()) } else { local }
    }

    /// Whether it would come back to where it leaves from, or reach what the node needs. Far ends
    /// name ports of the host that they speak from, and may speak from the node's own.
    pub(crate) fn is_ours(&self, peer: &Peer) -> bool {
        let is_back = peer.remote == peer.local
            && self.listening.iter().any(|(own, at)| *own == peer.transport && at.port() == peer.remote.port());
        is_back || self.rules.admits(peer.remote).is_err()
    }

    /// As [`way`], which takes the kernel 30 us: remembered for a minute, since routes change.
    fn way(&mut self, now: Duration, remote: SocketAddr) -> IpAddr {
        if let Some((since, local)) = self.ways.get(&remote.ip())
            && now.saturating_sub(*since) < WAY_KEPT
        {
            return *local;
        }
        if self.ways.len() >= self.most {
            self.ways.clear();
        }
        let local = way(remote);
        self.ways.insert(remote.ip(), (now, local));
        local
    }
}

/// All networks are open.
pub(crate) fn anywhere_but(own: Arc<[SocketAddr]>) -> Egress {
    let open = Arc::new([IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]);
    Egress { own, open, only: Arc::default() }
}

/// The address of this machine that a far end would see. Nothing is sent.
fn way(remote: SocketAddr) -> IpAddr {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    std::net::UdpSocket::bind(any)
        .and_then(|socket| socket.connect(remote).and_then(|()| socket.local_addr()))
        .map_or(remote.ip(), |local| local.ip())
}

/// RFC 3261 19.1.2, RFC 7118 4.
pub(crate) const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5_060,
        Transport::Tls => 5_061,
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

const WAY_KEPT: Duration = Duration::from_secs(60);
