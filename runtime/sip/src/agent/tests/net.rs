//! A caller, a callee, and a seeded bad network. Messages pass as bytes, through the parser.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::agent::{Agent, Chance, Command, Decision, Effect, Event, Invite, LegId, Peer, Settings, Transport};
use crate::message::{Limits, Message};

pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;
pub(super) const LEG: LegId = 7;

pub(super) struct Net {
    pub(super) agents: [Agent; 2],
    pub(super) now: Duration,
    flight: BTreeMap<(Duration, u64), (usize, Bytes)>,
    serial: u64,
    pub(super) seed: u64,
    pub(super) weather: Weather,
    /// What each agent's user was told.
    pub(super) told: [Vec<Event>; 2],
    pub(super) sent: [Vec<String>; 2],
    pub(super) offers: Vec<Invite>,
    pub(super) decision: Decision,
    ask: u32,
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
        let agent = |seed: u8| Agent::new(Settings::default(), Chance::new([seed; 16]));
        Self {
            agents: [agent(1), agent(2)],
            now: Duration::from_secs(1),
            flight: BTreeMap::new(),
            serial: 0,
            seed,
            weather,
            told: [Vec::new(), Vec::new()],
            sent: [Vec::new(), Vec::new()],
            offers: Vec::new(),
            decision: Ok(LEG),
            ask: 0,
            transport,
        }
    }

    pub(super) fn calm() -> Self {
        Self::new(Transport::Udp, Weather::default(), 1)
    }

    pub(super) fn peer(&self, of: usize) -> Peer {
        let address = |who: usize| format!("192.0.2.{}:5060", who + 1).parse().unwrap();
        Peer { transport: self.transport, local: address(of), remote: address(1 - of), connection: 1 }
    }

    pub(super) fn dial(&mut self) {
        let to = self.peer(CALLER);
        let command = Command::Dial {
            to,
            target: "sip:bob@192.0.2.2".to_owned(),
            caller: "sip:alice@192.0.2.1".to_owned(),
            body: b"offer".to_vec(),
            headers: vec![("X-Trace".to_owned(), "1".to_owned())],
            timeout: Duration::from_secs(60),
        };
        self.command(CALLER, command);
    }

    pub(super) fn answer(&mut self) {
        self.command(CALLEE, Command::Answer { body: b"answer".to_vec(), headers: vec![] });
    }

    pub(super) fn hang_up(&mut self, who: usize) {
        self.command(who, Command::Hangup { reason: Some("enough".to_owned()) });
    }

    pub(super) fn command(&mut self, who: usize, command: Command) {
        self.ask += 1;
        let mut out = Vec::new();
        self.agents[who].command(self.now, LEG, self.ask, command, &mut out);
        self.carry(who, out);
    }

    /// A leg that was never offered, or is over, gets no commands from its user.
    pub(super) fn command_if_alive(&mut self, who: usize, command: Command) {
        if !self.has_ended(who) && (who == CALLER || !self.offers.is_empty()) {
            self.command(who, command);
        }
    }

    /// Bytes from the other side, as they are.
    pub(super) fn deliver(&mut self, to: usize, bytes: Bytes) {
        let mut out = Vec::new();
        let peer = self.peer(to);
        let message = Message::parse_datagram(bytes, &Limits::default());
        let (offers, decision) = (&mut self.offers, &self.decision);
        let mut admit = |invite: &Invite| {
            offers.push(invite.clone());
            decision.clone()
        };
        self.agents[to].receive(self.now, peer, message, &mut admit, &mut out);
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
            match effect {
                Effect::Event { leg, event } => {
                    assert_eq!(leg, LEG);
                    assert!(!self.has_ended(who), "after the end: {event:?}");
                    self.told[who].push(event);
                }
                Effect::Send { bytes, .. } => {
                    let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
                    self.sent[who].push(line);
                    let weather = self.weather;
                    if self.transport == Transport::Udp && self.chance() % 100 < weather.loss {
                        continue;
                    }
                    let copies = 1 + u64::from(self.chance() % 100 < weather.twice);
                    for _ in 0..copies {
                        let delay = 1 + self.chance() % (weather.jitter_ms + 1);
                        self.serial += 1;
                        // A stream keeps its order.
                        let delay = if self.transport == Transport::Tcp { 1 } else { delay };
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
        match self.told[who].last() {
            Some(Event::Ended { status, remote, .. }) => (*status, *remote),
            other => panic!("no end: {other:?}"),
        }
    }

    pub(super) fn is_told(&self, who: usize, event: &Event) -> bool {
        self.told[who].contains(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.agents.iter().all(|agent| agent.counts() == (0, 0, 0) && agent.next_deadline().is_none())
    }

    pub(super) fn sent(&self, who: usize, start: &str) -> usize {
        self.sent[who].iter().filter(|line| line.starts_with(start)).count()
    }
}
