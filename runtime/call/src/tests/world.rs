//! A world of calls on several lanes, with far ends, media and a sandbox that do what they are told,
//! after a moment of virtual time. It watches the promises that no input may break: who owns a leg,
//! who commands it, that nothing comes after the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use callbox_model::*;

use super::drivers::{Dialog, Manners, Port};
use crate::{ApplicationPlan, Begin, Call, GuestEnd, HandlerPlan, Input, Outgoing, Output, PeerMessage, Setup};

pub(super) struct World {
    pub(super) calls: BTreeMap<CallId, Call>,
    /// The one that tests speak of.
    pub(super) main: CallId,
    pub(super) now: Now,
    pub(super) due: BTreeMap<(Instant, u64), Due>,
    serial: u64,
    asks: u64,
    ids: Arc<IdSource>,
    pub(super) keys: Arc<LegSource>,
    pub(super) application: Arc<ApplicationPlan>,
    pub(super) dialogs: BTreeMap<LegKey, Dialog>,
    pub(super) ports: BTreeMap<LegKey, Port>,
    pub(super) owners: BTreeMap<LegKey, CallId>,
    /// Who has taken a leg that its owner has not released.
    pub(super) adopting: BTreeMap<LegKey, CallId>,
    /// What comes of a leg reaches its new owner no earlier.
    transit: BTreeMap<LegKey, Instant>,
    /// Messages between two calls keep their order.
    mail: BTreeMap<(CallId, CallId), Instant>,
    /// How long a message between calls takes: these, in turn.
    pub(super) delays_ms: Vec<u64>,
    delayed: usize,
    /// Modules in the order in which they were started.
    pub(super) guests: Vec<Guest>,
    pub(super) outcomes: VecDeque<(RunId, u64, Outcome)>,
    pub(super) leg_commands: Vec<LegCommand>,
    /// The same, with whom they went to.
    pub(super) sent: Vec<(LegKey, LegCommand)>,
    pub(super) media_commands: Vec<MediaCommand>,
    /// The same, with the port they went to.
    pub(super) outputs_to_media: Vec<(LegKey, MediaCommand)>,
    pub(super) outputs: Vec<Output>,
    pub(super) books: BTreeMap<CallId, Book>,
    pub(super) open_asks: Vec<(RunId, u64)>,
    pub(super) over: BTreeSet<CallId>,
    /// Answers of the world that a test wants otherwise.
    pub(super) manners: Manners,
}

/// What is written down of one call.
#[derive(Default)]
pub(super) struct Book {
    pub(super) events: Vec<Event>,
    pub(super) rows: BTreeMap<RunId, Run>,
}

#[derive(Debug)]
pub(super) enum Due {
    Leg(LegKey, LegEvent),
    Media(LegKey, MediaEvent),
    /// What a leg's earlier owner passes on.
    Passed(CallId, Box<Input>),
    To(CallId, Box<Input>),
}

#[derive(Clone)]
pub(super) struct Guest {
    pub(super) call: CallId,
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
        headers: vec![header("Subject", "hello"), header("X-Trace", "1"), header("User-Agent", "phone")],
        offer: offer.map(|text| text.as_bytes().to_vec()),
        peer: "192.0.2.9".parse().unwrap(),
        local: "192.0.2.1".parse().unwrap(),
        sip_call_id: "abc".to_owned(),
        replaces: None,
        origin: Origin::Anonymous,
        media_networks: Arc::new([]),
    }
}

pub(super) fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// Of the main call's leg 1, where that was offered.
pub(super) const LEG: LegKey = LegKey(1);
pub(super) const TENANT: TenantId = TenantId::from_u128(3);

impl World {
    pub(super) fn new(handlers: usize) -> Self {
        Self::with(application(handlers), offered(Some(OFFER)), Manners::default())
    }

    pub(super) fn with(application: ApplicationPlan, offered: Offered, manners: Manners) -> Self {
        let mut world = Self::empty(application, manners);
        world.offer(TENANT, offered);
        world
    }

    /// An outbound call to these targets, as the world resolves them.
    pub(super) fn dialled(handlers: usize, targets: &[&str]) -> Self {
        let mut world = Self::empty(application(handlers), Manners::default());
        world.dial(TENANT, targets);
        world
    }

