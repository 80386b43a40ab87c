//! The node's way to write things down: it never waits.
//!
//! [`WriterHandle::try_record`] puts an entry into a queue in memory; a task writes it out in
//! batches. While the database is away or the disk is full, entries wait, and are tried again.
//! What may be left out ([`callbox_model::Change::is_detail`]) is left out and counted past a
//! mark; the rest is taken even when the queue is full, since the node lets no new call in long
//! before ([`WriterHandle::load`]), and the calls that are there have only so much to say.

mod carry;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callbox_model::Wall;
use thiserror::Error;
use tokio::time::timeout;

use crate::{Entry, Store};
use queue::Shared;

/// Starts the task that writes.
#[derive(Debug)]
pub struct Writer;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Entries that may wait. Default 65,536: some thousand calls' worth, and less than 100 MB.
    pub queue: usize,
    /// How full the queue may be, in hundredths, before details are left out. Default 80.
    pub details_percent: u8,
    /// Entries of one batch. Default 500: beyond that a batch is no cheaper by the entry.
    pub batch: usize,
    /// How long an entry waits for others. Default 100: one transaction for all that happens
    /// meanwhile, and hardly more than anyone notices.
    pub interval_ms: u32,
    /// Between the first two attempts of a batch; doubles each time. Default 50.
    pub retry_ms: u32,
    /// What it doubles to. Default 5,000.
    pub longest_retry_ms: u32,
}

/// Cheap to clone. When the last one is dropped, what waits is still written.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// The queue is too full for a detail. It was counted, and the ledger will say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too much waits to be written: a detail was left out")]
pub struct Full;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotWritten {
    #[error("{waiting} entries are not written after {waited:?}: {}", .reason.as_deref().unwrap_or("too many"))]
    Late { waiting: usize, waited: Duration, reason: Option<String> },
}

/// How the writer does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Entries that wait, those of the batch at hand among them.
    pub waiting: usize,
    /// Written since the start.
    pub written: u64,
    /// Details left out since the start.
    pub left_out: u64,
    /// Entries that the store would never take, since the start. Each is in the log.
    pub refused: u64,
    /// Why the batch at hand is not written yet. None when all is well.
    pub failing: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { queue: 65_536, details_percent: 80, batch: 500, interval_ms: 100, retry_ms: 50, longest_retry_ms: 5_000 }
    }
}

impl Writer {
    /// `wall` is asked when the writer has something to say of its own. Needs a tokio runtime.
    pub fn start(store: Arc<dyn Store>, config: Config, wall: fn() -> Wall) -> WriterHandle {
        start(store, config, wall)
    }
}

fn start(ledger: impl Ledger, config: Config, wall: fn() -> Wall) -> WriterHandle {
    let shared = Arc::new(Shared::new(config));
    tokio::spawn(carry::run(ledger, Arc::clone(&shared), wall));
    let open = Arc::new(Open { shared: Arc::clone(&shared) });
    WriterHandle { shared, _open: open }
}

/// The one thing that the writer needs of a store.
trait Ledger: Send + Sync + 'static {
    fn commit<'a>(&'a self, batch: &'a [Entry]) -> crate::Future<'a, ()>;
}

impl Ledger for Arc<dyn Store> {
    fn commit<'a>(&'a self, batch: &'a [Entry]) -> crate::Future<'a, ()> {
        (**self).commit(batch)
    }
}

impl WriterHandle {
    /// Never waits. [`Full`] is said of details only.
    pub fn try_record(&self, entry: impl Into<Entry>) -> Result<(), Full> {
        self.shared.push(entry.into())
    }

    /// How full the queue is; past 1 when what may not be left out did not fit. Admission goes by it.
    pub fn load(&self) -> f32 {
        self.shared.load()
    }

    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Waits until everything that was recorded before is written.
    pub async fn flush(&self, within: Duration) -> Result<(), NotWritten> {
        let target = self.shared.hurry();
        let mut written = self.shared.done.subscribe();
        let all = written.wait_for(|&done| done >= target);
        match timeout(within, all).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let health = self.health();
                Err(NotWritten::Late { waiting: health.waiting, waited: within, reason: health.failing })
            }
        }
    }
}

/// Dropped with the last handle.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.arrived.notify_one();
        self.shared.full.notify_one();
    }
}
