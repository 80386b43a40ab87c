//! A user agent (RFC 3261 8, 12-15): it answers calls, and places them.
//!
//! The driver tells it of messages ([`Agent::receive`]), of what its user wants
//! ([`Agent::command`]), of requests of its own ([`Agent::request`]), and of the time
//! ([`Agent::tick`]); it gives [`Effect`]s. Here is the meeting place; each flow has a file.

mod asking;
mod body;
mod border;
mod challenge;
mod chance;
mod commands;
mod dial;
mod dialog;
mod extensions;
mod fork;
mod incoming;
mod leg;
mod outside;
mod overload;
mod prack;
mod reason;
mod refer;
mod referring;
mod reoffer;
mod reoffered;
mod replaces;
mod requests;
mod responses;
mod rewrite;
mod serving;
mod session_timer;

pub use border::{
    Answered, Command, Credentials, Decision, Dial, Door, Effect, Event, Invite, LegId, No, Peer, ReferTo, Refusal,
    RequestId, Settings, Transport,
};
pub use chance::Chance;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::header::Name;
use crate::message::{Broken, Message};
use crate::transaction::{Carriage, Time};
use asking::Asking;
use chance::{Branch, Key};
use leg::{Leg, Stage};
use outside::Own;
use overload::Overload;
use serving::Serving;

