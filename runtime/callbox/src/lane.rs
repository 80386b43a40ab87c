//! A lane owns calls. It lives on one thread, and no call's state is ever touched by another: either
//! on a thread of its own, or on that of signalling, which calls talk with most.
//!
//! What happens to a call comes in as a [`Message`]; the call brain says what follows; `drive`
//! carries that to the drivers. A lane waits for nothing else: no database, no module, no packet.

mod inbox;
mod owners;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use callbox_call::{Begin, Call, Input, Outgoing, Output, PeerMessage, Setup};
use callbox_model::{CallId, Instant, LegEvent, LegKey, MediaEvent, Offered, Origin};
use callbox_sandbox::SandboxEvent;
use ipnet::IpNet;
use tokio::sync::oneshot;

use crate::admission::Place;
use crate::clock::Clock;
use crate::directory::Route;
use crate::drive::Drive;

pub use inbox::Inbox;
use owners::Owners;

pub enum Message {
    Leg(LegKey, LegEvent),
    Media(LegKey, MediaEvent),
    Sandbox(SandboxEvent),
    /// From the API, or the node's end. Answered whether there is such a call here.
    Ask {
        call: CallId,
        input: Box<Input>,
        found: Option<oneshot::Sender<bool>>,
    },
    /// A call that goes out.
    Place(Box<Placed>),
    /// To whichever call has this leg.
    OfLeg {
        leg: LegKey,
        from: CallId,
        message: Box<PeerMessage>,
    },
    /// A leg that began on this lane belongs to another call now, elsewhere.
    Moved {
        leg: LegKey,
        to: CallId,
    },
    /// Nothing will come of this leg any more.
    Forget(LegKey),
    /// Every call of the lane hears it.
    All(fn() -> Input),
    Stop,
}

pub struct Placed {
    pub call: CallId,
    pub route: Arc<Route>,
    pub place: Place,
    pub from: String,
    pub outgoing: Box<Outgoing>,
    /// Told when the call is there, and on its way to the database.
    pub begun: oneshot::Sender<()>,
}

/// What admission decided, waiting for the leg's first event.
pub enum Expected {
    Call {
        call: CallId,
        route: Arc<Route>,
        place: Place,
        origin: Origin,
        media_networks: Arc<[IpNet]>,
    },
    /// It is to take the place of a leg that stands.
    Replacing {
        old: LegKey,
        origin: Origin,
    },
}

pub struct Lane {
    clock: Clock,
    inbox: Inbox,
    calls: HashMap<CallId, Slot>,
    /// Of the node's lanes, this one.
    number: u8,
    owners: Owners,
    /// Of legs that are dialled, the guard wants to know.
    dialled: HashSet<LegKey>,
    deadlines: BTreeSet<(Instant, CallId)>,
    outputs: Vec<Output>,
    drive: Drive,
    stray: metrics::Counter,
}

struct Slot {
    call: Call,
    route: Arc<Route>,
    /// Who called, of a call that came in.
    caller: Option<String>,
    legs: Vec<LegKey>,
    deadline: Option<Instant>,
    /// Gives the tenant's place back when the call is over.
    _place: Place,
}

impl Lane {
    pub fn new(number: u8, clock: Clock, inbox: Inbox, drive: Drive) -> Self {
        Self {
            clock,
            inbox,
            calls: HashMap::new(),
            number,
            owners: Owners::default(),
            dialled: HashSet::new(),
            deadlines: BTreeSet::new(),
            outputs: Vec::new(),
            drive,
            stray: metrics::counter!("lane_stray_messages_total"),
        }
    }

