//! The writer, over a ledger that can be made to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use callbox_model::{CallId, Change, Event, Subject, TenantId};

use super::*;
use crate::{Error, Future, Note};

/// Keeps what it is given, when it wants to.
#[derive(Debug, Default)]
struct Fake {
    is_away: AtomicBool,
    batches: AtomicUsize,
    sequences: Mutex<BTreeMap<CallId, Vec<u64>>>,
    notes: Mutex<Vec<Note>>,
}

impl Fake {
    fn sequences(&self, call: u128) -> Vec<u64> {
        let call = CallId::from_u128(call);
        self.sequences.lock().unwrap().get(&call).cloned().unwrap_or_default()
    }
}

impl Ledger for Arc<Fake> {
    fn commit<'a>(&'a self, batch: &'a [Entry]) -> Future<'a, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.is_away.load(Ordering::Relaxed) {
                return Err(Error::Unavailable { attempted: "write", source: "gone fishing".into() });
            }
            let is_refused = |entry: &Entry| matches!(entry, Entry::Event(event) if event.subject == Subject::Call(CallId::from_u128(REFUSED)));
            if batch.iter().any(is_refused) {
                return Err(Error::Refused { what: "event", id: String::new(), why: "never".to_owned() });
            }
            self.batches.fetch_add(1, Ordering::Relaxed);
            for entry in batch {
                match entry {
                    Entry::Event(event) => {
                        if let Subject::Call(call) = event.subject {
                            self.sequences.lock().unwrap().entry(call).or_default().push(event.sequence);
                        }
                    }
                    Entry::Note(note) => self.notes.lock().unwrap().push(note.clone()),
                    Entry::Run(_) | Entry::Outbound(_) => {}
                }
            }
            Ok(())
        })
    }
}

fn event(call: u128, sequence: u64, is_detail: bool) -> Event {
    let change = match is_detail {
        true => Change::DigitPressed { leg: 1, digit: '1', length_ms: 100 },
        false => Change::CallRinging { status: 180 },
    };
    let subject = Subject::Call(CallId::from_u128(call));
    Event { subject, sequence, tenant: Some(TenantId::from_u128(1)), at: Wall(1), change }
}

fn quick() -> Config {
    Config { retry_ms: 1, longest_retry_ms: 5, interval_ms: 1, ..Config::default() }
}

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn everything_is_written_in_order_and_in_batches() {
    let fake = Arc::new(Fake::default());
    let writer = start(fake.clone(), Config { batch: 100, ..quick() }, || Wall(0));
    for sequence in 1..=1_050 {
        writer.try_record(event(1, sequence, sequence % 2 == 0)).unwrap();
    }
    writer.flush(SOON).await.unwrap();
    assert_eq!(fake.sequences(1), (1..=1_050).collect::<Vec<_>>());
    assert!(fake.batches.load(Ordering::Relaxed) <= 20, "{:?} batches", fake.batches);
    assert_eq!(writer.load(), 0.0);
    // With nothing to write, there is nothing to wait for.
    writer.flush(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_lone_entry_does_not_wait_for_a_batch() {
    let fake = Arc::new(Fake::default());
    let writer = start(fake.clone(), quick(), || Wall(0));
    writer.try_record(event(1, 1, false)).unwrap();
    while fake.sequences(1).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(writer.health().written, 1);
}

#[tokio::test]
async fn while_the_database_is_away_all_of_it_waits() {
    let fake = Arc::new(Fake::default());
    fake.is_away.store(true, Ordering::Relaxed);
    let writer = start(fake.clone(), quick(), || Wall(0));
    for sequence in 1..=100 {
        writer.try_record(event(1, sequence, false)).unwrap();
    }
    let late = writer.flush(Duration::from_millis(50)).await.unwrap_err();
    assert!(late.to_string().contains("gone fishing"), "{late}");
    assert_eq!(writer.health().waiting, 100);
    fake.is_away.store(false, Ordering::Relaxed);
    writer.flush(SOON).await.unwrap();
    assert_eq!(fake.sequences(1), (1..=100).collect::<Vec<_>>());
    assert_eq!(writer.health().failing, None);
}

#[tokio::test]
async fn details_are_left_out_and_counted_the_rest_is_not() {
    let fake = Arc::new(Fake::default());
    fake.is_away.store(true, Ordering::Relaxed);
    let writer = start(fake.clone(), Config { queue: 10, ..quick() }, || Wall(9));
    for sequence in 1..=8 {
        writer.try_record(event(1, sequence, true)).unwrap();
    }
    assert!((writer.load() - 0.8).abs() < 0.001);
    for sequence in 9..=11 {
        assert_eq!(writer.try_record(event(1, sequence, true)), Err(Full));
    }
    assert_eq!(writer.try_record(event(2, 1, true)), Err(Full));
    // Far past the queue's end, and without a hole where the details were.
    for sequence in 12..=31 {
        writer.try_record(event(1, sequence, false)).unwrap();
    }
    writer.try_record(event(2, 2, false)).unwrap();
    writer.try_record(event(3, 1, false)).unwrap();
    assert!(writer.load() > 2.0);
    fake.is_away.store(false, Ordering::Relaxed);
    writer.flush(SOON).await.unwrap();
    assert_eq!(fake.sequences(1), (1..=28).collect::<Vec<_>>());
    assert_eq!(fake.sequences(2), [1]);
    assert_eq!(fake.sequences(3), [1]);
    // Details go in again, still without a hole, and the ledger says what it lacks.
    writer.try_record(event(1, 32, true)).unwrap();
    writer.flush(SOON).await.unwrap();
    assert_eq!(fake.sequences(1).last(), Some(&29));
    assert_eq!(writer.health().left_out, 4);
    let said = loop {
        writer.flush(SOON).await.unwrap();
        if let Some(note) = fake.notes.lock().unwrap().first().cloned() {
            break note;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((said.subject, said.at), (Subject::Node, Wall(9)));
    assert!(
        matches!(&said.change, Change::LimitReached { limit, detail } if limit == "store.queue" && detail.starts_with("4 "))
    );
}

#[tokio::test]
async fn an_entry_that_is_refused_takes_no_other_with_it() {
    let fake = Arc::new(Fake::default());
    let writer = start(fake.clone(), quick(), || Wall(0));
    for sequence in 1..=10 {
        writer.try_record(event(1, sequence, false)).unwrap();
    }
    writer.try_record(event(REFUSED, 1, false)).unwrap();
    writer.try_record(event(2, 1, false)).unwrap();
    writer.flush(SOON).await.unwrap();
    assert_eq!(fake.sequences(1), (1..=10).collect::<Vec<_>>());
    assert_eq!(fake.sequences(2), [1]);
    let health = writer.health();
    assert_eq!((health.written, health.refused, health.waiting), (11, 1, 0));
}

#[tokio::test]
async fn what_waits_is_written_after_the_last_handle_is_gone() {
    let fake = Arc::new(Fake::default());
    let writer = start(fake.clone(), Config { interval_ms: 600_000, ..quick() }, || Wall(0));
    let other = writer.clone();
    drop(writer);
    other.try_record(event(1, 1, false)).unwrap();
    drop(other);
    while fake.sequences(1).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The task is gone, and has let go of the store.
    while Arc::strong_count(&fake) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Events of this call are refused for ever.
const REFUSED: u128 = 666;
