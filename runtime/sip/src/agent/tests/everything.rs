//! Bytes read as programs: whatever both users, the network and strangers do, each command is
//! answered once, each leg ends once, and nothing is left.

use std::time::Duration;

use proptest::prelude::*;

use super::net::{CALLEE, CALLER, LEG, Net, Weather};
use crate::agent::leg::{Leg, Stage};
use crate::agent::{Command, Credentials, Event, LegId, ReferTo, Settings, Transport};
use crate::message::{Limits, Message, Method};
use crate::write::Writer;

/// A program's own bytes, which never end.
struct Program<'b> {
    bytes: std::slice::Iter<'b, u8>,
    dialled: LegId,
}

impl Program<'_> {
    fn next(&mut self) -> Option<u8> {
        self.bytes.next().copied()
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    fn body(&mut self) -> Vec<u8> {
        vec![b'v'; usize::from(self.byte() % 4) * 400 + 1]
    }

    fn maybe_body(&mut self) -> Option<Vec<u8>> {
        self.byte().is_multiple_of(2).then(|| self.body())
    }

    fn status(&mut self) -> u16 {
        [100, 180, 183, 200, 202, 202, 202, 302, 401, 422, 481, 491, 503, 603, 0, 999][usize::from(self.byte() % 16)]
    }

    fn leg(&mut self, net: &Net, who: usize) -> LegId {
        let legs: Vec<_> = net.agents[who].legs.keys().copied().collect();
        // Now and then one that is not there.
        let wanted = usize::from(self.byte());
        if wanted % 11 == 0 || legs.is_empty() { LEG + (wanted as u64) % 3 } else { legs[wanted % legs.len()] }
    }

    /// Mostly what the leg waits for; else anything.
    fn command(&mut self, net: &Net, who: usize, leg: LegId) -> Command {
        let bits = self.byte();
        let fitting: &[u8] = match net.agents[who].legs.get(&leg) {
            _ if bits % 4 == 3 => &[],
            Some(leg) if leg.reoffer.is_some() => &[6, 6, 6, 8],
            Some(Leg { stage: Stage::Incoming(_), .. }) => &[0, 1, 2, 3],
            Some(leg @ Leg { stage: Stage::Up, .. }) if leg.subscription.is_some() => &[11, 12, 12, 9],
            Some(Leg { stage: Stage::Up, .. }) => &[9, 9, 10, 13],
            _ => &[],
        };
        let which = match fitting {
            [] => self.byte() % 14,
            fitting => fitting[usize::from(bits / 4) % fitting.len()],
        };
        match which {
            0 => Command::Ring { status: 180, body: None },
            1 => Command::Ring { status: 183, body: self.maybe_body() },
            2 | 3 => Command::Answer { body: self.body(), headers: vec![] },
            4 => Command::Reject { status: self.status(), reason: String::new(), headers: vec![] },
            5 => Command::Hangup { reason: None },
            6 | 7 => Command::AnswerReoffer { body: self.body() },
            8 => Command::RefuseReoffer { status: self.status() },
            9 => Command::Reoffer { body: self.body() },
            10 => Command::Refer {
                to: match self.byte() % 3 {
                    0 => ReferTo::Address("sip:carol@192.0.2.2".to_owned()),
                    _ => ReferTo::Leg(self.leg(net, who)),
                },
                timeout: Duration::from_secs(u64::from(self.byte())),
            },
            11 if bits.is_multiple_of(2) => Command::AnswerRefer { status: 202 },
            11 => Command::AnswerRefer { status: self.status() },
            12 => Command::NotifyRefer { status: self.status() },
            _ => Command::Info { digit: '5', length_ms: 100 },
        }
    }

    fn dial(&mut self, net: &mut Net) {
        let mut dial = net.to_callee();
        let bits = self.byte();
        if bits & 1 != 0 {
            dial.to.insert(0, net.nowhere(9));
        }
        if bits & 2 != 0 {
            dial.credentials =
                Some(Credentials { realm: None, username: "us".to_owned(), password: "secret".to_owned() });
        }
        if bits & 4 != 0 {
            dial.body = vec![b'v'; 1_400];
        }
        if bits & 8 != 0
            && let Some(Event::Referred { to, .. }) =
                net.told[CALLER].iter().rev().find(|event| matches!(event, Event::Referred { .. }))
        {
            dial.target = to.clone();
        }
        dial.timeout = Duration::from_secs(5 + u64::from(bits));
        // Now and then one that is there already.
        let leg =
            net.agents[CALLER].legs.keys().next().copied().filter(|_| bits % 8 == 7).unwrap_or(LEG + self.dialled);
        self.dialled += 1;
        net.command_of(CALLER, leg, Command::Dial(Box::new(dial)));
    }

    /// Something that was on the wire once, as it was or with a byte changed, to either side.
    fn stray(&mut self, net: &mut Net) {
        let from = usize::from(self.byte() % 2);
        let (to, which, change) = (usize::from(self.byte() % 2), usize::from(self.byte()), self.byte());
        let sent = net.wire[from].len();
        if sent == 0 {
            return;
        }
        let (_, bytes) = &net.wire[from][sent - 1 - which % sent];
        let mut bytes = bytes.to_vec();
        if change % 4 != 0 {
            let at = (usize::from(self.byte()) << 2 | usize::from(change & 3)) % bytes.len();
            bytes[at] = change;
        }
        net.deliver(to, bytes.into());
    }

    /// Headers that mean something somewhere.
    fn headers(&mut self) -> Vec<(&'static str, String)> {
        let number = u32::from(self.byte() % 8);
        let mut headers = vec![("RAck", format!("{number} {} INVITE", self.byte() % 4))];
        let bits = self.byte();
        let all = [
            ("Require", "100rel".to_owned()),
            ("RSeq", number.to_string()),
            ("Session-Expires", format!("{};refresher=uac", 90 * number)),
            ("Min-SE", (1_000 * number).to_string()),
            ("Retry-After", number.to_string()),
            ("Allow", "INVITE, UPDATE".to_owned()),
            ("Event", format!("refer;id={number}")),
            ("Subscription-State", "terminated".to_owned()),
        ];
        headers.extend(all.into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, header)| header));
        headers.push(("Refer-To", "<sip:carol@192.0.2.3>".to_owned()));
        headers.push(("Supported", "timer, 100rel".to_owned()));
        headers.push(("WWW-Authenticate", format!("Digest realm=\"r\", nonce=\"{number}\", stale=true")));
        headers
    }

    /// An answer that nobody gave, to something that was asked.
    fn answer(&mut self, net: &mut Net, who: usize) {
        let asked = net.wire[who].iter().rev().filter(|(_, bytes)| !bytes.starts_with(b"SIP/2.0 "));
        let asked: Vec<_> = asked.take(8).map(|(_, bytes)| bytes.clone()).collect();
        if asked.is_empty() {
            return;
        }
        let bytes = asked[usize::from(self.byte()) % asked.len()].clone();
        let Ok(request) = Message::parse_datagram(bytes, &Limits::default()) else { return };
        let (status, tag) = (self.status().clamp(100, 699), format!("t{}", self.byte() % 4));
        let mut writer = Writer::response_to(&request, net.peer(who).local, status, "", Some(&tag));
        writer.header("Contact", "<sip:far@192.0.2.9:5070>");
        for (name, value) in self.headers() {
            writer.header(name, &value);
        }
        let bytes = match self.maybe_body() {
            Some(body) => writer.body("application/sdp", &body),
            None => writer.empty(),
        };
        // A far end may be called something that we would not write.
        if let Ok(bytes) = bytes {
            net.deliver(who, bytes);
        }
    }

    /// A request within a call, of a far end that is out of its mind.
    fn inside(&mut self, net: &mut Net, who: usize) {
        let id = self.leg(net, who);
        let Some(leg) = net.agents[who].legs.get(&id) else { return };
        let early = match &leg.stage {
            Stage::Dialling(dialling) => dialling.early.first().map(|early| early.far.clone()),
            _ => None,
        };
        let far = early.unwrap_or_else(|| leg.dialog.far.clone());
        let methods = [
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Update,
            Method::Prack,
            Method::Refer,
            Method::Notify,
            Method::Subscribe,
        ];
        let method = &methods[usize::from(self.byte()) % methods.len()];
        let cseq = far.cseq.unwrap_or_default() + u32::from(self.byte() % 4);
        let mut writer = Writer::request(method, "sip:us@192.0.2.2");
        let via =
            format!("SIP/2.0/UDP 192.0.2.{}:5060;branch=z9hG4bK{}", 2 - who, net.seed.wrapping_add(self.byte().into()));
        writer.header("Via", &via).header("From", &format!("<sip:far@x>;tag={}", far.tag));
        writer.header("To", &format!("<sip:us@y>;tag={}", leg.dialog.local_tag));
        writer.header("Call-ID", &leg.dialog.call_id).header("CSeq", &format!("{cseq} {method}"));
        for (name, value) in self.headers() {
            // None of these is one for a request.
            if !matches!(name, "Require" | "RSeq" | "Retry-After") {
                writer.header(name, &value);
            }
        }
        let bytes = match self.maybe_body() {
            Some(body) => writer.body("application/sdp", &body),
            None => writer.empty(),
        };
        // A far end may be called something that we would not write.
        if let Ok(bytes) = bytes {
            net.deliver(who, bytes);
        }
    }

    fn run(&mut self, net: &mut Net) {
        while let Some(act) = self.next() {
            let who = usize::from(self.byte() % 2);
            match act % 20 {
                16 | 17 => self.answer(net, who),
                18 | 19 => self.inside(net, who),
                0 => self.dial(net),
                1..8 => {
                    let leg = self.leg(net, who);
                    let command = self.command(net, who, leg);
                    net.command_of(who, leg, command);
                }
                8..11 => net.pass_ms(1 << (self.byte() % 9)),
                11 => net.pass_ms(1 << (self.byte() % 17)),
                12 => self.stray(net),
                13 => {
                    let peer = net.peer(who);
                    let connection = u64::from(self.byte() % 2);
                    net.with_agent(who, |agent, now, out| {
                        if connection == 0 {
                            agent.unreachable(now, &crate::Peer { connection: 0, ..peer }, out);
                        } else {
                            agent.disconnected(now, connection, out);
                        }
                    });
                }
                14 => {
                    let id = u64::from(self.byte());
                    let to = vec![net.nowhere(9), net.peer(who)];
                    net.with_agent(who, |agent, now, out| {
                        agent.request(now, id, to, Method::Options, "sip:x", &[], &[], b"", None, out);
                    });
                }
                _ => net.deliver(who, vec![act, self.byte()].into()),
            }
        }
    }
}