    /// On a thread of its own, until it is told to stop.
    pub fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.inbox.take(self.until_deadline(), &mut batch);
            if self.work_off(&mut batch).is_break() {
                return;
            }
        }
    }

    /// Beside others on a thread, until it is told to stop.
    pub async fn run_beside(mut self) {
        let mut batch = Vec::new();
        loop {
            self.inbox.taken(self.until_deadline(), &mut batch).await;
            if self.work_off(&mut batch).is_break() {
                return;
            }
            // Others have their turn, however much comes.
            tokio::task::yield_now().await;
        }
    }

    fn work_off(&mut self, batch: &mut Vec<Message>) -> ControlFlow<()> {
        let count = batch.len();
        for message in batch.drain(..) {
            self.hear(message)?;
        }
        self.inbox.done(count);
        self.wake_due();
        ControlFlow::Continue(())
    }

    fn until_deadline(&self) -> Option<Duration> {
        let (at, _) = self.deadlines.first()?;
        Some(at.since(self.clock.at()).min(PATIENCE))
    }

    fn hear(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Leg(leg, LegEvent::Offered(offered)) => self.begin(leg, offered),
            Message::Leg(leg, event) => {
                self.guard(leg, &event);
                self.of_leg(leg, Input::Leg(leg, event));
            }
            Message::Media(leg, event) => self.of_leg(leg, Input::Media(leg, event)),
            Message::Sandbox(event) => {
                let (call, input) = crate::drive::from_sandbox(event);
                self.tell(call, input);
            }
            Message::Ask { call, input, found } => self.ask(call, *input, found),
            Message::Place(placed) => self.place(*placed),
            Message::OfLeg { leg, from, message } => match self.owners.call(leg) {
                Some(call) => self.drive.to_call(call, Input::Peer(from, *message)),
                None => self.drive.undelivered(from, CallId::from_u128(0), *message),
            },
            Message::Moved { leg, to } => self.owners.moved(leg, to),
            Message::Forget(leg) => drop(self.owners.forget(leg)),
            Message::All(input) => {
                let mut calls: Vec<_> = self.calls.keys().copied().collect();
                calls.sort();
                for call in calls {
                    self.tell(call, input());
                }
            }
            Message::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// What comes of a leg goes to its owner, wherever that is.
    fn of_leg(&mut self, leg: LegKey, input: Input) {
        match self.owners.call(leg) {
            Some(call) if self.calls.contains_key(&call) => self.tell(call, input),
            Some(call) => self.drive.to_call(call, input),
            None => self.stray.increment(1),
        }
    }

    fn ask(&mut self, call: CallId, input: Input, found: Option<oneshot::Sender<bool>>) {
        let is_here = self.calls.contains_key(&call);
        if let Some(found) = found {
            let _ = found.send(is_here);
        }
        match input {
            // A leg that was given on meanwhile takes what comes of it along.
            Input::Leg(leg, _) | Input::Media(leg, _) if self.owners.call(leg).is_some_and(|owner| owner != call) => {
                self.of_leg(leg, input);
            }
            _ if is_here => self.tell(call, input),
            Input::Peer(from, message) => self.drive.undelivered(from, call, message),
            // It was to take the place of a leg of a call that is over.
            Input::Leg(leg, LegEvent::Offered(_)) => self.drive.refuse(leg),
            _ => self.stray.increment(1),
        }
    }

    fn guard(&mut self, leg: LegKey, event: &LegEvent) {
        if self.dialled.is_empty() || !self.dialled.contains(&leg) {
            return;
        }
        match event {
            LegEvent::Answered { .. } => self.drive.outbounds.answered(leg),
            LegEvent::Ended(_) => {
                self.dialled.remove(&leg);
                self.drive.outbounds.ended(leg);
            }
            _ => {}
        }
    }

    fn begin(&mut self, leg: LegKey, mut offered: Box<Offered>) {
        match self.drive.lanes.take_expected(leg).map(|expected| *expected) {
            None => self.stray.increment(1),
            Some(Expected::Replacing { old, origin }) => {
                offered.origin = origin;
                match self.owners.call(old) {
                    Some(call) => self.drive.to_call(call, Input::Leg(leg, LegEvent::Offered(offered))),
                    None => self.drive.refuse(leg),
                }
            }
            Some(Expected::Call { call, route, place, origin, media_networks }) => {
                offered.origin = origin;
                offered.media_networks = media_networks;
                let (caller, number) = (Some(offered.caller.clone()), route.number.clone());
                self.owners.own(leg, call, self.number);
                self.start(call, route, place, caller, number, vec![leg], Begin::Offered { leg, offered });
            }
        }
    }

    fn place(&mut self, placed: Placed) {
        let Placed { call, route, place, from, outgoing, begun } = placed;
        self.start(call, route, place, None, from, Vec::new(), Begin::Dial(outgoing));
        let _ = begun.send(());
    }

    #[expect(clippy::too_many_arguments, reason = "all that a call begins with")]
    fn start(
        &mut self,
        id: CallId,
        route: Arc<Route>,
        place: Place,
        caller: Option<String>,
        number: String,
        legs: Vec<LegKey>,
        begin: Begin,
    ) {
        let setup = Setup {
            call: id,
            tenant: route.tenant,
            application: route.plan.clone(),
            number,
            begin,
            ids: self.drive.ids.clone(),
            legs: self.drive.legs.clone(),
            lane: self.number,
        };
        let now = self.clock.now();
        let call = Call::new(now, setup, &mut self.outputs);
        self.calls.insert(id, Slot { call, route, caller, legs, deadline: None, _place: place });
        self.settle(id);
    }

    fn tell(&mut self, id: CallId, input: Input) {
        let Some(slot) = self.calls.get_mut(&id) else {
            self.stray.increment(1);
            return;
        };
        slot.call.handle(self.clock.now(), input, &mut self.outputs);
        self.settle(id);
    }

    /// Carries out what the brain said, and notes its next deadline.
    fn settle(&mut self, id: CallId) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut is_over = false;
        for output in outputs.drain(..) {
            is_over |= !self.carry(id, output);
        }
        self.outputs = outputs;
        let Some(slot) = self.calls.get_mut(&id) else { return };
        if let Some(at) = slot.deadline.take() {
            self.deadlines.remove(&(at, id));
        }
        if is_over {
            for leg in std::mem::take(&mut slot.legs) {
                self.forget(leg);
            }
            self.calls.remove(&id);
            return;
        }
        if let Some((at, _reason)) = slot.call.next_deadline() {
            slot.deadline = Some(at);
            self.deadlines.insert((at, id));
        }
    }

    /// What concerns the lane; the rest goes to the drivers. False for the last output of a call.
    fn carry(&mut self, id: CallId, output: Output) -> bool {
        let Some(slot) = self.calls.get_mut(&id) else { return true };
        match output {
            Output::Own { leg } => {
                slot.legs.push(leg);
                self.owners.own(leg, id, self.number);
            }
            Output::Forget { leg } => {
                slot.legs.retain(|other| *other != leg);
                self.forget(leg);
            }
            Output::Release { leg, to } => {
                slot.legs.retain(|other| *other != leg);
                self.owners.release(leg, id, to);
                if leg.lane() != self.number
                    && let Some(home) = self.drive.lanes.lane(leg.lane())
                {
                    home.send(Message::Moved { leg, to });
                }
            }
            Output::Leg(leg, callbox_model::LegCommand::Dial { ask, way, body, headers, timeout_ms }) => {
                let route = slot.route.clone();
                if self.drive.may_dial(id, leg, &route, &way, ask) {
                    self.dialled.insert(leg);
                    let dial = callbox_model::LegCommand::Dial { ask, way, body, headers, timeout_ms };
                    self.drive.signal.send(leg, dial);
                }
            }
            Output::Resolve { ask, targets, caller_id } => {
                let (route, caller) = (slot.route.clone(), slot.caller.clone());
                let result = self.drive.resolve(&route, caller.as_deref(), &targets, caller_id.as_deref());
                self.drive.to_call(id, Input::Resolved { ask, result });
            }
            Output::StartControl { run, module, info } => self.drive.start(id, &slot.route, run, module, *info),
            other => return self.drive.carry(id, other),
        }
        true
    }

    /// The leg is no more: its home, and whoever passed it on, forgets it too.
    fn forget(&mut self, leg: LegKey) {
        self.dialled.remove(&leg);
        if self.owners.forget(leg) {
            for (number, inbox) in self.drive.lanes.all().iter().enumerate() {
                if number != usize::from(self.number) {
                    inbox.send(Message::Forget(leg));
                }
            }
        }
    }

    fn wake_due(&mut self) {
        let now = self.clock.at();
        // Once each: a call that is due again at once comes after what has arrived meanwhile.
        let due: Vec<_> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|&(_, id)| id).collect();
        for id in due {
            self.tell(id, Input::Tick);
        }
    }
}

/// The longest that a message which wakes nobody waits.
const PATIENCE: Duration = Duration::from_secs(1);
