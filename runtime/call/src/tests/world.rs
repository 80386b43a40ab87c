//! A far end, media and a sandbox that do what they are told, after a moment of virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use callbox_model::*;

use crate::{ApplicationPlan, Call, GuestEnd, HandlerPlan, Input, Output, Setup};

pub(super) struct World {
    pub(super) call: Call,
    pub(super) now: Now,
    due: BTreeMap<(Instant, u64), Input>,
    serial: u64,
    asks: u64,
    plays: BTreeMap<StepId, Instant>,
    recordings: BTreeMap<StepId, Instant>,
    sound: Port,
    leg_ended: bool,
    frames: Frames,
    /// Modules in the order in which they were started.
    pub(super) guests: Vec<Guest>,
    pub(super) outcomes: VecDeque<(RunId, u64, Outcome)>,
    pub(super) leg_commands: Vec<LegCommand>,
    pub(super) media_commands: Vec<MediaCommand>,
    pub(super) events: Vec<Event>,
    pub(super) rows: BTreeMap<RunId, Run>,
    pub(super) open_asks: Vec<(RunId, u64)>,
    pub(super) is_over: bool,
    /// Answers of the world that a test wants otherwise.
    pub(super) manners: Manners,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Closed,
    Open,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    pub(super) refuse_open: bool,
    /// Nothing is heard of commands to the leg.
    pub(super) deaf: bool,
    pub(super) no_voice: bool,
    /// What the ACK of our 200 carries.
    pub(super) late_answer: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Guest {
    pub(super) run: RunId,
    pub(super) info: CallInfo,
    pub(super) is_running: bool,
}

pub(super) const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 7078 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

pub(super) fn application(handlers: usize) -> ApplicationPlan {
    ApplicationPlan {
        id: ApplicationId::from_u128(2),
        name: "test".to_owned(),
        handlers: (0..handlers)
            .map(|place| HandlerPlan {
                module: Some(ModuleId::from_u128(10 + place as u128)),
                name: format!("module-{place}"),
                version: 1,
                unusable: None,
            })
            .collect(),
        headers: vec!["subject".to_owned()],
        voice: None,
        language: None,
        apology: None,
        last_resort_status: 480,
        limits: Arc::new(Limits::default()),
    }
}

pub(super) fn offered(offer: Option<&str>) -> Offered {
    Offered {
        caller: "sip:alice@192.0.2.9".to_owned(),
        called: "sip:100@192.0.2.1".to_owned(),
        target: "sip:100@192.0.2.1".to_owned(),
        caller_name: None,
        headers: vec![
            Header { name: "Subject".to_owned(), value: "hello".to_owned() },
            Header { name: "X-Trace".to_owned(), value: "1".to_owned() },
            Header { name: "User-Agent".to_owned(), value: "phone".to_owned() },
        ],
        offer: offer.map(|text| text.as_bytes().to_vec()),
        peer: "192.0.2.9".parse().unwrap(),
        local: "192.0.2.1".parse().unwrap(),
        sip_call_id: "abc".to_owned(),
    }
}

pub(super) const LEG: LegKey = LegKey(1);

impl World {
    pub(super) fn new(handlers: usize) -> Self {
        Self::with(application(handlers), offered(Some(OFFER)), Manners::default())
    }

    pub(super) fn with(application: ApplicationPlan, offered: Offered, manners: Manners) -> Self {
        let now = Now { at: Instant::from_micros(1_000_000), wall: Wall(1_700_000_000_000_000) };
        let mut out = Vec::new();
        let setup = Setup {
            call: CallId::from_u128(1),
            tenant: TenantId::from_u128(3),
            application: Arc::new(application),
            number: "100".to_owned(),
            leg: LEG,
            offered: Box::new(offered),
            ids: Arc::new(IdSource::new(0, 0, 0)),
        };
        let call = Call::new(now, setup, &mut out);
        let mut world = Self {
            call,
            now,
            due: BTreeMap::new(),
            serial: 0,
            asks: 0,
            plays: BTreeMap::new(),
            recordings: BTreeMap::new(),
            sound: Port::Closed,
            leg_ended: false,
            frames: Frames::default(),
            guests: Vec::new(),
            outcomes: VecDeque::new(),
            leg_commands: Vec::new(),
            media_commands: Vec::new(),
            events: Vec::new(),
            rows: BTreeMap::new(),
            open_asks: Vec::new(),
            is_over: false,
            manners,
        };
        world.carry(out);
        world
    }

