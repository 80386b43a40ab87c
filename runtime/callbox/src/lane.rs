//! A lane: one thread that owns calls. No call's state is ever touched by another thread.
//!
//! What happens to a call comes in as a [`Message`]; the call brain says what follows; `drive`
//! carries that to the drivers. A lane waits for nothing else: no database, no module, no packet.

mod inbox;

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use callbox_call::{Call, Input, Output, Setup};
use callbox_model::{CallId, Instant, LegEvent, LegKey, MediaEvent, Offered};
use callbox_sandbox::SandboxEvent;

use crate::admission::Place;
use crate::clock::Clock;
use crate::directory::Route;
use crate::drive::Drive;

pub use inbox::Inbox;

pub enum Message {
    Leg(LegKey, LegEvent),
    Media(LegKey, MediaEvent),
    Sandbox(SandboxEvent),
    /// From the API, or the node's end. Answered whether there is such a call here.
    Ask {
        call: CallId,
        input: Box<Input>,
        found: Option<tokio::sync::oneshot::Sender<bool>>,
    },
    /// Every call of the lane hears it.
    All(fn() -> Input),
    Stop,
}

/// What admission decided, waiting for the leg's first event.
pub struct Expected {
    pub call: CallId,
    pub route: Arc<Route>,
    pub place: Place,
}

pub struct Lane {
    clock: Clock,
    inbox: Inbox,
    calls: HashMap<CallId, Slot>,
    legs: HashMap<LegKey, CallId>,
    deadlines: BTreeSet<(Instant, CallId)>,
    outputs: Vec<Output>,
    drive: Drive,
    stray: metrics::Counter,
}

struct Slot {
    call: Call,
    route: Arc<Route>,
    legs: Vec<LegKey>,
    deadline: Option<Instant>,
    /// Gives the tenant's place back when the call is over.
    _place: Place,
}

impl Lane {
    pub fn new(clock: Clock, inbox: Inbox, drive: Drive) -> Self {
        Self {
            clock,
            inbox,
            calls: HashMap::new(),
            legs: HashMap::new(),
            deadlines: BTreeSet::new(),
            outputs: Vec::new(),
            drive,
            stray: metrics::counter!("lane_stray_messages_total"),
        }
    }

    /// Until it is told to stop.
    pub fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.inbox.take(self.until_deadline(), &mut batch);
            let count = batch.len();
            for message in batch.drain(..) {
                if self.hear(message).is_break() {
                    return;
                }
            }
            self.inbox.done(count);
            self.wake_due();
        }
    }

    fn until_deadline(&self) -> Option<Duration> {
        let (at, _) = self.deadlines.first()?;
        Some(at.since(self.clock.at()).min(PATIENCE))
    }

    fn hear(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Leg(leg, LegEvent::Offered(offered)) => self.begin(leg, offered),
            Message::Leg(leg, event) => match self.legs.get(&leg) {
                Some(&call) => self.tell(call, Input::Leg(leg, event)),
                None => self.stray.increment(1),
            },
            Message::Media(leg, event) => match self.legs.get(&leg) {
                Some(&call) => self.tell(call, Input::Media(leg, event)),
                None => self.stray.increment(1),
            },
            Message::Sandbox(event) => {
                let (call, input) = crate::drive::from_sandbox(event);
                self.tell(call, input);
            }
            Message::Ask { call, input, found } => {
                let is_here = self.calls.contains_key(&call);
                if let Some(found) = found {
                    let _ = found.send(is_here);
                }
                if is_here {
                    self.tell(call, *input);
                }
            }
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

    fn begin(&mut self, leg: LegKey, offered: Box<Offered>) {
        let Some(expected) = self.drive.lanes.take_expected(leg) else {
            self.stray.increment(1);
            return;
        };
        let Expected { call: id, route, place } = *expected;
        let setup = Setup {
            call: id,
            tenant: route.tenant,
            application: route.plan.clone(),
            number: route.number.clone(),
            leg,
            offered,
            ids: self.drive.ids.clone(),
        };
        self.legs.insert(leg, id);
        let now = self.clock.now();
        let call = Call::new(now, setup, &mut self.outputs);
        self.calls.insert(id, Slot { call, route, legs: vec![leg], deadline: None, _place: place });
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
        let Some(slot) = self.calls.get_mut(&id) else { return };
        let mut over = false;
        for output in self.outputs.drain(..) {
            over |= !self.drive.carry(id, &slot.route, output);
        }
        if let Some(at) = slot.deadline.take() {
            self.deadlines.remove(&(at, id));
        }
        if over {
            for leg in &slot.legs {
                self.legs.remove(leg);
            }
            self.calls.remove(&id);
            return;
        }
        if let Some((at, _reason)) = slot.call.next_deadline() {
            slot.deadline = Some(at);
            self.deadlines.insert((at, id));
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
