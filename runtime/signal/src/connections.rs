//! The streams that are open, and those that lead to who was dialled.
//!
//! An id names a connection that came, or a *destination*: where a dialled stream leads to, which
//! is opened when something is to be sent there, and opened again when it was lost. Requests of
//! ours go over streams that we dialled, over the very one that a leg or a registration came by,
//! and over no other: that somebody comes from an address does not prove that it is his
//! (RFC 5923).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use callbox_sip::Transport;
use metrics::{Gauge, gauge};
use tokio::sync::mpsc;

#[derive(Debug)]
pub(crate) struct Connections {
    open: HashMap<u64, Open>,
    by_source: HashMap<IpAddr, usize>,
    ids: HashMap<Destination, u64>,
    destinations: HashMap<u64, Destination>,
    /// In the order in which they were named.
    order: VecDeque<u64>,
    next: u64,
    most: usize,
    most_per_source: usize,
    unsent: usize,
}

/// Where a dialled stream leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    /// Whom it must prove to be over TLS, and who is asked for over WebSocket: two names behind one
    /// address share no stream. Over TCP it is empty.
    pub(crate) host: Arc<str>,
}

#[derive(Debug)]
struct Open {
    transport: Transport,
    remote: SocketAddr,
    unsent: mpsc::Sender<Bytes>,
    gauge: Gauge,
}

/// What became of something to send.
#[derive(Debug)]
pub(crate) enum Put {
    Queued,
    /// Queued, and somebody has to open it.
    Begin {
        destination: Destination,
        queue: mpsc::Receiver<Bytes>,
    },
    /// The far end does not read as fast as it is written to.
    Slow,
    /// It came, and went.
    Gone,
    /// There is no room for one more.
    Full,
}

impl Connections {
    pub(crate) fn new(most: usize, most_per_source: usize, unsent: usize) -> Self {
        Self {
            open: HashMap::new(),
            by_source: HashMap::new(),
            ids: HashMap::new(),
            destinations: HashMap::new(),
            order: VecDeque::new(),
            next: 1,
            most,
            most_per_source,
            unsent,
        }
    }

    /// One that came. None: there are too many, of all or of this source.
    pub(crate) fn accept(&mut self, transport: Transport, remote: SocketAddr) -> Option<(u64, mpsc::Receiver<Bytes>)> {
        let of_source = self.by_source.get(&remote.ip()).copied().unwrap_or_default();
        if self.open.len() >= self.most || of_source >= self.most_per_source {
            return None;
        }
        *self.by_source.entry(remote.ip()).or_default() += 1;
        let id = self.id();
        let queue = self.insert(id, transport, remote);
        Some((id, queue))
    }

    /// The id of what leads there. Nothing is opened yet.
    pub(crate) fn towards(&mut self, destination: Destination) -> u64 {
        if let Some(&id) = self.ids.get(&destination) {
            return id;
        }
        self.forget_one();
        let id = self.id();
        self.ids.insert(destination.clone(), id);
        self.destinations.insert(id, destination);
        self.order.push_back(id);
        id
    }

    /// For a peer that names no connection: what leads there, if it was ever dialled, or came.
    pub(crate) fn find(&mut self, transport: Transport, remote: SocketAddr) -> u64 {
        let leads = |destination: &Destination| destination.transport == transport && destination.remote == remote;
        let dialled = self.order.iter().rev().find(|id| self.destinations.get(id).is_some_and(leads));
        if let Some(id) = dialled {
            return *id;
        }
        let came = self.open.iter().find(|(_, open)| open.transport == transport && open.remote == remote);
        if let Some((id, _)) = came {
            return *id;
        }
        let host = match transport {
            Transport::Tcp => "".into(),
            // Over TLS the address itself must be what the certificate names.
            _ => remote.ip().to_string().into(),
        };
        self.towards(Destination { transport, remote, host })
    }

