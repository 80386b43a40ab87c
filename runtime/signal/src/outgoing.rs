//! What comes of it all: effects become packets and events.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use callbox_model::LegKey;
use callbox_sip::{Effect, Peer, Transport};
use tokio::net::UdpSocket;

use crate::connections::Put;
use crate::core::Core;
use crate::{stream, translate};

impl Core {
    pub(crate) fn carry(&mut self, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { peer, bytes } => self.send(peer, bytes),
                Effect::Event { leg, event } => (self.events)(LegKey(leg), translate::event(event)),
                Effect::Response { request, result } => self.trunk_answered(request, &result),
            }
        }
        self.effects = effects;
        let (legs, servers, clients) = self.agent.counts();
        self.legs.store(legs + self.dialling.len(), Ordering::Relaxed);
        self.meters.legs.set(legs as f64);
        self.meters.transactions.set((servers + clients) as f64);
        self.rearm();
    }

    fn send(&mut self, peer: Peer, bytes: Bytes) {
        self.meters.sent.increment(1);
        if self.locals.is_ours(&peer) {
            self.meters.dropped.to_ourselves.increment(1);
            self.unreachable_soon(peer);
            return;
        }
        let is_sent = match peer.transport {
            Transport::Udp => self.send_datagram(peer, &bytes),
            transport => {
                let id = match peer.connection {
                    0 => self.connections.find(transport, peer.remote),
                    id => id,
                };
                self.put(id, bytes)
            }
        };
        if !is_sent {
            // Transactions send again, or give up.
            self.meters.dropped.not_sent.increment(1);
        }
    }

    fn send_datagram(&self, peer: Peer, bytes: &[u8]) -> bool {
        let Some(socket) = self.udp_for(peer) else { return false };
        match socket.try_send_to(bytes, peer.remote) {
            Ok(_) => true,
            Err(error) => {
                // RFC 3263 4.3: no route is known at once. A full buffer is not: that one is empty
                // before the next repetition.
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.unreachable_soon(peer);
                }
                false
            }
        }
    }

    /// Not at once: whoever sends is in the middle of its work.
    fn unreachable_soon(&self, peer: Peer) {
        self.spawn(|core| async move {
            let mut core = core.borrow_mut();
            let now = core.now();
            let mut effects = std::mem::take(&mut core.effects);
            core.agent.unreachable(now, &peer, &mut effects);
            core.carry(effects);
        });
    }

    fn put(&mut self, id: u64, bytes: Bytes) -> bool {
        match self.connections.put(id, bytes) {
            Put::Queued => true,
            Put::Begin { destination, queue } => {
                self.spawn(|core| stream::dialled(core, id, destination, queue));
                true
            }
            // A full queue is a far end that reads nothing: it will be cut off by its own writer.
            Put::Slow => false,
            Put::Gone | Put::Full => {
                // Not at once, as above.
                self.spawn(|core| async move { core.borrow_mut().disconnected(id) });
                false
            }
        }
    }

    fn udp_for(&self, peer: Peer) -> Option<&Rc<UdpSocket>> {
        let is_it = |(local, _): &&(SocketAddr, Rc<UdpSocket>)| {
            local.port() == peer.local.port()
                && (local.ip() == peer.local.ip() || local.ip().is_unspecified())
                && local.is_ipv4() == peer.remote.is_ipv4()
        };
        self.udp.iter().find(is_it).or_else(|| self.udp.first()).map(|(_, socket)| socket)
    }
}
