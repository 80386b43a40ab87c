//! A disk that is full: nothing is lost, nothing is half done, and it goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use callbox_model::{CallId, Change, Event, Subject, Tenant, TenantId, TenantState, Wall};
use callbox_store::writer::Config;
use callbox_store::{Entry, Error, EventFilter, Page, Scope, Sqlite, Store, Writer, sqlite};

fn event(call: u128, sequence: u64) -> Event {
    Event {
        subject: Subject::Call(CallId::from_u128(call)),
        sequence,
        tenant: Some(TenantId::from_u128(1)),
        at: Wall(1),
        change: Change::MessageSent { sender: "x".repeat(2_000) },
    }
}

async fn open(folder: &tempfile::TempDir, most_bytes: Option<u64>) -> Sqlite {
    let config = sqlite::Config { most_bytes, ..sqlite::Config::new(folder.path().join("callbox.db")) };
    Sqlite::open(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_fit_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Some(1 << 20)).await;
    // Larger than SQLite's page cache, so that it spills before it fails.
    let batch: Vec<_> = (1..=4_000).map(|sequence| Entry::Event(event(1, sequence))).collect();
    for _ in 0..3 {
        let error = store.commit(&batch).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }) && error.may_pass(), "{error}");
        assert!(error.to_string().contains("full"), "{error}");
    }
    assert_eq!(*store.position().borrow(), 0);
    // A small one has room still, on the same connection or a new one.
    store.commit(&[Entry::Event(event(2, 1))]).await.unwrap();
    let found = store.events(EventFilter::all(Scope::Operator), Page::first(10)).await.unwrap();
    assert_eq!(found.events.len(), 1);
    assert_eq!(*store.position().borrow(), found.events[0].position);

    store.set_most_bytes(None).await.unwrap();
    store.commit(&batch).await.unwrap();
    assert_eq!(store.last_sequence(Subject::Call(CallId::from_u128(1))).await.unwrap(), 4_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_waits_for_room_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Some(1 << 20)).await;
    let config = Config { retry_ms: 5, longest_retry_ms: 20, ..Config::default() };
    let writer = Writer::start(Arc::new(store.clone()), config, || Wall(0));
    for sequence in 1..=2_000 {
        writer.try_record(event(1, sequence)).unwrap();
    }
    let late = writer.flush(Duration::from_millis(500)).await.unwrap_err();
    assert!(late.to_string().contains("full"), "{late}");
    let health = writer.health();
    assert!(health.failing.is_some() && health.waiting > 0, "{health:?}");
    assert!(writer.load() > 0.0);
    let check = store.check().await;
    assert!(check.is_ok() || check.is_err_and(|error| error.may_pass()));

    store.set_most_bytes(None).await.unwrap();
    writer.flush(Duration::from_secs(30)).await.unwrap();
    let health = writer.health();
    assert_eq!((health.written, health.refused, health.waiting, health.failing), (2_000, 0, 0, None));
    let subject = Subject::Call(CallId::from_u128(1));
    let mut sequences = Vec::new();
    while sequences.len() < 2_000 {
        let after = sequences.last().copied().unwrap_or(0);
        let page = store.history(Scope::Operator, subject, Page::after(after, 1_000)).await.unwrap();
        assert!(!page.is_empty());
        sequences.extend(page.iter().map(|found| found.event.sequence));
    }
    assert_eq!(sequences, (1..=2_000).collect::<Vec<_>>());
}

/// A change of the API is refused, with its event, and can be made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_does_not_fit_is_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, None).await;
    let tenant = |number| Tenant {
        id: TenantId::from_u128(number),
        name: format!("{number}{}", "x".repeat(3_000)),
        state: TenantState::Active,
        created: Wall(0),
    };
    store.create_tenant(&tenant(0)).await.unwrap();
    // The limit is never below what is there: no page may be added from now on.
    store.set_most_bytes(Some(1)).await.unwrap();
    let mut made = 1;
    let refused = loop {
        match store.create_tenant(&tenant(made)).await {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 100, "the limit holds nothing back");
    };
    assert!(refused.may_pass(), "{refused}");
    let told = store.events(EventFilter::all(Scope::Operator), Page::first(1_000)).await.unwrap();
    assert_eq!(told.events.len() as u128, made);
    assert_eq!(store.directory().await.unwrap().tenants.len() as u128, made);
    store.set_most_bytes(None).await.unwrap();
    store.create_tenant(&tenant(made)).await.unwrap();
}