/// Everybody hangs up, until nobody is left.
fn wind_down(net: &mut Net) {
    net.swallow = [None, None];
    for _ in 0..4 {
        net.pass_ms(1_000);
        for who in [CALLER, CALLEE] {
            let legs: Vec<_> = net.agents[who].legs.keys().copied().collect();
            for leg in legs {
                net.command_of(who, leg, Command::Hangup { reason: None });
            }
        }
        net.pass(Duration::from_secs(400));
    }
}

fn settings(brief: bool) -> Settings {
    let session = Duration::from_secs(if brief { 90 } else { 1_800 });
    Settings { session, ..Settings::default() }
}

/// Everything that a call may be, one after the other, though a fifth of all is lost, a tenth comes
/// twice, and all of it out of order.
#[test]
fn a_whole_life_in_bad_weather() {
    let mut whole = 0;
    for seed in 0..60 {
        let mut net = Net::new(Transport::Udp, Weather { loss: 20, twice: 10, jitter_ms: 150 }, seed);
        net.dial();
        net.pass_ms(8_000);
        net.command_if_alive(CALLEE, Command::Ring { status: 183, body: Some(b"early".to_vec()) });
        net.pass_ms(5_000);
        net.command_if_alive(CALLEE, Command::Answer { body: b"answer".to_vec(), headers: vec![] });
        net.pass_ms(20_000);
        for who in [CALLER, CALLEE] {
            net.command_if_alive(who, Command::Reoffer { body: b"hold".to_vec() });
            net.pass_ms(5_000);
            net.command_if_alive(1 - who, Command::AnswerReoffer { body: b"held".to_vec() });
            net.pass_ms(25_000);
        }
        let to = ReferTo::Address("sip:carol@192.0.2.3".to_owned());
        net.command_if_alive(CALLEE, Command::Refer { to, timeout: Duration::from_secs(100) });
        net.pass_ms(4_500);
        net.command_if_alive(CALLER, Command::AnswerRefer { status: 202 });
        net.pass_ms(20_000);
        net.command_if_alive(CALLER, Command::NotifyRefer { status: 200 });
        net.pass_ms(30_000);
        let is_told = |who: usize, wanted: &Event| net.told[who].contains(wanted);
        let reanswered = Event::Reanswered { body: Some(b"held".to_vec()) };
        let progress = Event::ReferProgress { status: 200, is_final: true };
        whole += u32::from(is_told(CALLER, &reanswered) && is_told(CALLEE, &reanswered) && is_told(CALLEE, &progress));
        net.command_if_alive(CALLER, Command::Hangup { reason: None });
        wind_down(&mut net);
        assert!(net.is_empty(), "{seed}: {:?}", net.agents.each_ref().map(|agent| agent.counts()));
        for ask in 1..=net.ask {
            assert_eq!(net.replies.get(&ask), Some(&1), "{seed}: the command {ask} of {}", net.ask);
        }
    }
    // A user that decides within five seconds, of a transfer that arrives after them, comes too late.
    assert!(whole >= 40, "{whole} of 60 went as they should");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(512), ..ProptestConfig::default() })]

    #[test]
    fn each_command_is_answered_once_and_nothing_is_left(
        seed: u64,
        is_stream: bool,
        brief: bool,
        loss in 0u64..25,
        twice in 0u64..30,
        jitter_ms in 0u64..120,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let transport = if is_stream { Transport::Tls } else { Transport::Udp };
        let mut net = Net::with(settings(brief), transport, Weather { loss, twice, jitter_ms }, seed);
        net.doors.next = Some(1_000);
        let mut program = Program { bytes: bytes.iter(), dialled: 0 };
        program.dial(&mut net);
        net.pass_ms(200);
        program.run(&mut net);
        wind_down(&mut net);
        let legs = net.agents.each_ref().map(|agent| agent.legs.len());
        prop_assert!(net.is_empty(), "left behind: {legs:?} {:?}", net.agents.each_ref().map(|agent| agent.counts()));
        for ask in 1..=net.ask {
            prop_assert_eq!(net.replies.get(&ask), Some(&1), "the command {} of {}", ask, net.ask);
        }
    }
}
