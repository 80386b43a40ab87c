//! The words of the driver's border, and what the two sides of a Run share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callbox_model::{
    ApplicationId, CallId, CallInfo, Fault, Limits, ModuleId, Outcome, RunId, RunUsage, Step, StepError, TenantId,
};
use tokio::sync::{Notify, oneshot};

use crate::meter::Meter;

/// Begins a Run.
#[derive(Clone, Debug)]
pub struct StartControl {
    pub call: CallId,
    pub run: RunId,
    pub tenant: TenantId,
    pub application: ApplicationId,
    pub module: ModuleId,
    /// Of the component, as [`crate::Described`] had it.
    pub digest: String,
    pub info: CallInfo,
    /// What `config.get` reads.
    pub config: Arc<BTreeMap<String, String>>,
    /// What `config.secret` reads.
    pub secrets: Arc<BTreeMap<String, String>>,
    pub limits: Arc<Limits>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SandboxEvent {
    pub call: CallId,
    pub run: RunId,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The guest waits until [`crate::Handle::outcome`] brings the outcome with the same `ask`.
    Step {
        ask: u64,
        step: Step,
    },
    /// Asked for with [`crate::Handle::sample`].
    Sampled(RunUsage),
    Log {
        level: &'static str,
        message: String,
    },
    /// The last event of a Run, exactly once for each [`crate::Handle::start`].
    Ended {
        end: GuestEnd,
        usage: RunUsage,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum GuestEnd {
    Ok,
    /// `handle` returned this.
    Err(StepError),
    Fault(Fault),
    /// By [`crate::Handle::stop`], or the driver's end.
    Stopped,
}

/// Where events go. It is called on the guests' threads and must not block.
pub(crate) type Events = Arc<dyn Fn(SandboxEvent) + Send + Sync>;

pub(crate) struct Run {
    pub(crate) call: CallId,
    pub(crate) id: RunId,
    pub(crate) tenant: TenantId,
    pub(crate) application: ApplicationId,
    pub(crate) module: ModuleId,
    pub(crate) limits: Arc<Limits>,
    pub(crate) stop: Notify,
    events: Events,
    meter: Mutex<Meter>,
    /// A guest is synchronous: it waits for one thing at a time.
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    count: u64,
    waiting: Option<oneshot::Sender<Outcome>>,
}

impl Run {
    pub(crate) fn new(start: &StartControl, events: Events) -> Self {
        Self {
            call: start.call,
            id: start.run,
            tenant: start.tenant,
            application: start.application,
            module: start.module,
            limits: Arc::clone(&start.limits),
            stop: Notify::new(),
            events,
            meter: Mutex::new(Meter::new(Instant::now(), &start.limits)),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, what: What) {
        (self.events)(SandboxEvent { call: self.call, run: self.id, what });
    }

    /// Time that the node takes is not counted against the guest.
    pub(crate) async fn waiting<T>(&self, answer: impl Future<Output = T>) -> T {
        self.meter().waits(Instant::now());
        let answer = answer.await;
        self.meter().goes_on(Instant::now());
        answer
    }

    /// Asks for a step. The answer may come before this returns.
    pub(crate) fn ask(&self, step: Step) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let ask = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.count += 1;
            asked.waiting = Some(sender);
            asked.count
        };
        self.meter().waits(Instant::now());
        self.tell(What::Step { ask, step });
        receiver
    }

    /// False for an outcome that nobody waits for, or no longer.
    pub(crate) fn answer(&self, ask: u64, outcome: Outcome) -> bool {
        let waiting = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.count == ask { asked.waiting.take() } else { None }
        };
        let Some(waiting) = waiting else { return false };
        self.meter().stepped(Instant::now());
        waiting.send(outcome).is_ok()
    }
}
