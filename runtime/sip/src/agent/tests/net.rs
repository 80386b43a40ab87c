//! A caller, a callee, and a seeded bad network. Messages pass as bytes, through the parser.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::agent::{
    Agent, Answered, Chance, Command, Decision, Dial, Door, Effect, Event, Invite, LegId, No, Peer, RequestId,
    Settings, Transport,
};
use crate::message::{Limits, Message};
use crate::transaction::Time;

pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;
pub(super) const LEG: LegId = 7;

/// What each side's driver decides, and what it was asked.
pub(super) struct Doors {
    pub(super) offers: Vec<Invite>,
    pub(super) decision: Decision,
    pub(super) registrar: Answered,
    pub(super) registers: usize,
    /// What the next leg is called, where each is to be another.
    pub(super) next: Option<LegId>,
}

impl Door for Doors {
    fn invite(&mut self, _now: Time, invite: &Invite) -> Decision {
        self.offers.push(invite.clone());
        if let Some(next) = &mut self.next {
            *next += 1;
            return Ok(*next - 1);
        }
        self.decision.clone()
    }

    fn register(&mut self, _now: Time, _peer: &Peer, _request: &Message) -> Answered {
        self.registers += 1;
        self.registrar.clone()
    }
}

pub(super) struct Net {
    pub(super) agents: [Agent; 2],
    pub(super) now: Duration,
    flight: BTreeMap<(Duration, u64), (usize, Bytes)>,
    serial: u64,
    pub(super) seed: u64,
    pub(super) weather: Weather,
    /// What each agent's user was told of its first leg.
    pub(super) told: [Vec<Event>; 2],
    /// And of others.
    pub(super) others: [BTreeMap<LegId, Vec<Event>>; 2],
    pub(super) responses: [Vec<(RequestId, Result<Message, u16>)>; 2],
    /// First lines.
    pub(super) sent: [Vec<String>; 2],
    /// Whole messages, and where they went.
    pub(super) wire: [Vec<(Peer, Bytes)>; 2],
    pub(super) doors: Doors,
    /// What does not arrive: messages that begin so, by their sender.
    pub(super) swallow: [Option<&'static str>; 2],
    /// The caller talks with a phone by hand: what it sends reaches no agent.
    pub(super) is_alone: bool,
    pub(super) ask: u32,
    /// How often each command was answered.
    pub(super) replies: BTreeMap<u32, usize>,
    transport: Transport,
}

/// In percent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) loss: u64,
    pub(super) twice: u64,
    pub(super) jitter_ms: u64,
}

impl Net {
    pub(super) fn new(transport: Transport, weather: Weather, seed: u64) -> Self {
        Self::with(Settings::default(), transport, weather, seed)
    }

    pub(super) fn with(settings: Settings, transport: Transport, weather: Weather, seed: u64) -> Self {
        let agent = |seed: u8| Agent::new(settings.clone(), Chance::new([seed; 16]));
        Self {
            agents: [agent(1), agent(2)],
            now: Duration::from_secs(1),
            flight: BTreeMap::new(),
            serial: 0,
            seed,
            weather,
            told: [Vec::new(), Vec::new()],
            sent: [Vec::new(), Vec::new()],
            others: [BTreeMap::new(), BTreeMap::new()],
            responses: [Vec::new(), Vec::new()],
            wire: [Vec::new(), Vec::new()],
            doors: Doors {
                offers: Vec::new(),
                decision: Ok(LEG),
                registrar: Answered { status: 403, reason: String::new(), headers: vec![] },
                registers: 0,
                next: None,
            },
            swallow: [None, None],
            is_alone: false,
            ask: 0,
            replies: BTreeMap::new(),
            transport,
        }
    }

    pub(super) fn calm() -> Self {
        Self::new(Transport::Udp, Weather::default(), 1)
    }

    /// A place where nobody is.
    pub(super) fn nowhere(&self, last: u8) -> Peer {
        Peer { remote: format!("192.0.2.{last}:5060").parse().unwrap(), ..self.peer(CALLER) }
    }

