//! What is being answered: server transactions, and answers without one.

use std::net::IpAddr;

use bytes::Bytes;

use super::border::{Effect, LegId, Peer, Transport};
use super::chance::Key;
use super::{Agent, Due};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::transaction::{Again, Server, Time};
use crate::uri::Host;
use crate::via::Via;
use crate::write::Writer;

/// Refusals and small talk are kept for 32 s each, so that repetitions are answered the same. Past
/// this many, new requests are answered without a transaction, and forgotten.
pub(super) const MOST_SERVERS: usize = 65_536;
/// Besides those, for requests within dialogs: what is new cannot keep them out.
const RESERVED_SERVERS: usize = 16_384;

#[derive(Debug)]
pub(super) struct Serving {
    pub(super) machine: Server,
    pub(super) request: Message,
    /// Its top one.
    pub(super) via: Via,
    /// Where answers go.
    pub(super) peer: Peer,
    pub(super) leg: Option<LegId>,
    /// The key of [`Agent::running`], of an INVITE that became a leg.
    pub(super) running: Option<Key>,
    pub(super) deadline: Option<Time>,
}

impl Agent {
    /// Whether there is room for one more transaction.
    pub(super) fn has_room(&self, request: &Message) -> bool {
        let count = self.servers.len();
        count < MOST_SERVERS || (count < MOST_SERVERS + RESERVED_SERVERS && self.is_ours(request).is_some())
    }

    pub(super) fn server_tick(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        let Some(serving) = self.servers.get_mut(&key) else { return };
        serving.deadline = None;
        if let Again::Send(bytes) = serving.machine.tick(now) {
            out.push(Effect::Send { peer: serving.peer, bytes });
        }
        self.schedule_server(key);
    }

    pub(super) fn schedule_server(&mut self, key: Key) {
        let Some(serving) = self.servers.get_mut(&key) else { return };
        let next = serving.machine.deadline();
        if serving.deadline != next
            && let Some(at) = serving.deadline.take()
        {
            self.due.remove(&(at, Due::Server(key)));
        }
        if serving.machine.is_over() {
            if let Some(serving) = self.servers.remove(&key)
                && let Some(running) = serving.running
            {
                self.running.remove(&running);
            }
            return;
        }
        if let Some(at) = next
            && serving.deadline.is_none()
        {
            serving.deadline = Some(at);
            self.due.insert((at, Due::Server(key)));
        }
    }

    /// 17.2.3. Without the cookie, the RFC 2543 way: what a repetition has in common.
    pub(super) fn transaction_key(&self, message: &Message, method: &Method) -> Key {
        let via = message.top_via();
        self.transaction_key_of(message, method, via.as_ref())
    }

    pub(super) fn transaction_key_of(&self, message: &Message, method: &Method, via: Option<&Via>) -> Key {
        // An ACK is matched to its INVITE.
        let method = if *method == Method::Ack { &Method::Invite } else { method };
        let branch = via.and_then(Via::branch).unwrap_or_default();
        match (via, branch.strip_prefix("z9hG4bK")) {
            (Some(via), Some(unique)) if !unique.is_empty() => {
                let port = via.port.unwrap_or(5_060).to_be_bytes();
                let key = |host: &[u8]| self.chance.key(&[branch.as_bytes(), host, &port, method.as_str().as_bytes()]);
                match &via.host {
                    Host::Name(name) => key(name.as_bytes()),
                    Host::Address(IpAddr::V4(four)) => key(&four.octets()),
                    Host::Address(IpAddr::V6(six)) => key(&six.octets()),
                }
            }
            _ => {
                let number = message.cseq().map(|(number, _)| number).unwrap_or_default();
                self.chance.key(&[
                    b"2543",
                    &message.tag(Name::From).unwrap_or_default(),
                    &number.to_be_bytes(),
                    &message.first(Name::Via).unwrap_or_default(),
                    method.as_str().as_bytes(),
                    &message.first(Name::CallId).unwrap_or_default(),
                ])
            }
        }
    }