#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    chance: Chance,
    legs: BTreeMap<LegId, Leg>,
    /// Call-ID and our tag, to the leg.
    dialogs: HashMap<Key, LegId>,
    servers: HashMap<Key, Serving>,
    clients: HashMap<Branch, Asking>,
    /// Requests of the driver's own.
    own: BTreeMap<RequestId, Own>,
    /// Running INVITEs by Call-ID, From tag and CSeq: the same one by another way is merged (482).
    running: HashMap<Key, Key>,
    due: BTreeSet<(Time, Due)>,
    /// Connections, and the legs that are reached over them.
    reached: BTreeSet<(u64, LegId)>,
    /// Connections, and what is asked over them; 0 is of those that named none.
    asked_over: BTreeSet<(u64, Branch)>,
    /// Places that refused a stream, and until when none is tried.
    datagrams_only: BTreeMap<SocketAddr, Time>,
    overload: Option<Overload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Server(Key),
    Client(Branch),
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
            own: BTreeMap::new(),
            running: HashMap::new(),
            due: BTreeSet::new(),
            reached: BTreeSet::new(),
            asked_over: BTreeSet::new(),
            datagrams_only: BTreeMap::new(),
            overload: None,
        }
    }

    /// A message came.
    pub fn receive(
        &mut self,
        now: Time,
        peer: Peer,
        message: Result<Message, Broken>,
        door: &mut dyn Door,
        out: &mut Vec<Effect>,
    ) {
        let message = match message {
            Ok(message) => message,
            Err(Broken { error, head: Some(head) }) => {
                self.refuse_statelessly(now, peer, &head, 400, &error.to_string(), &[], out);
                return;
            }
            Err(Broken { head: None, .. }) => return,
        };
        if let Err(invalid) = message.validate() {
            if let Some(status) = invalid.status {
                self.refuse_statelessly(now, peer, &message, status, &invalid.reason, &[], out);
            }
            return;
        }
        if message.is_request() {
            self.requested(now, peer, message, door, out);
        } else {
            self.response(now, peer, &message, out);
        }
    }

    /// A connection is gone: what was asked over it will not be answered. Legs that were reached
    /// over it are reached by a new one.
    pub fn disconnected(&mut self, now: Time, connection: u64, out: &mut Vec<Effect>) {
        if connection == 0 {
            return;
        }
        let legs: Vec<_> = self.reached.range((connection, 0)..=(connection, LegId::MAX)).map(|(_, id)| *id).collect();
        for id in legs {
            if let Some(leg) = self.legs.get_mut(&id) {
                leg.dialog.peer.connection = 0;
            }
            self.schedule_leg(id);
        }
        let lost = self.asked_over(connection).collect();
        self.fail_clients(now, lost, out);
    }

    /// No connection can be made to this peer, which named none in particular; or, over UDP, no
    /// route leads there.
    pub fn unreachable(&mut self, now: Time, to: &Peer, out: &mut Vec<Effect>) {
        let is_there = |branch: &Branch| {
            let peer = self.clients.get(branch).map(|asking| asking.peer);
            peer.is_some_and(|peer| peer.transport == to.transport && peer.remote == to.remote)
        };
        let lost = match to.transport {
            Transport::Udp => self.asked_by_datagrams().into_iter().filter(is_there).collect(),
            _ => self.asked_over(to.connection).filter(is_there).collect(),
        };
        self.fail_clients(now, lost, out);
    }

    /// Looked for among all: it is rare that there is no route, and an index would cost each
    /// request its part.
    #[expect(clippy::disallowed_methods, reason = "sorted before anything comes of it")]
    fn asked_by_datagrams(&self) -> BTreeSet<Branch> {
        let is_datagram = |(_, asking): &(&Branch, &Asking)| asking.peer.transport == Transport::Udp;
        self.clients.iter().filter(is_datagram).map(|(branch, _)| *branch).collect()
    }

    fn asked_over(&self, connection: u64) -> impl Iterator<Item = Branch> {
        let from = self.asked_over.range((connection, Branch::FIRST)..);
        from.take_while(move |(over, _)| *over == connection).map(|(_, branch)| *branch)
    }

    /// Whether a leg is reached over this connection.
    pub fn is_used(&self, connection: u64) -> bool {
        self.reached.range((connection, 0)..=(connection, LegId::MAX)).next().is_some()
    }

    /// Whether a request belongs to what stands here already: a transaction, or a leg.
    pub fn is_known(&self, message: &Message) -> bool {
        let Some(method) = message.method() else { return false };
        self.servers.contains_key(&self.transaction_key(message, method)) || self.is_ours(message).is_some()
    }

    /// How much of what clients send they shall keep to themselves, in percent, and for how long
    /// that holds. Told to those that understand it (RFC 7339). None: nothing is said.
    pub fn set_overload(&mut self, percent: Option<u32>, validity: std::time::Duration) {
        self.overload = percent.map(|percent| Overload::new(percent, validity));
    }

    /// The driver stops: every leg is told.
    pub fn close(&mut self, now: Time, out: &mut Vec<Effect>) {
        let legs: Vec<_> = self.legs.keys().copied().collect();
        for id in legs {
            self.answer_invite(now, id, 503, "", out);
            self.end(now, id, 503, "signalling stops", false, out);
        }
        self.close_own(out);
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
                Due::Server(key) => self.server_tick(now, key, out),
                Due::Client(branch) => self.client_tick(now, branch, out),
                Due::Leg(leg) => self.leg_tick(now, leg, out),
            }
        }
    }

    /// Legs, server transactions and client transactions that stand.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.legs.len(), self.servers.len(), self.clients.len())
    }

    // Legs.

    fn tell(&self, leg: LegId, event: Event, out: &mut Vec<Effect>) {
        out.push(Effect::Event { leg, event });
    }

    fn reply(&self, leg: LegId, ask: u32, result: Result<(), No>, out: &mut Vec<Effect>) {
        self.tell(leg, Event::Reply { ask, result }, out);
    }

    fn add_leg(&mut self, id: LegId, leg: Leg) {
        let key = self.dialog_key(leg.dialog.call_id.as_bytes(), leg.dialog.local_tag.as_bytes());
        self.dialogs.insert(key, id);
        self.legs.insert(id, leg);
        self.schedule_leg(id);
    }

    fn schedule_leg(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let connection = leg.dialog.peer.connection;
        if leg.reached != connection {
            self.reached.remove(&(leg.reached, id));
            leg.reached = connection;
            if connection != 0 {
                self.reached.insert((connection, id));
            }
        }
        let next = leg.next_deadline();
        if leg.deadline == next {
            return;
        }
        if let Some(at) = leg.deadline.take() {
            self.due.remove(&(at, Due::Leg(id)));
        }
        if let Some(at) = next {
            leg.deadline = Some(at);
            self.due.insert((at, Due::Leg(id)));
        }
    }

    fn leg_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.deadline = None;
        self.accepted_tick(now, id, out);
        self.incoming_tick(now, id, out);
        self.dialling_tick(now, id, out);
        self.reoffered_tick(now, id, out);
        self.reoffer_tick(now, id, out);
        self.refer_tick(now, id, out);
        self.referring_tick(now, id, out);
        self.session_timer_tick(now, id, out);
        self.schedule_leg(id);
    }

    /// The leg is no more. Its transactions live on for as long as they must.
    fn end(&mut self, now: Time, id: LegId, status: u16, reason: &str, remote: bool, out: &mut Vec<Effect>) {
        self.drop_asks(id, out);
        // 15.1.2: what still waits for our user is answered 487.
        self.answer_reoffer(now, id, 487, None, out);
        self.answer_referral(now, id, 487, out);
        let Some(leg) = self.legs.remove(&id) else { return };
        self.reached.remove(&(leg.reached, id));
        if let Some(at) = leg.deadline {
            self.due.remove(&(at, Due::Leg(id)));
        }
        let key = self.dialog_key(leg.dialog.call_id.as_bytes(), leg.dialog.local_tag.as_bytes());
        self.dialogs.remove(&key);
        // An INVITE that rings waits for as long as its user does; now nobody waits.
        if let Stage::Dialling(dialling) = &leg.stage {
            self.abandon(now, dialling.branch);
        }
        if let Some(branch) = leg.ours.as_ref().and_then(reoffer::Ours::branch) {
            self.abandon(now, branch);
        }
        self.tell(id, Event::Ended { status, reason: reason.to_owned(), remote }, out);
    }

    /// What the user still waits for will not be answered.
    fn drop_asks(&mut self, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let reoffer = leg.ours.as_mut().and_then(reoffer::Ours::take_ask);
        let referring = leg.referring.as_mut().and_then(referring::Referring::take_ask);
        for ask in [reoffer, referring].into_iter().flatten() {
            self.reply(id, ask, Err(No::Gone), out);
        }
    }

    fn dialog_key(&self, call_id: &[u8], local_tag: &[u8]) -> Key {
        self.chance.key(&[call_id, local_tag])
    }

    /// The leg that a request within a dialog belongs to.
    fn is_ours(&self, request: &Message) -> Option<LegId> {
        let call_id = request.first(Name::CallId)?;
        let to_tag = request.tag(Name::To)?;
        let from_tag = request.tag(Name::From).unwrap_or_default();
        self.leg_of(&call_id, &to_tag, &from_tag)
    }

    fn leg_of(&self, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> Option<LegId> {
        let id = *self.dialogs.get(&self.dialog_key(call_id, local_tag))?;
        let leg = self.legs.get(&id)?;
        let is_early = match &leg.stage {
            Stage::Dialling(dialling) => dialling.early(remote_tag).is_some(),
            _ => false,
        };
        (is_early || leg.dialog.far.tag.as_bytes() == remote_tag).then_some(id)
    }
}

fn carriage(peer: &Peer) -> Carriage {
    match peer.transport {
        Transport::Udp => Carriage::Unreliable,
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => Carriage::Reliable,
    }
}

#[cfg(test)]
mod tests;