    pub(super) fn dial(&mut self, tenant: TenantId, targets: &[&str]) -> CallId {
        let ways = targets.iter().flat_map(|target| super::drivers::ways(target)).collect();
        let outgoing = Outgoing {
            to: targets.join(", "),
            ways,
            headers: vec![header("X-Campaign", "7")],
            timeout: 20_000,
            input: Some("{\"order\":1}".to_owned()),
        };
        self.begin(tenant, Begin::Dial(Box::new(outgoing)))
    }

    pub(super) fn empty(application: ApplicationPlan, manners: Manners) -> Self {
        Self {
            calls: BTreeMap::new(),
            main: CallId::from_u128(1),
            now: Now { at: Instant::from_micros(1_000_000), wall: Wall(1_700_000_000_000_000) },
            due: BTreeMap::new(),
            serial: 0,
            asks: 0,
            ids: Arc::new(IdSource::new(0, 0, 0)),
            keys: Arc::default(),
            application: Arc::new(application),
            dialogs: BTreeMap::new(),
            ports: BTreeMap::new(),
            owners: BTreeMap::new(),
            adopting: BTreeMap::new(),
            transit: BTreeMap::new(),
            mail: BTreeMap::new(),
            delays_ms: vec![1],
            delayed: 0,
            guests: Vec::new(),
            outcomes: VecDeque::new(),
            leg_commands: Vec::new(),
            sent: Vec::new(),
            media_commands: Vec::new(),
            outputs_to_media: Vec::new(),
            outputs: Vec::new(),
            books: BTreeMap::new(),
            open_asks: Vec::new(),
            over: BTreeSet::new(),
            manners,
        }
    }

    /// Another call comes in, on a lane of its own.
    pub(super) fn offer(&mut self, tenant: TenantId, offered: Offered) -> CallId {
        let leg = self.keys.next(self.books.len() as u8);
        self.dialogs.insert(leg, Dialog::Standing);
        self.begin(tenant, Begin::Offered { leg, offered: Box::new(offered) })
    }

    fn begin(&mut self, tenant: TenantId, begin: Begin) -> CallId {
        let id = CallId::from_u128(self.books.len() as u128 + 1);
        self.books.insert(id, Book::default());
        if let Begin::Offered { leg, .. } = &begin {
            self.owners.insert(*leg, id);
        }
        let setup = Setup {
            call: id,
            tenant,
            application: self.application.clone(),
            number: "100".to_owned(),
            begin,
            ids: self.ids.clone(),
            legs: self.keys.clone(),
            lane: self.books.len() as u8 - 1,
        };
        let mut out = Vec::new();
        let call = Call::new(self.now, setup, &mut out);
        self.calls.insert(id, call);
        self.carry(id, out);
        id
    }

    pub(super) fn call(&self) -> &Call {
        &self.calls[&self.main]
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.contains(&self.main)
    }

