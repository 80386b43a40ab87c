//! The task that writes batch after batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callbox_model::{Change, Subject, Wall};
use tokio::time::{sleep, timeout};

use super::Ledger;
use super::queue::Shared;
use crate::{Entry, Note};

pub(super) async fn run(ledger: impl Ledger, shared: Arc<Shared>, wall: fn() -> Wall) {
    loop {
        if shared.is_empty() {
            if shared.closing.load(Ordering::Acquire) {
                return;
            }
            shared.arrived.notified().await;
            continue;
        }
        gather(&shared).await;
        let batch = shared.take();
        if !batch.is_empty() {
            write(&ledger, &shared, batch).await;
        }
        if let Some(left_out) = shared.to_say() {
            tracing::warn!(left_out, "the store was too slow: details were left out");
            let change = Change::LimitReached {
                limit: "store.queue".to_owned(),
                detail: format!("{left_out} details of calls were left out, since too much waited to be written"),
            };
            // It is no detail, so it is taken.
            let _ = shared.push(Entry::Note(Note { subject: Subject::Node, tenant: None, at: wall(), change }));
        }
    }
}

/// Waits for company, up to the interval.
async fn gather(shared: &Shared) {
    let company = async {
        while !shared.is_due() {
            shared.full.notified().await;
        }
    };
    // Its end is as good as a full batch.
    let _ = timeout(Duration::from_millis(shared.config.interval_ms.into()), company).await;
}

/// Until it is written. What the store will never take is put aside, with a word in the log.
async fn write(ledger: &impl Ledger, shared: &Shared, batch: Vec<Entry>) {
    let Err(refused) = persist(ledger, shared, &batch).await else {
        shared.finish(batch.len(), 0);
        return;
    };
    tracing::error!(error = %refused, "a batch was refused: its entries are written one by one");
    for entry in &batch {
        let one = std::slice::from_ref(entry);
        match persist(ledger, shared, one).await {
            Ok(()) => shared.finish(1, 0),
            Err(why) => {
                tracing::error!(entry = name(entry), error = %why, "an entry was refused, and is lost");
                shared.finish(0, 1);
            }
        }
    }
}

/// Tries until the database has it. Gives up on errors that no later attempt would mend.
async fn persist(ledger: &impl Ledger, shared: &Shared, entries: &[Entry]) -> Result<(), crate::Error> {
    let mut pause = Duration::from_millis(shared.config.retry_ms.max(1).into());
    loop {
        let error = match ledger.commit(entries).await {
            Ok(()) => return Ok(()),
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error),
        };
        tracing::warn!(error = %error, entries = entries.len(), retry_ms = pause.as_millis() as u64, "not written yet");
        shared.fail(error.to_string());
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(shared.config.longest_retry_ms.into()));
    }
}

/// Without what callers and modules have said.
fn name(entry: &Entry) -> String {
    match entry {
        Entry::Event(event) => format!("event {} {}", event.subject, event.sequence),
        Entry::Run(run) => format!("run {}", run.id),
        Entry::Note(note) => format!("note of {}", note.subject),
        Entry::Outbound(leg) => format!("leg {} of {}", leg.leg, leg.call),
    }
}
