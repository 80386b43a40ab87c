//! A user agent (RFC 3261 8, 12-15): it answers calls, and places them.
//!
//! The driver tells it of messages ([`Agent::receive`]), of what its user wants
//! ([`Agent::command`]), and of the time ([`Agent::tick`]); it gives [`Effect`]s.

mod body;
mod border;
mod chance;
mod commands;
mod dialog;
mod leg;
mod requests;
mod responses;

pub use border::{Command, Decision, Effect, Event, Invite, LegId, No, Peer, Refusal, Settings, Transport};
pub use chance::Chance;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use crate::header::Name;
use crate::message::{Broken, Message, Method};
use crate::transaction::{Again, Carriage, Client, GIVE_UP, Heard, Server, Time};
use crate::write::Writer;
use leg::{AcceptedKind, Cancel, Leg, Stage};

#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    chance: Chance,
    legs: BTreeMap<LegId, Leg>,
    /// Call-ID and our tag, to the leg.
    dialogs: HashMap<(String, String), LegId>,
    servers: HashMap<String, Serving>,
    clients: HashMap<String, Asking>,
    /// Running INVITEs by Call-ID, From tag and CSeq: the same one by another way is merged (482).
    running: HashMap<(String, String, u32), String>,
    due: BTreeSet<(Time, Due)>,
}

/// Refusals and small talk are kept for 32 s each, so that repetitions are answered the same. Past
/// this many, new requests are answered without a transaction, and forgotten.
const MOST_SERVERS: usize = 65_536;
/// Besides those, for requests within dialogs.
const RESERVED_SERVERS: usize = 16_384;

#[derive(Debug)]
struct Serving {
    machine: Server,
    request: Message,
    /// Where answers go.
    peer: Peer,
    leg: Option<LegId>,
    deadline: Option<Time>,
}

#[derive(Debug)]
struct Asking {
    machine: Client,
    request: Message,
    peer: Peer,
    leg: LegId,
    purpose: Purpose,
    deadline: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Invite,
    Bye,
    Cancel,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Server(String),
    Client(String),
    Leg(LegId),
}

impl Agent {
    pub fn new(settings: Settings, chance: Chance) -> Self {
        Self {
            settings,
            chance,
            legs: BTreeMap::new(),
            dialogs: HashMap::new(),
            servers: HashMap::new(),
            clients: HashMap::new(),
            running: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// A message came. `admit` is asked about each new INVITE, before anything is kept of it.
    pub fn receive(
        &mut self,
        now: Time,
        peer: Peer,
        message: Result<Message, Broken>,
        admit: &mut dyn FnMut(&Invite) -> Decision,
        out: &mut Vec<Effect>,
    ) {
        let message = match message {
            Ok(message) => message,
            Err(Broken { error, head: Some(head) }) => {
                self.refuse_statelessly(peer, &head, 400, &error.to_string(), &[], out);
                return;
            }
            Err(Broken { head: None, .. }) => return,
        };
        if let Err(invalid) = message.validate() {
            if let Some(status) = invalid.status {
                self.refuse_statelessly(peer, &message, status, &invalid.reason, &[], out);
            }
            return;
        }
        if message.is_request() {
            self.request(now, peer, message, admit, out);
        } else {
            self.response(now, message, out);
        }
    }

    /// A connection is gone: what was asked over it will not be answered.
    #[expect(clippy::disallowed_methods, reason = "sorted before anything comes of it")]
    pub fn disconnected(&mut self, now: Time, connection: u64, out: &mut Vec<Effect>) {
        let mut lost: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, asking)| asking.peer.connection == connection)
            .map(|(branch, _)| branch.clone())
            .collect();
        lost.sort();
        for branch in lost {
            self.client_failed(now, &branch, 503, "the connection is gone", out);
        }
    }

    /// Whether a leg is reached over this connection.
    pub fn is_used(&self, connection: u64) -> bool {
        self.legs.values().any(|leg| leg.dialog.peer.connection == connection)
    }

    /// Whether a request belongs to what stands here already: a transaction, or a leg.
    pub fn is_known(&self, message: &Message) -> bool {
        let Some(method) = message.method() else { return false };
        self.servers.contains_key(&requests::transaction_key(message, method)) || self.is_ours(message).is_some()
    }

    /// The driver stops: every leg is told.
    pub fn close(&mut self, now: Time, out: &mut Vec<Effect>) {
        let legs: Vec<_> = self.legs.keys().copied().collect();
        for id in legs {
            self.end(now, id, 503, "signalling stops", false, out);
        }
    }