    pub(super) fn peer(&self, of: usize) -> Peer {
        let address = |who: usize| format!("192.0.2.{}:5060", who + 1).parse().unwrap();
        Peer { transport: self.transport, local: address(of), remote: address(1 - of), connection: 1 }
    }

    pub(super) fn dial(&mut self) {
        let dial = self.to_callee();
        self.command(CALLER, Command::Dial(Box::new(dial)));
    }

    pub(super) fn to_callee(&self) -> Dial {
        Dial {
            to: vec![self.peer(CALLER)],
            target: "sip:bob@192.0.2.2".to_owned(),
            caller: "\"Alice\" <sip:alice@192.0.2.1>".to_owned(),
            routes: vec![],
            credentials: None,
            body: b"offer".to_vec(),
            headers: vec![("X-Trace".to_owned(), "1".to_owned())],
            timeout: Duration::from_secs(60),
        }
    }

    pub(super) fn answer(&mut self) {
        self.command(CALLEE, Command::Answer { body: b"answer".to_vec(), headers: vec![] });
    }

    pub(super) fn hang_up(&mut self, who: usize) {
        self.command(who, Command::Hangup { reason: Some("enough".to_owned()) });
    }

    pub(super) fn command(&mut self, who: usize, command: Command) {
        self.command_of(who, LEG, command);
    }

    pub(super) fn command_of(&mut self, who: usize, leg: LegId, command: Command) {
        self.ask += 1;
        let mut out = Vec::new();
        self.agents[who].command(self.now, leg, self.ask, command, &mut out);
        self.carry(who, out);
    }

