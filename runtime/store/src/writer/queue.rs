//! What waits to be written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use callbox_model::{CallId, Event, Subject};
use tokio::sync::{Notify, watch};

use super::{Config, Full, Health};
use crate::Entry;

/// Between the handles and the task.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    state: Mutex<State>,
    /// Entries in `state`, and in the batch at hand.
    waiting: AtomicUsize,
    pub(super) closing: AtomicBool,
    /// Something is there.
    pub(super) arrived: Notify,
    /// A whole batch is there, or somebody waits for what is there.
    pub(super) full: Notify,
    /// How many entries are done with, of all that were ever taken.
    pub(super) done: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Ever taken into `entries`.
    taken: u64,
    /// A flush waits for entries up to this one.
    awaited: u64,
    written: u64,
    left_out: u64,
    /// Of `left_out`, what the ledger does not know of yet.
    unsaid: u64,
    refused: u64,
    failing: Option<String>,
    /// How many of a call's details were left out: its later events move up by as many, so that
    /// its sequence has no hole. Calls that are over are forgotten when there are too many.
    moved_up: BTreeMap<CallId, u64>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            arrived: Notify::new(),
            full: Notify::new(),
            done: watch::Sender::new(0),
        }
    }

    pub(super) fn push(&self, mut entry: Entry) -> Result<(), Full> {
        let mut state = self.state();
        if is_detail(&entry) && self.is_tight() {
            state.leave_out(&entry);
            return Err(Full);
        }
        if let Entry::Event(event) = &mut entry {
            state.move_up(event);
        }
        state.entries.push_back(entry);
        state.taken += 1;
        let length = state.entries.len();
        // Under the lock, so that it never falls below what the task takes away.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        drop(state);
        if length == 1 {
            self.arrived.notify_one();
        } else if length == self.config.batch {
            self.full.notify_one();
        }
        Ok(())
    }

    /// At most a batch, in order.
    pub(super) fn take(&self) -> Vec<Entry> {
        let mut state = self.state();
        let length = state.entries.len().min(self.config.batch.max(1));
        state.entries.drain(..length).collect()
    }

    /// True when there is a reason not to wait for more.
    pub(super) fn is_due(&self) -> bool {
        let state = self.state();
        state.entries.len() >= self.config.batch
            || state.awaited > state.taken - state.entries.len() as u64
            || self.closing.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().entries.is_empty()
    }

    /// A batch is done with: some were written, some refused for ever.
    pub(super) fn finish(&self, written: usize, refused: usize) {
        let mut state = self.state();
        state.written += written as u64;
        state.refused += refused as u64;
        state.failing = None;
        self.waiting.fetch_sub(written + refused, Ordering::Relaxed);
        let done = state.written + state.refused;
        drop(state);
        self.done.send_replace(done);
    }

    pub(super) fn fail(&self, why: String) {
        self.state().failing = Some(why);
    }

    /// What was left out, once there is room again to say so.
    pub(super) fn to_say(&self) -> Option<u64> {
        if self.is_tight() {
            return None;
        }
        let mut state = self.state();
        let unsaid = std::mem::take(&mut state.unsaid);
        (unsaid > 0).then_some(unsaid)
    }

    /// Has everything written that is there; how many entries that is, of all that ever were.
    pub(super) fn hurry(&self) -> u64 {
        let mut state = self.state();
        state.awaited = state.taken;
        let target = state.taken;
        drop(state);
        self.full.notify_one();
        target
    }

    pub(super) fn load(&self) -> f32 {
        self.waiting.load(Ordering::Relaxed) as f32 / self.config.queue.max(1) as f32
    }

    pub(super) fn health(&self) -> Health {
        let state = self.state();
        Health {
            waiting: self.waiting.load(Ordering::Relaxed),
            written: state.written,
            left_out: state.left_out,
            refused: state.refused,
            failing: state.failing.clone(),
        }
    }

    fn is_tight(&self) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed) as u128;
        waiting * 100 >= self.config.queue as u128 * u128::from(self.config.details_percent)
    }

    /// A thread that panicked while it pushed has left nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave_out(&mut self, entry: &Entry) {
        self.left_out += 1;
        self.unsaid += 1;
        if let Entry::Event(Event { subject: Subject::Call(call), .. }) = entry {
            *self.moved_up.entry(*call).or_default() += 1;
            if self.moved_up.len() > MOST_MOVED {
                // Ids sort by time: the oldest call, which is over.
                self.moved_up.pop_first();
            }
        }
    }

    fn move_up(&self, event: &mut Event) {
        if let Subject::Call(call) = event.subject
            && let Some(by) = self.moved_up.get(&call)
        {
            event.sequence = event.sequence.saturating_sub(*by);
        }
    }
}

fn is_detail(entry: &Entry) -> bool {
    match entry {
        Entry::Event(event) => event.change.is_detail(),
        Entry::Note(note) => note.change.is_detail(),
        Entry::Run(run) => {
            // A mark is followed by a newer one; the beginning and the end are not.
            run.end.is_none() && run.marked > run.began
        }
        Entry::Outbound(_) => false,
    }
}

/// Far more calls than a node carries.
const MOST_MOVED: usize = 65_536;
