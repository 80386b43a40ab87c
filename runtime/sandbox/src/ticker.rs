//! The epoch ticker: a tick a millisecond while guests are polled, and asleep when none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    polled: AtomicUsize,
    polls: AtomicU64,
    asleep: AtomicBool,
    over: AtomicBool,
    ticks: AtomicU64,
}

/// While it lives, a guest is being polled.
pub(crate) struct Polling<'a>(&'a Ticker);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            polled: AtomicUsize::new(0),
            polls: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
            ticks: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || tick(&engine, &theirs))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    pub(crate) fn polling(&self) -> Polling<'_> {
        self.shared.polled.fetch_add(1, SeqCst);
        self.shared.polls.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Polling(self)
    }

    pub(crate) fn ticks(&self) -> u64 {
        self.shared.ticks.load(SeqCst)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.shared.polled.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        self.thread.unpark();
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut quiet = 0;
    let mut seen = 0;
    while !shared.over.load(SeqCst) {
        let is_idle = shared.polled.load(SeqCst) == 0;
        std::thread::sleep(if is_idle { IDLE_TICK } else { TICK });
        engine.increment_epoch();
        shared.ticks.fetch_add(1, SeqCst);
        let polls = shared.polls.load(SeqCst);
        quiet = if polls == seen && shared.polled.load(SeqCst) == 0 { quiet + 1 } else { 0 };
        seen = polls;
        if quiet < QUIET_TICKS {
            continue;
        }
        // A poll that begins now sees `asleep`, or is seen here.
        shared.asleep.store(true, SeqCst);
        while shared.polled.load(SeqCst) == 0 && shared.polls.load(SeqCst) == seen && !shared.over.load(SeqCst) {
            std::thread::park();
        }
        shared.asleep.store(false, SeqCst);
        quiet = 0;
    }
}

const TICK: Duration = Duration::from_millis(1);
/// Between two polls. A guest that begins meanwhile has a longer first slice, and calls that only
/// answer and wait do not pay for a thousand wakes a second.
const IDLE_TICK: Duration = Duration::from_millis(4);
/// Ticks without a poll before it sleeps, so that busy times do not pay for waking it.
const QUIET_TICKS: u32 = 3;
