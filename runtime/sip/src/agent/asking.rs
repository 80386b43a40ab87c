//! What is being asked: client transactions, what they are for, and how they go out.

use std::time::Duration;

use bytes::Bytes;

use super::border::{Effect, LegId, Peer, RequestId, Transport};
use super::chance::Branch;
use super::{Agent, Due, carriage};
use crate::message::{Limits, Message, Method};
use crate::transaction::{Client, Heard, Time};
use crate::write::Writer;

#[derive(Debug)]
pub(super) struct Asking {
    pub(super) machine: Client,
    pub(super) method: Method,
    pub(super) peer: Peer,
    /// Where it goes when the stream that its size asks for cannot be had (18.1.1).
    datagrams: Option<Peer>,
    pub(super) purpose: Purpose,
    /// Of an INVITE that was accepted: one for each branch of a fork, sent again with each
    /// repetition of its 200 (13.2.2.4).
    pub(super) acks: Vec<Ack>,
    deadline: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Ack {
    pub(super) tag: String,
    pub(super) peer: Peer,
    pub(super) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite(LegId),
    /// A re-INVITE or an UPDATE.
    Reoffer(LegId),
    Bye(LegId),
    Prack(LegId),
    Refer(LegId),
    Notify(LegId),
    Info(LegId),
    /// The driver's own.
    Own(RequestId),
    /// The BYE to a branch of its fork that lost. Nobody waits for the answer.
    Lost(LegId),
    /// Nor for that of a CANCEL.
    Nothing,
}

/// Retransmissions of a 200 may come by as many ways.
pub(super) const MOST_BRANCHES: usize = 16;

impl Agent {
    /// Sends a request in a transaction of its own. False when it cannot be written.
    #[expect(clippy::too_many_arguments, reason = "all that a transaction is made of")]
    pub(super) fn ask(
        &mut self,
        now: Time,
        peer: Peer,
        branch: Branch,
        method: Method,
        purpose: Purpose,
        writer: Writer,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Ok(bytes) = writer.empty() else { return false };
        self.ask_bytes(now, peer, branch, method, purpose, bytes, out);
        true
    }

    #[expect(clippy::too_many_arguments, reason = "all that a transaction is made of")]
    pub(super) fn ask_bytes(
        &mut self,
        now: Time,
        peer: Peer,
        branch: Branch,
        method: Method,
        purpose: Purpose,
        bytes: Bytes,
        out: &mut Vec<Effect>,
    ) {
        let (peer, bytes, datagrams) =
            if self.takes_streams(now, &peer) { by_size(peer, bytes) } else { (peer, bytes, None) };
        let machine = client(now, &method, &peer, bytes.clone());
        let asking = Asking { machine, method, peer, datagrams, purpose, acks: Vec::new(), deadline: None };
        if peer.transport != Transport::Udp {
            self.asked_over.insert((peer.connection, branch));
        }
        self.clients.insert(branch, asking);
        self.schedule_client(branch);
        out.push(Effect::Send { peer, bytes });
    }

    /// The request of a transaction, read back. Rare: a refusal, a CANCEL, another try.
    pub(super) fn asked(&self, branch: Branch) -> Option<Message> {
        let bytes = self.clients.get(&branch)?.machine.request().clone();
        Message::parse_datagram(bytes, &Limits::default()).ok()
    }

    /// Nobody waits for it any more: it is over in 32 s at most.
    pub(super) fn abandon(&mut self, now: Time, branch: Branch) {
        if let Some(asking) = self.clients.get_mut(&branch) {
            asking.machine.abandon(now);
        }
        self.schedule_client(branch);
    }

    pub(super) fn client_tick(&mut self, now: Time, branch: Branch, out: &mut Vec<Effect>) {
        let Some(asking) = self.clients.get_mut(&branch) else { return };
        asking.deadline = None;
        match asking.machine.tick(now) {
            Heard::Send(bytes) => out.push(Effect::Send { peer: asking.peer, bytes }),
            Heard::Timeout => {
                self.client_failed(now, branch, 408, "no answer", out);
                return;
            }
            Heard::Nothing | Heard::News => {}
        }
        self.schedule_client(branch);
    }

    pub(super) fn schedule_client(&mut self, branch: Branch) {
        let Some(asking) = self.clients.get_mut(&branch) else { return };
        let next = asking.machine.deadline();
        if asking.deadline != next
            && let Some(at) = asking.deadline.take()
        {
            self.due.remove(&(at, Due::Client(branch)));
        }
        if asking.machine.is_over() {
            self.asked_over.remove(&(asking.peer.connection, branch));
            self.clients.remove(&branch);
            return;
        }
        if let Some(at) = next
            && asking.deadline.is_none()
        {
            asking.deadline = Some(at);
            self.due.insert((at, Due::Client(branch)));
        }
    }