    pub(crate) fn put(&mut self, id: u64, bytes: Bytes) -> Put {
        if let Some(open) = self.open.get(&id) {
            return open.unsent.try_send(bytes).map_or(Put::Slow, |()| Put::Queued);
        }
        let Some(destination) = self.destinations.get(&id).cloned() else { return Put::Gone };
        if self.open.len() >= self.most {
            return Put::Full;
        }
        let queue = self.insert(id, destination.transport, destination.remote);
        match self.open.get(&id).map(|open| open.unsent.try_send(bytes)) {
            Some(Ok(())) => Put::Begin { destination, queue },
            _ => Put::Slow,
        }
    }

    /// Of one that came, and is open.
    pub(crate) fn flow(&self, id: u64) -> Option<(Transport, SocketAddr)> {
        self.open.get(&id).map(|open| (open.transport, open.remote))
    }

    pub(crate) fn leads_to(&self, id: u64) -> Option<(Transport, SocketAddr)> {
        let dialled = self.destinations.get(&id).map(|to| (to.transport, to.remote));
        self.flow(id).or(dialled)
    }

    pub(crate) fn closed(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        open.gauge.decrement(1);
        if self.destinations.contains_key(&id) {
            return;
        }
        if let Some(of_source) = self.by_source.get_mut(&open.remote.ip()) {
            *of_source -= 1;
            if *of_source == 0 {
                self.by_source.remove(&open.remote.ip());
            }
        }
    }

    fn insert(&mut self, id: u64, transport: Transport, remote: SocketAddr) -> mpsc::Receiver<Bytes> {
        let (unsent, queue) = mpsc::channel(self.unsent);
        let gauge = gauge!("sip_connections", "transport" => transport.name());
        gauge.increment(1);
        self.open.insert(id, Open { transport, remote, unsent, gauge });
        queue
    }

    /// Room for one more destination: of those that are not open the oldest goes.
    fn forget_one(&mut self) {
        if self.order.len() < self.most.max(1) {
            return;
        }
        let Some(at) = self.order.iter().position(|id| !self.open.contains_key(id)) else { return };
        if let Some(destination) = self.order.remove(at).and_then(|id| self.destinations.remove(&id)) {
            self.ids.remove(&destination);
        }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn to(port: u16, host: &str) -> Destination {
        Destination { transport: Transport::Tls, remote: at(port), host: host.into() }
    }

    #[test]
    fn a_destination_keeps_its_id_over_connections_and_names_do_not_share_one() {
        let mut all = Connections::new(10, 10, 2);
        let (a, b) = (all.towards(to(1, "a.example")), all.towards(to(1, "b.example")));
        assert_ne!(a, b);
        assert_eq!(all.towards(to(1, "a.example")), a);
        let Put::Begin { queue, .. } = all.put(a, Bytes::from_static(b"x")) else { panic!("nobody opens it") };
        assert!(matches!(all.put(a, Bytes::from_static(b"y")), Put::Queued));
        assert!(matches!(all.put(a, Bytes::from_static(b"z")), Put::Slow), "the queue is bounded");
        drop(queue);
        all.closed(a);
        assert!(matches!(all.put(a, Bytes::from_static(b"x")), Put::Begin { .. }), "it is opened again");
    }

    #[test]
    fn limits_hold_and_what_closes_gives_back() {
        let mut all = Connections::new(3, 2, 2);
        let (one, _keep) = all.accept(Transport::Tcp, at(1)).unwrap();
        let _two = all.accept(Transport::Tcp, at(2)).unwrap();
        assert!(all.accept(Transport::Tcp, at(3)).is_none(), "two of a source");
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], 1));
        let _three = all.accept(Transport::Tcp, elsewhere).unwrap();
        let far = all.towards(to(9, "c.example"));
        assert!(matches!(all.put(far, Bytes::new()), Put::Full));
        all.closed(one);
        assert!(matches!(all.put(far, Bytes::new()), Put::Begin { .. }));
        assert!(matches!(all.put(one, Bytes::new()), Put::Gone), "who came and went is not dialled");
    }

    #[test]
    fn destinations_are_bounded() {
        let mut all = Connections::new(10, 10, 2);
        for port in 1..1_000 {
            all.towards(to(port, "a.example"));
        }
        assert_eq!((all.ids.len(), all.destinations.len(), all.order.len()), (10, 10, 10));
    }
}
