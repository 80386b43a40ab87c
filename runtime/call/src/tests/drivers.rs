//! Far ends and media. A far end behaves as its address says: `sip:busy@..` is busy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_model::*;

use super::world::{Due, OFFER, World, header};

#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    pub(super) refuse_open: bool,
    /// Nothing is heard of commands to any leg.
    pub(super) deaf: bool,
    pub(super) no_voice: bool,
    pub(super) refuse_bridge: bool,
    /// What the ACK of our 200 carries.
    pub(super) late_answer: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialog {
    Dialled,
    Standing,
    Ended,
}

#[derive(Debug)]
pub(super) enum Port {
    Open {
        frames: Frames,
        plays: BTreeMap<StepId, Instant>,
        recordings: BTreeMap<StepId, Instant>,
        with: Option<LegKey>,
    },
    Refused,
    Closed {
        frames: Frames,
    },
}

impl Port {
    pub(super) fn pass(&mut self, time: Duration) {
        if let Self::Open { frames, .. } = self {
            frames.sent += time.as_millis() as u64 / 20;
        }
    }
}

/// Where the world's targets are.
pub(super) fn resolve(targets: &[String]) -> Result<Vec<Vec<Way>>, StepError> {
    targets
        .iter()
        .map(|target| match target.as_str() {
            target if target.contains("evil") => {
                Err(StepError::Denied(format!("{target}: 127.0.0.1 is a loopback address")))
            }
            target => Ok(ways(target)),
        })
        .collect()
}

/// `a+b` is a user with two phones; `nobody` has none.
pub(super) fn ways(target: &str) -> Vec<Way> {
    if target.contains("nobody") {
        return Vec::new();
    }
    target.split('+').map(way).collect()
}

fn way(target: &str) -> Way {
    let target = if target.contains(':') { target.to_owned() } else { format!("sip:{target}@carrier.example") };
    Way {
        local: if target.contains("six") { "2001:db8::1" } else { "192.0.2.1" }.parse().unwrap(),
        target,
        caller: "<sip:100@192.0.2.1>".to_owned(),
        routes: vec![],
        headers: vec![],
        flow: None,
        credentials: None,
        egress: Arc::default(),
        media_networks: Arc::new([]),
        trunk: None,
    }
}

/// Without telephone-event.
fn plain() -> String {
    OFFER.replace("0 101", "0").replace("a=rtpmap:101 telephone-event/8000\r\n", "")
}

impl World {
    // Far ends.

    pub(super) fn far_end_leaves(&mut self, key: LegKey) {
        self.leg_ends(key, EndCause { status: 0, reason: String::new(), remote: true });
    }

    pub(super) fn leg_ends(&mut self, key: LegKey, cause: EndCause) {
        if self.dialogs.get(&key).is_some_and(|dialog| *dialog != Dialog::Ended) {
            self.dialogs.insert(key, Dialog::Ended);
            // Nothing comes of it after its end.
            self.forget_due(
                |due| matches!(due, Due::Leg(of, event) if *of == key && !matches!(event, LegEvent::Reply { .. })),
            );
            self.now_or_in_transit(Due::Leg(key, LegEvent::Ended(cause)));
        }
    }

    pub(super) fn far_end(&mut self, key: LegKey, event: LegEvent) {
        if self.dialogs.get(&key) == Some(&Dialog::Standing) {
            self.now_or_in_transit(Due::Leg(key, event));
        }
    }

    /// An INVITE with Replaces.
    pub(super) fn takes_place(&mut self, old: LegKey, mut offered: Offered) -> LegKey {
        let key = self.keys.next(old.lane());
        offered.replaces = Some(old);
        offered.caller = "sip:carol@192.0.2.7".to_owned();
        offered.peer = "192.0.2.7".parse().unwrap();
        self.dialogs.insert(key, Dialog::Standing);
        let owner = self.owner(old).expect("nobody has that leg");
        self.route(key, owner);
        self.now_or_in_transit(Due::Leg(key, LegEvent::Offered(Box::new(offered))));
        key
    }