    /// Without a transaction: for what cannot have one.
    #[expect(clippy::too_many_arguments, reason = "all that an answer is made of")]
    pub(super) fn refuse_statelessly(
        &self,
        now: Time,
        peer: Peer,
        request: &Message,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
        out: &mut Vec<Effect>,
    ) {
        if !request.is_request() || request.method() == Some(&Method::Ack) {
            return;
        }
        // Of another version, it may be one that we cannot read; it came from somewhere.
        let Some(given) = request.first(Name::Via) else { return };
        let via = request.top_via();
        // 8.2.7: the same request is answered with the same tag, though nothing is kept of it.
        let tag = self.chance.token_of(&given);
        let oc = self.oc(now);
        let mut writer = Writer::answer(request, via.as_ref(), peer.remote, status, reason, Some(&tag), oc.as_deref());
        writer.header("Server", &self.settings.product);
        for (name, value) in headers {
            writer.header(name, value);
        }
        let to = via.map_or(peer, |via| back_to(peer, &via));
        if let Ok(bytes) = writer.empty() {
            out.push(Effect::Send { peer: to, bytes });
        }
    }

    /// A final answer of a transaction, with nothing but what its status demands.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        key: Key,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
        out: &mut Vec<Effect>,
    ) {
        let tag = self.chance.token();
        self.refuse_as(now, key, &tag, status, reason, headers, out);
    }

    /// With a tag that is in use already.
    #[expect(clippy::too_many_arguments, reason = "all that an answer is made of")]
    pub(super) fn refuse_as(
        &mut self,
        now: Time,
        key: Key,
        tag: &str,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
        out: &mut Vec<Effect>,
    ) {
        let Some(serving) = self.servers.get(&key) else { return };
        let mut writer = self.answer_writer(now, serving, status, reason, Some(tag));
        for (name, value) in headers {
            writer.header(name, value);
        }
        let bytes = writer.empty().or_else(|_| {
            // What the user gave cannot be written; the status can.
            self.answer_writer(now, serving, status, "", Some(tag)).empty()
        });
        if let Ok(bytes) = bytes {
            self.put_answer(now, key, status, bytes, out);
        }
    }

    pub(super) fn answer_writer(
        &self,
        now: Time,
        serving: &Serving,
        status: u16,
        reason: &str,
        tag: Option<&str>,
    ) -> Writer {
        let oc = self.oc(now);
        let mut writer = Writer::answer(
            &serving.request,
            Some(&serving.via),
            serving.peer.remote,
            status,
            reason,
            tag,
            oc.as_deref(),
        );
        writer.header("Server", &self.settings.product);
        writer
    }

    pub(super) fn put_answer(&mut self, now: Time, key: Key, status: u16, bytes: Bytes, out: &mut Vec<Effect>) {
        let Some(serving) = self.servers.get_mut(&key) else { return };
        serving.machine.answer(now, status, &bytes);
        if status >= 200 && serving.request.method() != Some(&Method::Invite) {
            // Repetitions are answered from the machine: strangers' requests take no memory for 32 s.
            serving.request.forget();
        }
        out.push(Effect::Send { peer: serving.peer, bytes });
        self.schedule_server(key);
    }

    /// 17.2.1: 100 Trying stops the repetitions; it has no tag.
    pub(super) fn put_trying(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        if let Some(serving) = self.servers.get(&key)
            && let Ok(bytes) = self.answer_writer(now, serving, 100, "", None).empty()
        {
            self.put_answer(now, key, 100, bytes, out);
        }
    }
}

/// Where answers to a request go (18.2.2, RFC 3581).
pub(super) fn back_to(peer: Peer, via: &Via) -> Peer {
    match peer.transport {
        Transport::Udp => Peer { remote: via.return_address(peer.remote), ..peer },
        // The connection that it came in on.
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => peer,
    }
}