    pub(super) fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.call.handle(self.now, input, &mut out);
        self.carry(out);
    }

    /// Lets time pass: what is due is told, deadlines are ticked.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.at + time;
        for _ in 0..100_000 {
            let next_due = self.due.first_key_value().map(|((at, _), _)| *at);
            let next_tick = self.call.next_deadline().map(|(at, _)| at).filter(|_| !self.is_over);
            let Some(at) = [next_due, next_tick].into_iter().flatten().min().filter(|at| *at <= end) else {
                self.go_to(end);
                return;
            };
            self.go_to(at);
            if next_due == Some(at) {
                let (_, input) = self.due.pop_first().unwrap();
                self.input(input);
            } else {
                self.input(Input::Tick);
                let after = self.call.next_deadline();
                assert!(after.is_none_or(|(next, _)| next > at), "a tick that changes nothing: {after:?}");
            }
        }
        panic!("the call does not come to rest: {:?}", self.call.next_deadline());
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    fn go_to(&mut self, at: Instant) {
        let step = at.since(self.now.at);
        if self.sound == Port::Open {
            self.frames.sent += step.as_millis() as u64 / 20;
        }
        self.now.wall = Wall(self.now.wall.0 + step.as_micros() as i64);
        self.now.at = self.now.at.max(at);
    }

    // The module in control.

    pub(super) fn guest(&self) -> &Guest {
        self.guests.iter().rev().find(|guest| guest.is_running).expect("no module runs")
    }

    /// Asks, lets a moment pass for the drivers' answers, and takes the outcome if there is one.
    pub(super) fn ask(&mut self, step: Step) -> Option<Outcome> {
        let run = self.guest().run;
        self.ask_as(run, step);
        self.pass_ms(5);
        self.take()
    }

    pub(super) fn ask_as(&mut self, run: RunId, step: Step) -> u64 {
        self.asks += 1;
        let ask = self.asks;
        self.open_asks.push((run, ask));
        self.input(Input::Step { run, ask, step });
        ask
    }

    pub(super) fn take(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front().map(|(_, _, outcome)| outcome)
    }

    pub(super) fn answered(handlers: usize) -> Self {
        let mut world = Self::new(handlers);
        assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
        world
    }

    pub(super) fn end_guest(&mut self, end: GuestEnd) {
        let run = self.guest().run;
        self.end_run(run, end);
    }

    pub(super) fn end_run(&mut self, run: RunId, end: GuestEnd) {
        let guest = self.guests.iter_mut().find(|guest| guest.run == run && guest.is_running);
        let Some(guest) = guest else { return };
        guest.is_running = false;
        self.open_asks.retain(|(asking, _)| *asking != run);
        let usage = RunUsage { cpu_ns: 1_000, peak_memory_bytes: 65_536, ..RunUsage::default() };
        self.input(Input::ControlEnded { run, end, usage });
    }

    pub(super) fn trap(&mut self) {
        self.end_guest(GuestEnd::Fault(Fault::new(FaultCode::TrapUnreachable, "unreachable")));
    }

    pub(super) fn bye(&mut self) {
        self.leg_ends(EndCause { status: 0, reason: String::new(), remote: true });
    }

    pub(super) fn leg_ends(&mut self, cause: EndCause) {
        if !self.leg_ended {
            self.leg_ended = true;
            self.input(Input::Leg(LEG, LegEvent::Ended(cause)));
        }
    }

    pub(super) fn press(&mut self, digit: char) {
        if self.sound == Port::Open {
            self.input(Input::Media(LEG, MediaEvent::DigitBegan { digit }));
            self.later(100, Input::Media(LEG, MediaEvent::DigitEnded { digit, length: 100 }));
            self.pass_ms(101);
        }
    }