    fn says(&mut self, ms: u64, key: LegKey, event: LegEvent) {
        self.later(ms, Due::Leg(key, event));
    }

    pub(super) fn leg_command(&mut self, key: LegKey, command: LegCommand) {
        if self.manners.deaf {
            return;
        }
        let ask = command.ask();
        if let LegCommand::Dial { way, body, .. } = command {
            assert!(!self.dialogs.contains_key(&key), "dialled twice");
            assert!(!body.is_empty());
            self.dial_far_end(key, ask, &way.target);
            return;
        }
        let dialog = self.dialogs.get(&key).copied().expect("a command to a leg that never was");
        if dialog == Dialog::Ended {
            self.says(1, key, LegEvent::Reply { ask, result: Err(Refused::Gone) });
            return;
        }
        let mut result = Ok(());
        match command {
            LegCommand::Answer { .. } => {
                let body = self.manners.late_answer.clone();
                self.says(2, key, LegEvent::Confirmed { body });
            }
            LegCommand::Hangup { .. } | LegCommand::Reject { .. } => {
                self.dialogs.insert(key, Dialog::Ended);
                self.forget_due(
                    |due| matches!(due, Due::Leg(of, event) if *of == key && !matches!(event, LegEvent::Reply { .. })),
                );
                let status = if dialog == Dialog::Dialled { 487 } else { 0 };
                let cause = EndCause { status, reason: "ours".to_owned(), remote: false };
                self.says(2, key, LegEvent::Ended(cause));
            }
            LegCommand::Reoffer { body, .. } => {
                let ours = String::from_utf8(body).unwrap();
                let theirs = match ours.lines().last() {
                    Some("a=sendonly") => "a=recvonly",
                    Some("a=inactive") => "a=inactive",
                    _ => "a=sendrecv",
                };
                let body = Some(format!("{OFFER}{theirs}\r\n").into_bytes());
                self.says(1, key, LegEvent::Reanswered { body });
            }
            LegCommand::Refer { to, .. } => {
                let to = format!("{to:?}");
                if to.contains("refuse") {
                    result = Err(Refused::Answered { status: 603, reason: "Decline".to_owned() });
                } else if !to.contains("never") {
                    self.says(20, key, LegEvent::ReferProgress { status: 100, is_final: false });
                    let status = if to.contains("busy") { 486 } else { 200 };
                    self.says(500, key, LegEvent::ReferProgress { status, is_final: true });
                }
            }
            _ => {}
        }
        self.says(1, key, LegEvent::Reply { ask, result });
    }

    fn dial_far_end(&mut self, key: LegKey, ask: u32, target: &str) {
        let is = |word: &str| target.contains(word);
        if is("unresolvable") {
            let result = Err(Refused::Unavailable("no such name".to_owned()));
            self.says(1, key, LegEvent::Reply { ask, result });
            return;
        }
        self.dialogs.insert(key, Dialog::Dialled);
        self.says(1, key, LegEvent::Reply { ask, result: Ok(()) });
        let peer = "192.0.2.20".parse().unwrap();
        let failed = |status: u16| EndCause { status, reason: target.to_owned(), remote: true };
        for (word, status, after) in [("busy", 486, 50), ("decline", 603, 60), ("gone", 404, 40), ("overload", 503, 30)]
        {
            if is(word) {
                self.says(after, key, LegEvent::Ended(failed(status)));
                return;
            }
        }
        let (status, body) = if is("early") { (183, Some(OFFER.as_bytes().to_vec())) } else { (180, None) };
        self.says(10, key, LegEvent::Ringing { status, body, headers: vec![], peer });
        if is("never") {
            return;
        }
        let after = if is("slow") { 3_000 } else { 100 };
        let body = match () {
            () if is("mute") => None,
            () if is("plain") => Some(plain().into_bytes()),
            () => Some(OFFER.as_bytes().to_vec()),
        };
        let headers = vec![header("X-Agent", "7"), header("Server", "phone")];
        self.says(after, key, LegEvent::Answered { body, headers, peer });
    }