    /// What these asked will not be answered.
    pub(super) fn fail_clients(&mut self, now: Time, branches: Vec<Branch>, out: &mut Vec<Effect>) {
        for branch in branches {
            if self.clients.get(&branch).is_none_or(|asking| asking.machine.is_answered()) {
                continue;
            }
            if !self.by_datagrams(now, branch, out) {
                self.client_failed(now, branch, 503, "the connection is gone", out);
            }
        }
    }

    /// 18.1.1: a stream for its size alone, which was refused.
    fn by_datagrams(&mut self, now: Time, branch: Branch, out: &mut Vec<Effect>) -> bool {
        let Some(asking) = self.clients.get_mut(&branch) else { return false };
        let Some(peer) = asking.datagrams.take().filter(|_| !asking.machine.is_proceeding()) else { return false };
        let bytes = via_over(asking.machine.request(), Transport::Tcp, Transport::Udp);
        // It will not take streams the next time either: callers do not wait for that again.
        if self.datagrams_only.len() >= MOST_DATAGRAMS_ONLY {
            self.datagrams_only.pop_first();
        }
        self.datagrams_only.insert(peer.remote, now + DATAGRAMS_ONLY_FOR);
        self.asked_over.remove(&(asking.peer.connection, branch));
        asking.machine = client(now, &asking.method, &peer, bytes.clone());
        asking.peer = peer;
        out.push(Effect::Send { peer, bytes });
        self.schedule_client(branch);
        true
    }

    fn takes_streams(&mut self, now: Time, peer: &Peer) -> bool {
        match self.datagrams_only.get(&peer.remote) {
            Some(until) if *until > now => false,
            Some(_) => {
                self.datagrams_only.remove(&peer.remote);
                true
            }
            None => true,
        }
    }

    /// Timer B or F: as a 408. The connection is gone, or never was: as a 503 (8.1.3.1).
    fn client_failed(&mut self, now: Time, branch: Branch, status: u16, reason: &str, out: &mut Vec<Effect>) {
        let Some(asking) = self.clients.remove(&branch) else { return };
        self.asked_over.remove(&(asking.peer.connection, branch));
        if let Some(at) = asking.deadline {
            self.due.remove(&(at, Due::Client(branch)));
        }
        match asking.purpose {
            Purpose::Invite(leg) => self.invite_failed(now, leg, branch, &asking, status, reason, out),
            Purpose::Reoffer(leg) => self.reoffer_refused(now, leg, branch, status, reason, None, out),
            Purpose::Bye(leg) => self.left(now, leg, out),
            Purpose::Prack(_) | Purpose::Info(_) | Purpose::Lost(_) | Purpose::Nothing => {}
            Purpose::Refer(leg) => self.refer_refused(leg, status, reason, out),
            Purpose::Notify(leg) => self.notify_refused(leg),
            Purpose::Own(request) => self.own_failed(now, request, branch, &asking, status, out),
        }
        if let Some(leg) = asking.purpose.leg() {
            self.schedule_leg(leg);
        }
    }
}

impl Purpose {
    pub(super) const fn leg(self) -> Option<LegId> {
        match self {
            Self::Invite(leg)
            | Self::Reoffer(leg)
            | Self::Bye(leg)
            | Self::Prack(leg)
            | Self::Refer(leg)
            | Self::Notify(leg)
            | Self::Info(leg)
            | Self::Lost(leg) => Some(leg),
            Self::Own(_) | Self::Nothing => None,
        }
    }
}

fn client(now: Time, method: &Method, peer: &Peer, bytes: Bytes) -> Client {
    match method {
        Method::Invite => Client::invite(now, carriage(peer), bytes),
        _ => Client::other(now, carriage(peer), bytes),
    }
}

/// 18.1.1: what might not fit into one packet goes over a stream, to the same place. Gives the way
/// back, too.
fn by_size(peer: Peer, bytes: Bytes) -> (Peer, Bytes, Option<Peer>) {
    if peer.transport != Transport::Udp || bytes.len() <= MOST_BYTES_BY_UDP {
        return (peer, bytes, None);
    }
    let stream = Peer { transport: Transport::Tcp, connection: 0, ..peer };
    (stream, via_over(&bytes, Transport::Udp, Transport::Tcp), Some(peer))
}

/// The same request, its top Via naming the other transport. Both names have three letters.
fn via_over(bytes: &Bytes, from: Transport, to: Transport) -> Bytes {
    let via = format!("\r\nVia: SIP/2.0/{} ", from.name());
    let Some(at) = memchr::memmem::find(bytes, via.as_bytes()) else { return bytes.clone() };
    let mut changed = bytes.to_vec();
    let end = at + via.len() - 1;
    changed[end - 3..end].copy_from_slice(to.name().as_bytes());
    changed.into()
}

/// Carriers are few.
const MOST_DATAGRAMS_ONLY: usize = 1_024;
/// Then streams are tried once more.
const DATAGRAMS_ONLY_FOR: Duration = Duration::from_secs(600);
/// RFC 3261 18.1.1, where the path's MTU is not known.
const MOST_BYTES_BY_UDP: usize = 1_300;