    // What was seen.

    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.events
            .iter()
            .map(|event| match &event.change {
                Change::CallStarted { .. } => "call.started",
                Change::CallAnswered => "call.answered",
                Change::CallEnded { .. } => "call.ended",
                Change::ControlStarted { .. } => "control.started",
                Change::ControlEnded { .. } => "control.ended",
                Change::ControlFault { .. } => "control.fault",
                _ => "other",
            })
            .filter(|kind| *kind != "other")
            .collect()
    }

    pub(super) fn text(&self) -> String {
        self.events.iter().map(|event| serde_text(&event.change)).collect::<Vec<_>>().join("\n")
    }

    // What the drivers do.

    fn later(&mut self, ms: u64, input: Input) {
        self.serial += 1;
        self.due.insert((self.now.at + Duration::from_millis(ms), self.serial), input);
    }

    fn carry(&mut self, out: Vec<Output>) {
        for output in out {
            assert!(!self.is_over, "after the end: {output:?}");
            match output {
                Output::Leg(leg, command) => {
                    assert_eq!(leg, LEG);
                    self.leg_command(command);
                }
                Output::Media(leg, command) => {
                    assert_eq!(leg, LEG);
                    self.media_command(command);
                }
                Output::StartControl { run, info, .. } => {
                    self.guests.push(Guest { run, info: *info, is_running: true });
                }
                Output::Outcome { run, ask, outcome } => {
                    let at = self.open_asks.iter().position(|open| *open == (run, ask));
                    let at = at.unwrap_or_else(|| panic!("answered twice, or never asked: {ask} {outcome:?}"));
                    self.open_asks.remove(at);
                    self.outcomes.push_back((run, ask, outcome));
                }
                Output::StopControl { run } => self.end_later(run),
                Output::Sample { run } => {
                    let usage = RunUsage { cpu_ns: 500, ..RunUsage::default() };
                    self.later(1, Input::Sampled { run, usage });
                }
                Output::Record(event) => {
                    assert_eq!(event.sequence, self.events.len() as u64 + 1, "a hole in the sequence");
                    self.events.push(*event);
                }
                Output::Mark(run) => {
                    let was = self.rows.insert(run.id, *run);
                    assert!(was.is_none_or(|was| was.end.is_none()), "a closed row was written again");
                }
                Output::Peer(..) => {}
                Output::Over => self.is_over = true,
            }
        }
    }

    fn end_later(&mut self, run: RunId) {
        if let Some(guest) = self.guests.iter_mut().find(|guest| guest.run == run && guest.is_running) {
            guest.is_running = false;
            self.open_asks.retain(|(asking, _)| *asking != run);
            let usage = RunUsage { cpu_ns: 1_000, ..RunUsage::default() };
            self.later(1, Input::ControlEnded { run, end: GuestEnd::Stopped, usage });
        }
    }

    fn leg_command(&mut self, command: LegCommand) {
        let ask = command.ask();
        self.leg_commands.push(command.clone());
        if self.manners.deaf {
            return;
        }
        let result = if self.leg_ended { Err(Refused::Gone) } else { Ok(()) };
        self.later(1, Input::Leg(LEG, LegEvent::Reply { ask, result }));
        match command {
            LegCommand::Answer { .. } => {
                let body = self.manners.late_answer.clone();
                self.later(1, Input::Leg(LEG, LegEvent::Confirmed { body }));
            }
            LegCommand::Hangup { .. } | LegCommand::Reject { .. } if !self.leg_ended => {
                self.leg_ended = true;
                let cause = EndCause { status: 0, reason: "ours".to_owned(), remote: false };
                self.later(2, Input::Leg(LEG, LegEvent::Ended(cause)));
            }
            _ => {}
        }
    }

    fn media_command(&mut self, command: MediaCommand) {
        self.media_commands.push(command.clone());
        match command {
            MediaCommand::Open(_) => {
                assert!(self.sound == Port::Closed, "opened twice");
                if self.manners.refuse_open {
                    self.later(1, Input::Media(LEG, MediaEvent::Failed(MediaFault::NoPort)));
                } else {
                    self.sound = Port::Open;
                    let rtp = "192.0.2.1:4000".parse().unwrap();
                    self.later(1, Input::Media(LEG, MediaEvent::Opened { rtp }));
                }
            }
            MediaCommand::Update(plan) => assert!(plan.remote.is_some()),
            MediaCommand::Play { step, sounds, repeat, .. } => {
                let started = self.now.at;
                for (old, since) in std::mem::take(&mut self.plays) {
                    self.play_ends(old, since, PlayEnd::Replaced);
                }
                let speaks = sounds.iter().any(|sound| matches!(sound, Sound::Speech(_)));
                if speaks && self.manners.no_voice {
                    let end = PlayEnd::Failed(MediaFault::NoVoice("flite is missing".to_owned()));
                    self.later(1, Input::Media(LEG, MediaEvent::Played { step, played: 0, end }));
                    return;
                }
                self.plays.insert(step, started);
                if repeat > 0 {
                    let length: u64 = sounds.iter().map(length_ms).sum();
                    let played = (length * u64::from(repeat)) as u32;
                    let end = PlayEnd::Finished;
                    self.later(length * u64::from(repeat), Input::Media(LEG, MediaEvent::Played { step, played, end }));
                }
            }
            MediaCommand::StopPlay { step } => {
                if let Some(since) = self.plays.remove(&step) {
                    self.play_ends(step, since, PlayEnd::Stopped);
                }
            }
            MediaCommand::Record { step, plan } => {
                self.recordings.insert(step, self.now.at);
                let max = plan.max.unwrap_or(u32::MAX);
                let end = RecordEnd::Finished { length: max, bytes: u64::from(max) * 16, by: "max" };
                self.later(max.into(), Input::Media(LEG, MediaEvent::Recorded { step, end }));
            }
            MediaCommand::StopRecord { step } => self.record_ends(step, "stopped"),
            MediaCommand::Count { ask } => {
                assert!(self.sound == Port::Open);
                let frames = self.frames;
                self.later(1, Input::Media(LEG, MediaEvent::Counted { ask, frames }));
            }
            // That it never opened is being told already.
            MediaCommand::Close if self.manners.refuse_open => {}
            MediaCommand::Close => {
                assert!(self.sound == Port::Open, "closed what is not open");
                for (step, since) in std::mem::take(&mut self.plays) {
                    self.play_ends(step, since, PlayEnd::Stopped);
                }
                for step in self.recordings.keys().copied().collect::<Vec<_>>() {
                    self.record_ends(step, "closed");
                }
                self.sound = Port::Closed;
                let frames = self.frames;
                self.later(2, Input::Media(LEG, MediaEvent::Closed { frames }));
            }
            _ => {}
        }
    }

    fn play_ends(&mut self, step: StepId, since: Instant, end: PlayEnd) {
        // Its own end, if one was due, does not come.
        self.due
            .retain(|_, input| !matches!(input, Input::Media(_, MediaEvent::Played { step: due, .. }) if *due == step));
        let played = self.now.at.since(since).as_millis() as u32;
        self.later(1, Input::Media(LEG, MediaEvent::Played { step, played, end }));
    }

    fn record_ends(&mut self, step: StepId, by: &'static str) {
        let Some(since) = self.recordings.remove(&step) else { return };
        self.due.retain(
            |_, input| !matches!(input, Input::Media(_, MediaEvent::Recorded { step: due, .. }) if *due == step),
        );
        let length = self.now.at.since(since).as_millis() as u32;
        let end = RecordEnd::Finished { length, bytes: u64::from(length) * 16, by };
        self.later(1, Input::Media(LEG, MediaEvent::Recorded { step, end }));
    }
}

fn length_ms(sound: &Sound) -> u64 {
    match sound {
        Sound::Tone(tone) => tone.length.into(),
        Sound::Silence(length) => (*length).into(),
        Sound::Asset { .. } | Sound::Speech(_) => 2_000,
    }
}

fn serde_text(change: &Change) -> String {
    format!("{change:?}")
}