    /// Called before an event of a dialog is delivered.
    pub(super) fn hears(&mut self, key: LegKey, event: &LegEvent) {
        match event {
            LegEvent::Answered { .. } => drop(self.dialogs.insert(key, Dialog::Standing)),
            LegEvent::Ended(_) => drop(self.dialogs.insert(key, Dialog::Ended)),
            _ => {}
        }
    }

    // Media.

    pub(super) fn press(&mut self, digit: char) {
        self.press_on(self.main_port(), digit);
    }

    fn main_port(&self) -> LegKey {
        super::world::LEG
    }

    pub(super) fn press_on(&mut self, key: LegKey, digit: char) {
        if matches!(self.ports.get(&key), Some(Port::Open { .. })) {
            self.now_or_in_transit(Due::Media(key, MediaEvent::DigitBegan { digit }));
            self.later(100, Due::Media(key, MediaEvent::DigitEnded { digit, length: 100 }));
            self.pass_ms(101);
        }
    }

    fn hear(&mut self, ms: u64, key: LegKey, event: MediaEvent) {
        self.later(ms, Due::Media(key, event));
    }

    pub(super) fn media_command(&mut self, key: LegKey, command: MediaCommand) {
        if let MediaCommand::Open(plan) = &command {
            assert!(!self.ports.contains_key(&key), "opened twice");
            self.open(key, plan);
            return;
        }
        let now = self.now.at;
        let refuse_bridge = self.manners.refuse_bridge;
        let no_voice = self.manners.no_voice;
        let port = self.ports.get_mut(&key).expect("a port that never was");
        let Port::Open { frames, plays, recordings, with } = port else {
            // That it never opened is being told already.
            assert!(matches!(port, Port::Refused), "{command:?} to a port that is closed");
            return;
        };
        match command {
            MediaCommand::Update(plan) => assert!(plan.remote.is_some() && !plan.local.is_unspecified()),
            MediaCommand::Play { step, sounds, repeat, .. } => {
                let old = std::mem::take(plays);
                let speaks = sounds.iter().any(|sound| matches!(sound, Sound::Speech(_)));
                if !(speaks && no_voice) {
                    plays.insert(step, now);
                }
                for (old, since) in old {
                    self.play_ends(key, old, since, PlayEnd::Replaced);
                }
                if speaks && no_voice {
                    let end = PlayEnd::Failed(MediaFault::NoVoice("flite is missing".to_owned()));
                    self.hear(1, key, MediaEvent::Played { step, played: 0, end });
                } else if repeat > 0 {
                    let length: u64 = sounds.iter().map(length_ms).sum();
                    let played = (length * u64::from(repeat)) as u32;
                    let end = PlayEnd::Finished;
                    self.hear(length * u64::from(repeat), key, MediaEvent::Played { step, played, end });
                }
            }
            MediaCommand::StopPlay { step } => {
                if let Some(since) = plays.remove(&step) {
                    self.play_ends(key, step, since, PlayEnd::Stopped);
                }
            }
            MediaCommand::Record { step, plan } => {
                recordings.insert(step, now);
                let max = plan.max.unwrap_or(u32::MAX);
                let end = RecordEnd::Finished { length: max, bytes: u64::from(max) * 16, by: "max" };
                self.hear(max.into(), key, MediaEvent::Recorded { step, end });
            }
            MediaCommand::StopRecord { step } => {
                if let Some(since) = recordings.remove(&step) {
                    self.record_ends(key, step, since, "stopped");
                }
            }
            MediaCommand::Count { ask } => {
                let frames = *frames;
                self.hear(1, key, MediaEvent::Counted { ask, frames });
            }
            MediaCommand::Bridge { with: other, .. } => {
                let stands = !refuse_bridge && matches!(self.ports.get(&other), Some(Port::Open { .. }));
                if stands {
                    for (one, partner) in [(key, other), (other, key)] {
                        if let Some(Port::Open { with, .. }) = self.ports.get_mut(&one) {
                            *with = Some(partner);
                        }
                    }
                }
                let result = if stands { Ok(()) } else { Err(MediaFault::Node("no such leg".to_owned())) };
                self.hear(1, key, MediaEvent::Bridged { result });
            }
            MediaCommand::Part => {
                let partner = with.take();
                self.unbridge(key, partner);
                self.hear(1, key, MediaEvent::Parted);
            }
            MediaCommand::SendDigits { digits } => {
                self.hear(digits.len() as u64 * 100, key, MediaEvent::DigitsSent { result: Ok(()) });
            }
            MediaCommand::Close => {
                let (frames, partner) = (*frames, *with);
                let (plays, recordings) = (std::mem::take(plays), std::mem::take(recordings));
                *port = Port::Closed { frames };
                self.unbridge(key, partner);
                for (step, since) in plays {
                    self.play_ends(key, step, since, PlayEnd::Stopped);
                }
                for (step, since) in recordings {
                    self.record_ends(key, step, since, "closed");
                }
                self.hear(2, key, MediaEvent::Closed { frames });
            }
            _ => {}
        }
    }