    /// The earliest time at which [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        while let Some((at, _)) = self.due.first()
            && *at <= now
        {
            let Some((_, due)) = self.due.pop_first() else { return };
            match due {
                Due::Server(key) => self.server_tick(now, &key, out),
                Due::Client(branch) => self.client_tick(now, &branch, out),
                Due::Leg(leg) => self.leg_tick(now, leg, out),
            }
        }
    }

    /// Legs, server transactions and client transactions that stand.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.legs.len(), self.servers.len(), self.clients.len())
    }

    // Transactions and the time.

    fn server_tick(&mut self, now: Time, key: &str, out: &mut Vec<Effect>) {
        let Some(serving) = self.servers.get_mut(key) else { return };
        serving.deadline = None;
        if let Again::Send(bytes) = serving.machine.tick(now) {
            out.push(Effect::Send { peer: serving.peer, bytes });
        }
        self.schedule_server(key);
    }

    fn client_tick(&mut self, now: Time, branch: &str, out: &mut Vec<Effect>) {
        let Some(asking) = self.clients.get_mut(branch) else { return };
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

    fn schedule_server(&mut self, key: &str) {
        let Some(serving) = self.servers.get_mut(key) else { return };
        if let Some(at) = serving.deadline.take() {
            self.due.remove(&(at, Due::Server(key.to_owned())));
        }
        if serving.machine.is_over() {
            if let Some(serving) = self.servers.remove(key)
                && let Some(running) = running_key(&serving.request)
                && self.running.get(&running).is_some_and(|other| other == key)
            {
                self.running.remove(&running);
            }
            return;
        }
        if let Some(at) = serving.machine.deadline() {
            serving.deadline = Some(at);
            self.due.insert((at, Due::Server(key.to_owned())));
        }
    }

    fn schedule_client(&mut self, branch: &str) {
        let Some(asking) = self.clients.get_mut(branch) else { return };
        if let Some(at) = asking.deadline.take() {
            self.due.remove(&(at, Due::Client(branch.to_owned())));
        }
        if asking.machine.is_over() {
            self.clients.remove(branch);
            return;
        }
        if let Some(at) = asking.machine.deadline() {
            asking.deadline = Some(at);
            self.due.insert((at, Due::Client(branch.to_owned())));
        }
    }

    fn schedule_leg(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Some(at) = leg.deadline.take() {
            self.due.remove(&(at, Due::Leg(id)));
        }
        if let Some(at) = leg.next_deadline() {
            leg.deadline = Some(at);
            self.due.insert((at, Due::Leg(id)));
        }
    }

    fn leg_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.deadline = None;
        if let Some(accepted) = &mut leg.accepted {
            if accepted.until <= now {
                // 13.3.1.4: no ACK ever came. The session is over; so is, in a re-INVITE, the call.
                let reason = "no ACK".to_owned();
                leg.accepted = None;
                self.send_bye(now, id, Some(reason), out);
            } else if accepted.again.is_due(now) {
                out.push(Effect::Send { peer: leg.dialog.peer, bytes: accepted.bytes.clone() });
            }
        }
        self.remind(now, id, out);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.reoffer.as_ref().is_some_and(|reoffer| reoffer.until <= now) {
            self.answer_reoffer(now, id, 500, None, out);
        }
        if let Some(Leg { stage: Stage::Dialling { give_up, cancel, .. }, .. }) = self.legs.get_mut(&id)
            && *give_up <= now
        {
            // After the CANCEL an answer is owed for a while; then the far end is given up.
            if *cancel == Cancel::Sent {
                self.end(now, id, 408, "no answer", false, out);
            } else {
                *give_up = now + GIVE_UP;
                self.cancel(now, id, Some("no answer".to_owned()), out);
            }
        }
        self.schedule_leg(id);
    }

    /// 13.3.1.1: a caller who waits long is told again that it rings.
    fn remind(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Incoming { transaction, remind }, .. }) = self.legs.get_mut(&id) else { return };
        if remind.is_none_or(|at| at > now) {
            return;
        }
        *remind = Some(now + commands::REMIND_EVERY);
        if let Some(serving) = self.servers.get(transaction)
            && let Again::Send(bytes) = serving.machine.repeated()
        {
            out.push(Effect::Send { peer: serving.peer, bytes });
        }
    }

    // Answers.

    /// Without a transaction: for what cannot have one.
    fn refuse_statelessly(
        &self,
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
        let Some(via) = request.top_via() else { return };
        // 8.2.7: the same request is answered with the same tag, though nothing is kept of it.
        let tag = self.chance.token_of(request.first(Name::Via).unwrap_or_default().as_ref());
        let mut writer = Writer::response_to(request, peer.remote, status, reason, Some(&tag));
        writer.header("Server", &self.settings.product);
        for (name, value) in headers {
            writer.header(name, value);
        }
        let to = back_to(peer, &via);
        if let Ok(bytes) = writer.empty() {
            out.push(Effect::Send { peer: to, bytes });
        }
    }

    /// A final answer of a transaction, with nothing but what its status demands.
    fn refuse(
        &mut self,
        now: Time,
        key: &str,
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
    fn refuse_as(
        &mut self,
        now: Time,
        key: &str,
        tag: &str,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
        out: &mut Vec<Effect>,
    ) {
        let Some(serving) = self.servers.get(key) else { return };
        let mut writer = self.answer_writer(serving, status, reason, Some(tag));
        for (name, value) in headers {
            writer.header(name, value);
        }
        if let Ok(bytes) = writer.empty() {
            self.put_answer(now, key, status, bytes, out);
        }
    }

    fn answer_writer(&self, serving: &Serving, status: u16, reason: &str, tag: Option<&str>) -> Writer {
        let mut writer = Writer::response_to(&serving.request, serving.peer.remote, status, reason, tag);
        writer.header("Server", &self.settings.product);
        writer
    }

    fn put_answer(&mut self, now: Time, key: &str, status: u16, bytes: Bytes, out: &mut Vec<Effect>) {
        let Some(serving) = self.servers.get_mut(key) else { return };
        serving.machine.answer(now, status, &bytes);
        out.push(Effect::Send { peer: serving.peer, bytes });
        self.schedule_server(key);
    }

    // Legs.

    fn tell(&self, leg: LegId, event: Event, out: &mut Vec<Effect>) {
        out.push(Effect::Event { leg, event });
    }

    /// The leg is no more. Its transactions live on for as long as they must.
    fn end(&mut self, now: Time, id: LegId, status: u16, reason: &str, remote: bool, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.remove(&id) else { return };
        if let Some(at) = leg.deadline {
            self.due.remove(&(at, Due::Leg(id)));
        }
        self.dialogs.remove(&(leg.dialog.call_id, leg.dialog.local_tag));
        // An INVITE that rings waits for as long as its user does; now nobody waits.
        if let Stage::Dialling { branch, .. } = leg.stage {
            if let Some(asking) = self.clients.get_mut(&branch) {
                asking.machine.abandon(now);
            }
            self.schedule_client(&branch);
        }
        self.tell(id, Event::Ended { status, reason: reason.to_owned(), remote }, out);
    }

    fn is_ours(&self, request: &Message) -> Option<LegId> {
        let key = (request.call_id()?, request.to()?.tag()?);
        let id = *self.dialogs.get(&key)?;
        let from_tag = request.from()?.tag().unwrap_or_default();
        (self.legs.get(&id)?.dialog.remote_tag == from_tag).then_some(id)
    }
}

/// What identifies an INVITE that came by two ways (8.2.2.2).
fn running_key(request: &Message) -> Option<(String, String, u32)> {
    if request.method() != Some(&Method::Invite) {
        return None;
    }
    Some((request.call_id()?, request.from()?.tag().unwrap_or_default(), request.cseq()?.0))
}

fn carriage(peer: &Peer) -> Carriage {
    match peer.transport {
        Transport::Udp => Carriage::Unreliable,
        Transport::Tcp => Carriage::Reliable,
    }
}

/// Where answers to a request go (18.2.2, RFC 3581).
fn back_to(peer: Peer, via: &crate::Via) -> Peer {
    match peer.transport {
        Transport::Udp => Peer { remote: via.return_address(peer.remote), ..peer },
        Transport::Tcp => peer,
    }
}

/// What is understood here, for Allow.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

fn methods() -> (&'static str, &'static str) {
    (Name::Allow.long(), ALLOW)
}

impl AcceptedKind {
    const fn is_again(self) -> bool {
        matches!(self, Self::Again | Self::AgainOffering)
    }
}

#[cfg(test)]
mod tests;