    pub(super) fn all_over(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn live_calls(&self) -> Vec<CallId> {
        self.calls.keys().copied().collect()
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.books[&self.main].events
    }

    pub(super) fn rows(&self) -> &BTreeMap<RunId, Run> {
        &self.books[&self.main].rows
    }

    /// Of a leg of the main call.
    pub(super) fn dialog(&self, number: LegNumber) -> LegKey {
        self.call().legs.get(number).expect("no such leg").line.dialog
    }

    pub(super) fn port(&self, number: LegNumber) -> LegKey {
        self.call().legs.get(number).expect("no such leg").line.port
    }

    /// Port and dialog of a leg, while it has them.
    pub(super) fn keys_of(&self, call: CallId, number: LegNumber) -> Option<(LegKey, LegKey)> {
        self.calls.get(&call)?.legs.get(number).map(|leg| (leg.line.port, leg.line.dialog))
    }

    pub(super) fn port_of(&self, call: CallId, number: LegNumber) -> LegKey {
        self.keys_of(call, number).expect("no such leg").0
    }

    pub(super) fn dialog_of(&self, call: CallId, number: LegNumber) -> LegKey {
        self.keys_of(call, number).expect("no such leg").1
    }

    pub(super) fn is_over_of(&self, call: CallId) -> bool {
        self.over.contains(&call)
    }

    /// By an operator; the module returns.
    pub(super) fn hang_up(&mut self, call: CallId) {
        self.input_to(call, Input::HangUp { by: "an operator".to_owned() });
        if let Some(run) = self.guest_of(call).map(|guest| guest.run) {
            self.end_run(run, GuestEnd::Ok);
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        self.input_to(self.main, input);
    }

    pub(super) fn input_to(&mut self, id: CallId, input: Input) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mut out = Vec::new();
        call.handle(self.now, input, &mut out);
        self.carry(id, out);
        self.check_owners();
        self.check_bridges();
    }

    /// Lets time pass: what is due is told, deadlines are ticked.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.at + time;
        for _ in 0..100_000 {
            let next_due = self.due.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.calls.iter().filter_map(|(id, call)| Some((call.next_deadline()?.0, *id)));
            let next_tick = deadlines.min();
            let next = [next_due, next_tick.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else {
                self.go_to(end);
                return;
            };
            self.go_to(at);
            if next_due == Some(at) {
                self.deliver_due();
            } else if let Some((_, id)) = next_tick {
                self.input_to(id, Input::Tick);
                let after = self.calls.get(&id).and_then(Call::next_deadline);
                assert!(after.is_none_or(|(next, _)| next > at), "a tick that changes nothing: {after:?}");
            }
        }
        panic!("the calls do not come to rest");
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    fn deliver_due(&mut self) {
        let Some((_, due)) = self.due.pop_first() else { return };
        match due {
            Due::Leg(key, event) => {
                self.hears(key, &event);
                if self.is_in_transit(key) {
                    self.put_due(self.transit[&key], Due::Leg(key, event));
                } else if let Some(owner) = self.owners.get(&key).copied() {
                    self.input_to(owner, Input::Leg(key, event));
                }
            }
            Due::Media(key, event) => {
                if self.is_in_transit(key) {
                    self.put_due(self.transit[&key], Due::Media(key, event));
                } else if let Some(owner) = self.owners.get(&key).copied() {
                    self.input_to(owner, Input::Media(key, event));
                }
            }
            Due::Passed(to, input) => self.deliver_passed(to, *input),
            Due::To(to, input) => self.deliver_to(to, *input),
        }
    }

    pub(super) fn owner(&self, key: LegKey) -> Option<CallId> {
        self.owners.get(&key).copied()
    }

    /// The node tells the call of the leg that is to be replaced.
    pub(super) fn route(&mut self, key: LegKey, call: CallId) {
        self.owners.insert(key, call);
    }

    fn is_in_transit(&self, key: LegKey) -> bool {
        self.transit.get(&key).is_some_and(|until| *until > self.now.at)
    }

    /// A far end that wants in where a call is over meanwhile is refused by the node.
    fn deliver_passed(&mut self, to: CallId, input: Input) {
        if self.calls.contains_key(&to) {
            self.input_to(to, input);
        } else if let Input::Leg(key, LegEvent::Offered(_)) = input {
            self.dialogs.insert(key, Dialog::Ended);
        }
    }

    fn deliver_to(&mut self, to: CallId, input: Input) {
        if self.calls.contains_key(&to) {
            self.input_to(to, input);
        } else if let Input::Peer(from, message) = input {
            // The node answers for calls that are not there.
            if let Some(back) = message.undelivered() {
                self.mail(to, from, back);
            }
        }
    }

    fn mail(&mut self, from: CallId, to: CallId, message: PeerMessage) {
        let at = self.mail_at(from, to);
        self.put_due(at, Due::To(to, Box::new(Input::Peer(from, message))));
    }

    /// When something for that call gets there: nothing overtakes what was sent before.
    fn mail_at(&mut self, from: CallId, to: CallId) -> Instant {
        self.delayed += 1;
        let delay = self.delays_ms[self.delayed % self.delays_ms.len()];
        let earliest = self.now.at + Duration::from_millis(delay);
        let at = self.mail.get(&(from, to)).map_or(earliest, |last| earliest.max(*last));
        self.mail.insert((from, to), at);
        at
    }

    fn go_to(&mut self, at: Instant) {
        let step = at.since(self.now.at);
        for port in self.ports.values_mut() {
            port.pass(step);
        }
        self.now.wall = Wall(self.now.wall.0 + step.as_micros() as i64);
        self.now.at = self.now.at.max(at);
    }

    // The module in control.

    pub(super) fn guest(&self) -> &Guest {
        self.guest_of(self.main).expect("no module runs")
    }

    pub(super) fn guest_of(&self, call: CallId) -> Option<&Guest> {
        self.guests.iter().rev().find(|guest| guest.is_running && guest.call == call)
    }

    /// Asks, lets a moment pass for the drivers' answers, and takes the outcome if there is one.
    pub(super) fn ask(&mut self, step: Step) -> Option<Outcome> {
        self.ask_of(self.main, step)
    }

    pub(super) fn ask_of(&mut self, call: CallId, step: Step) -> Option<Outcome> {
        let run = self.guest_of(call).expect("no module runs").run;
        self.ask_as(run, step);
        self.pass_ms(5);
        self.take_of(run)
    }

    /// One that takes a moment.
    pub(super) fn ask_and_wait(&mut self, step: Step) -> Option<Outcome> {
        let outcome = self.ask(step);
        self.pass_ms(20);
        outcome.or_else(|| self.take())
    }

    pub(super) fn ask_as(&mut self, run: RunId, step: Step) -> u64 {
        self.asks += 1;
        let ask = self.asks;
        let call = self.guests.iter().find(|guest| guest.run == run).map_or(self.main, |guest| guest.call);
        self.open_asks.push((run, ask));
        self.input_to(call, Input::Step { run, ask, step });
        ask
    }

    pub(super) fn take(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front().map(|(_, _, outcome)| outcome)
    }

    fn take_of(&mut self, run: RunId) -> Option<Outcome> {
        let place = self.outcomes.iter().position(|(of, _, _)| *of == run)?;
        self.outcomes.remove(place).map(|(_, _, outcome)| outcome)
    }

    /// The next event of the module of that call.
    pub(super) fn event_of(&mut self, call: CallId) -> GuestEvent {
        match self.ask_of(call, Step::Next { timeout: Some(4) }) {
            Some(Outcome::Event(Some(event))) => event,
            other => panic!("no event: {other:?}"),
        }
    }

    pub(super) fn event(&mut self) -> GuestEvent {
        self.event_of(self.main)
    }

    /// The next event is that this leg is in that state.
    pub(super) fn expect(&mut self, leg: LegNumber, state: LegState) {
        assert_eq!(self.event(), GuestEvent::Leg(LegChange { leg, state }));
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
        let call = guest.call;
        self.open_asks.retain(|(asking, _)| *asking != run);
        let usage = RunUsage { cpu_ns: 1_000, peak_memory_bytes: 65_536, ..RunUsage::default() };
        self.input_to(call, Input::ControlEnded { run, end, usage });
    }

    pub(super) fn trap(&mut self) {
        self.end_guest(GuestEnd::Fault(Fault::new(FaultCode::TrapUnreachable, "unreachable")));
    }

    pub(super) fn bye(&mut self) {
        self.far_end_leaves(LEG);
    }

    /// A step that is not waited for by the world: `Due` for later.
    pub(super) fn later(&mut self, ms: u64, due: Due) {
        self.put_due(self.now.at + Duration::from_millis(ms), due);
    }

    fn put_due(&mut self, at: Instant, due: Due) {
        self.serial += 1;
        self.due.insert((at, self.serial), due);
    }

    /// What is due and is no longer true.
    pub(super) fn forget_due(&mut self, is_it: impl Fn(&Due) -> bool) {
        self.due.retain(|_, due| !is_it(due));
    }

    /// At once, or when the leg has come to its owner.
    pub(super) fn now_or_in_transit(&mut self, due: Due) {
        self.put_due(self.now.at, due);
        self.pass_ms(0);
    }

    // What was seen.

    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.events()
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
        self.text_of(self.main)
    }

    pub(super) fn text_of(&self, call: CallId) -> String {
        self.books[&call].events.iter().map(|event| format!("{:?}", event.change)).collect::<Vec<_>>().join("\n")
    }

    // What the drivers do.

    fn carry(&mut self, id: CallId, out: Vec<Output>) {
        for output in out {
            assert!(!self.over.contains(&id), "after the end: {output:?}");
            if matches!(
                output,
                Output::Own { .. } | Output::Release { .. } | Output::Pass { .. } | Output::PeerOfLeg(..)
            ) {
                self.outputs.push(output.clone());
            }
            match output {
                Output::Leg(leg, command) => {
                    self.assert_commands(id, leg);
                    self.leg_commands.push(command.clone());
                    self.sent.push((leg, command.clone()));
                    self.leg_command(leg, command);
                }
                Output::Media(leg, command) => {
                    self.assert_commands(id, leg);
                    self.media_commands.push(command.clone());
                    self.outputs_to_media.push((leg, command.clone()));
                    self.media_command(leg, command);
                }
                Output::StartControl { run, info, .. } => {
                    self.guests.push(Guest { call: id, run, info: *info, is_running: true });
                }
                Output::Outcome { run, ask, outcome } => {
                    let at = self.open_asks.iter().position(|open| *open == (run, ask));
                    let at = at.unwrap_or_else(|| panic!("answered twice, or never asked: {ask} {outcome:?}"));
                    self.open_asks.remove(at);
                    self.outcomes.push_back((run, ask, outcome));
                }
                Output::StopControl { run } => self.end_later(id, run),
                Output::Sample { run } => {
                    let usage = RunUsage { cpu_ns: 500, ..RunUsage::default() };
                    self.later(1, Due::To(id, Box::new(Input::Sampled { run, usage })));
                }
                Output::Record(event) => {
                    let events = &mut self.books.get_mut(&id).unwrap().events;
                    assert_eq!(event.sequence, events.len() as u64 + 1, "a hole in the sequence");
                    events.push(*event);
                }
                Output::Mark(run) => {
                    let was = self.books.get_mut(&id).unwrap().rows.insert(run.id, *run);
                    assert!(was.is_none_or(|was| was.end.is_none()), "a closed row was written again");
                }
                Output::Peer(to, message) => self.mail(id, to, message),
                Output::PeerOfLeg(leg, message) => match self.owners.get(&leg).copied() {
                    Some(owner) => self.mail(id, owner, message),
                    None => {
                        let back = message.undelivered().expect("only what is answered goes to a leg");
                        self.mail(id, id, back);
                    }
                },
                Output::Resolve { ask, targets, .. } => {
                    let result = super::drivers::resolve(&targets);
                    self.later(1, Due::To(id, Box::new(Input::Resolved { ask, result })));
                }
                Output::Own { leg } => match self.owners.get(&leg) {
                    Some(owner) if *owner != id => {
                        let was = self.adopting.insert(leg, id);
                        assert_eq!(was, None, "{leg:?} is taken by two");
                    }
                    _ => {
                        self.owners.insert(leg, id);
                    }
                },
                Output::Release { leg, to } => {
                    assert_eq!(self.owners.get(&leg), Some(&id), "{leg:?} is not theirs to give");
                    if to != id {
                        let taker = self.adopting.remove(&leg);
                        assert!(taker.is_none_or(|taker| taker == to), "released to another than who took it");
                    }
                    self.owners.insert(leg, to);
                    let at = self.mail_at(id, to);
                    self.transit.insert(leg, at);
                }
                Output::Pass { to, leg, what } => {
                    // What comes of the leg later comes behind it.
                    let at = self.mail[&(id, to)].max(self.transit[&leg]);
                    self.transit.insert(leg, at);
                    self.put_due(at, Due::Passed(to, Box::new(what.into_input(leg))));
                }
                Output::Forget { leg } => {
                    assert_eq!(self.owners.remove(&leg), Some(id), "{leg:?} is not theirs to forget");
                }
                Output::Over => self.end_call(id),
            }
        }
    }

    fn end_later(&mut self, id: CallId, run: RunId) {
        if let Some(guest) = self.guests.iter_mut().find(|guest| guest.run == run && guest.is_running) {
            guest.is_running = false;
            self.open_asks.retain(|(asking, _)| *asking != run);
            let usage = RunUsage { cpu_ns: 1_000, ..RunUsage::default() };
            self.later(1, Due::To(id, Box::new(Input::ControlEnded { run, end: GuestEnd::Stopped, usage })));
        }
    }
}