    /// Something that the driver does by itself.
    pub(super) fn with_agent(&mut self, who: usize, does: impl FnOnce(&mut Agent, Duration, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        does(&mut self.agents[who], self.now, &mut out);
        self.carry(who, out);
    }

    /// A leg that was never offered, or is over, gets no commands from its user.
    pub(super) fn command_if_alive(&mut self, who: usize, command: Command) {
        if !self.has_ended(who) && (who == CALLER || !self.doors.offers.is_empty()) {
            self.command(who, command);
        }
    }

    /// Bytes from the other side, as they are.
    pub(super) fn deliver(&mut self, to: usize, bytes: Bytes) {
        let mut out = Vec::new();
        let peer = self.peer(to);
        let message = Message::parse_datagram(bytes, &Limits::default());
        self.agents[to].receive(self.now, peer, message, &mut self.doors, &mut out);
        self.carry(to, out);
    }

    pub(super) fn deliver_text(&mut self, to: usize, text: &str) {
        self.deliver(to, Bytes::copy_from_slice(text.replace('\n', "\r\n").as_bytes()));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200_000 {
            let flight = self.flight.first_key_value().map(|((at, _), _)| *at);
            let ticks = self.agents.iter().filter_map(Agent::next_deadline).min();
            let Some(at) = [flight, ticks].into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            if flight == Some(at) {
                let (_, (to, bytes)) = self.flight.pop_first().unwrap();
                self.deliver(to, bytes);
                continue;
            }
            for who in [CALLER, CALLEE] {
                let mut out = Vec::new();
                self.agents[who].tick(self.now, &mut out);
                self.carry(who, out);
            }
        }
        panic!("the agents do not come to rest");
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    fn carry(&mut self, who: usize, out: Vec<Effect>) {
        for effect in out {
            // Whoever asks for something of a leg that is gone is told just that.
            let mut is_late = false;
            if let Effect::Event { event: Event::Reply { ask, result }, .. } = &effect {
                *self.replies.entry(*ask).or_default() += 1;
                is_late = *result == Err(No::Gone);
            }
            match effect {
                Effect::Response { request, result } => self.responses[who].push((request, result)),
                Effect::Event { leg, event } if leg != LEG => {
                    let told = self.others[who].entry(leg).or_default();
                    let has_ended = told.iter().any(|event| matches!(event, Event::Ended { .. }));
                    assert!(is_late || !has_ended, "after the end: {event:?}");
                    told.push(event);
                }
                Effect::Event { event, .. } => {
                    assert!(is_late || !self.has_ended(who), "after the end: {event:?}");
                    self.told[who].push(event);
                }
                Effect::Send { peer, bytes } => {
                    let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
                    let is_swallowed = self.swallow[who].is_some_and(|start| line.starts_with(start));
                    self.sent[who].push(line);
                    self.wire[who].push((peer, bytes.clone()));
                    if is_swallowed || self.is_alone || peer.remote.ip() != self.peer(who).remote.ip() {
                        continue;
                    }
                    let weather = self.weather;
                    if self.transport == Transport::Udp && self.chance() % 100 < weather.loss {
                        continue;
                    }
                    let copies = 1 + u64::from(self.chance() % 100 < weather.twice);
                    for _ in 0..copies {
                        let delay = 1 + self.chance() % (weather.jitter_ms + 1);
                        self.serial += 1;
                        // A stream keeps its order.
                        let delay = if self.transport == Transport::Udp { delay } else { 1 };
                        self.flight
                            .insert((self.now + Duration::from_millis(delay), self.serial), (1 - who, bytes.clone()));
                    }
                }
            }
        }
    }

    fn chance(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(super) fn has_ended(&self, who: usize) -> bool {
        self.told[who].iter().any(|event| matches!(event, Event::Ended { .. }))
    }

    pub(super) fn end(&self, who: usize) -> (u16, bool) {
        match self.told[who].iter().find(|event| matches!(event, Event::Ended { .. })) {
            Some(Event::Ended { status, remote, .. }) => (*status, *remote),
            other => panic!("no end: {other:?}"),
        }
    }

    pub(super) fn is_told(&self, who: usize, event: &Event) -> bool {
        self.told[who].contains(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.agents.iter().all(|agent| {
            let tables = [agent.dialogs.len(), agent.running.len(), agent.own.len()];
            let indexes = [agent.reached.len(), agent.asked_over.len()];
            agent.counts() == (0, 0, 0) && tables == [0; 3] && indexes == [0; 2] && agent.next_deadline().is_none()
        })
    }

    /// The newest message that begins so.
    pub(super) fn last(&self, who: usize, start: &str) -> Message {
        let newest = self.wire[who].iter().rev().find(|(_, bytes)| bytes.starts_with(start.as_bytes()));
        let (_, bytes) = newest.unwrap_or_else(|| panic!("no {start} in {:?}", self.sent[who]));
        Message::parse_datagram(bytes.clone(), &Limits::default()).unwrap()
    }

    /// The newest message that begins so, as text.
    pub(super) fn text(&self, who: usize, start: &str) -> String {
        format!("{:?}", self.last(who, start))
    }

    /// The answer to the last command, which must be the last but for what came of it.
    pub(super) fn last_reply(&self, who: usize) -> &Result<(), crate::agent::No> {
        let replies = self.told[who].iter().rev();
        replies
            .filter_map(|event| if let Event::Reply { result, .. } = event { Some(result) } else { None })
            .next()
            .unwrap()
    }

    pub(super) fn bodies(&self, who: usize) -> Vec<(&'static str, String)> {
        let text = |body: &Vec<u8>| String::from_utf8_lossy(body).into_owned();
        let bodies = self.told[who].iter().filter_map(|event| match event {
            Event::Ringing { body: Some(body), .. } => Some(("ringing", text(body))),
            Event::Answered { body: Some(body), .. } => Some(("answered", text(body))),
            Event::Confirmed { body: Some(body) } => Some(("confirmed", text(body))),
            Event::Reoffered { body: Some(body) } => Some(("reoffered", text(body))),
            Event::Reanswered { body: Some(body) } => Some(("reanswered", text(body))),
            Event::Reconfirmed { body } => Some(("reconfirmed", text(body))),
            _ => None,
        });
        bodies.collect()
    }

    pub(super) fn sent(&self, who: usize, start: &str) -> usize {
        self.sent[who].iter().filter(|line| line.starts_with(start)).count()
    }
}