    fn open(&mut self, key: LegKey, plan: &MediaPlan) {
        assert!(!plan.local.is_unspecified(), "never a wildcard");
        if self.manners.refuse_open {
            self.ports.insert(key, Port::Refused);
            self.hear(1, key, MediaEvent::Failed(MediaFault::NoPort));
            return;
        }
        let (plays, recordings) = (BTreeMap::new(), BTreeMap::new());
        self.ports.insert(key, Port::Open { frames: Frames::default(), plays, recordings, with: None });
        let rtp = SocketAddr::new(plan.local, 4_000 + self.ports.len() as u16 * 2);
        self.hear(1, key, MediaEvent::Opened { rtp });
    }

    /// By all ports that ever were.
    pub(super) fn frames_sent(&self) -> u64 {
        let of = |port: &Port| match port {
            Port::Open { frames, .. } | Port::Closed { frames } => frames.sent,
            Port::Refused => 0,
        };
        self.ports.values().map(of).sum()
    }

    fn unbridge(&mut self, key: LegKey, partner: Option<LegKey>) {
        if let Some(Port::Open { with, .. }) = partner.and_then(|partner| self.ports.get_mut(&partner))
            && *with == Some(key)
        {
            *with = None;
        }
    }

    /// Whom a leg hears, as media has it.
    pub(super) fn hears_whom(&self, key: LegKey) -> Option<LegKey> {
        match self.ports.get(&key) {
            Some(Port::Open { with, .. }) => *with,
            _ => None,
        }
    }

    fn play_ends(&mut self, key: LegKey, step: StepId, since: Instant, end: PlayEnd) {
        // Its own end, if one was due, does not come.
        self.forget_due(
            |due| matches!(due, Due::Media(of, MediaEvent::Played { step: ends, .. }) if *of == key && *ends == step),
        );
        let played = self.now.at.since(since).as_millis() as u32;
        self.hear(1, key, MediaEvent::Played { step, played, end });
    }

    fn record_ends(&mut self, key: LegKey, step: StepId, since: Instant, by: &'static str) {
        self.forget_due(
            |due| matches!(due, Due::Media(of, MediaEvent::Recorded { step: ends, .. }) if *of == key && *ends == step),
        );
        let length = self.now.at.since(since).as_millis() as u32;
        let end = RecordEnd::Finished { length, bytes: u64::from(length) * 16, by };
        self.hear(1, key, MediaEvent::Recorded { step, end });
    }
}

fn length_ms(sound: &Sound) -> u64 {
    match sound {
        Sound::Tone(tone) => tone.length.into(),
        Sound::Silence(length) => (*length).into(),
        Sound::Asset { .. } | Sound::Speech(_) => 2_000,
    }
}
