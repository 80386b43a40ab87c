//! A process that is killed: what it was told is written, is there, once.
//!
//! The test runs itself as a child, which records as fast as it can and says what was
//! acknowledged; it is killed in the middle, ten times, over one and the same file.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use callbox_model::{
    ApplicationId, CallId, CallStatus, Change, Direction, Event, Run, RunId, RunKind, RunUsage, Subject, TenantId, Wall,
};
use callbox_store::writer::Config;
use callbox_store::{CallFilter, Entry, EventFilter, Lost, Page, Scope, Sqlite, Store, Writer, sqlite};

const FILE: &str = "CALLBOX_KILLED_FILE";
const LIFE: &str = "CALLBOX_KILLED_LIFE";
const LIVES: u64 = 10;
const EVENTS: u64 = 20;

fn call_id(life: u64, number: u64) -> CallId {
    CallId::from_u128(u128::from(life) << 64 | u128::from(number))
}

/// All of a call but its end, so that each is open when the process dies.
fn call(life: u64, number: u64) -> Vec<Entry> {
    let call = call_id(life, number);
    let tenant = TenantId::from_u128(1);
    let started = Wall(1_000_000 * number as i64);
    let event = |sequence, change| {
        Entry::Event(Event { subject: Subject::Call(call), sequence, tenant: Some(tenant), at: started, change })
    };
    let mut entries = vec![event(
        1,
        Change::CallStarted {
            application: ApplicationId::from_u128(1),
            direction: Direction::Inbound,
            caller: "100".to_owned(),
            called: "200".to_owned(),
            number: "200".to_owned(),
            sip_call_id: String::new(),
        },
    )];
    entries.push(Entry::Run(Run {
        id: RunId::from_u128(call.as_u128()),
        kind: RunKind::Control,
        call,
        tenant,
        application: ApplicationId::from_u128(1),
        module: None,
        module_name: "callbox".to_owned(),
        module_version: 0,
        handler: 0,
        began: started,
        marked: Wall(started.0 + 77),
        usage: RunUsage { holding_us: 77, cpu_ns: 5, ..RunUsage::default() },
        end: None,
    }));
    for sequence in 2..=EVENTS {
        entries.push(event(sequence, Change::CallRinging { status: 180 }));
    }
    entries
}

/// The child. Without the variable it is a test that has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let life: u64 = std::env::var(LIFE).unwrap().parse().unwrap();
    let store = Sqlite::open(sqlite::Config::new(file)).await.unwrap();
    let lost = store.close_lost(Wall(i64::MAX / 2)).await.unwrap();
    println!("lost {}", lost.calls);
    let config = Config { batch: 50, interval_ms: 1, ..Config::default() };
    let writer = Writer::start(Arc::new(store), config, || Wall(0));
    for number in 0.. {
        for entry in call(life, number) {
            writer.try_record(entry).unwrap();
        }
        if number % 5 == 4 {
            writer.flush(Duration::from_secs(60)).await.unwrap();
            println!("kept {number}");
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callbox.db");
    let mut acknowledged = BTreeMap::new();
    let mut lost = 0u64;
    for life in 0..LIVES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(FILE, &file)
            .env(LIFE, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut kept = None;
        // Killed after another number of acknowledgements each time, in the middle of the next.
        let mut wanted = 3 + life * 7 % 11;
        while wanted > 0 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(number) = line.strip_prefix("kept ") {
                kept = Some(number.parse::<u64>().unwrap());
                wanted -= 1;
            } else if let Some(number) = line.split("lost ").nth(1) {
                lost += number.parse::<u64>().unwrap();
            }
        }
        std::thread::sleep(Duration::from_micros(life * 733 % 5_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts too.
        for line in lines {
            if let Some(number) = line.unwrap_or_default().strip_prefix("kept ").and_then(|text| text.parse().ok()) {
                kept = Some(number);
            }
        }
        acknowledged.insert(life, kept.unwrap());
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(sqlite::Config::new(&file)).await.unwrap();
        lost += store.close_lost(Wall(i64::MAX / 2)).await.unwrap().calls;
        assert_eq!(store.close_lost(Wall(i64::MAX / 2)).await.unwrap(), Lost::default());

        let mut sequences: HashMap<Subject, u64> = HashMap::new();
        let mut after = 0;
        loop {
            let read = store.events(EventFilter::all(Scope::Operator), Page::after(after, 1_000)).await.unwrap();
            for found in &read.events {
                let last = sequences.entry(found.event.subject).or_default();
                assert_eq!(found.event.sequence, *last + 1, "{} has a hole, or something twice", found.event.subject);
                *last += 1;
            }
            if read.events.is_empty() {
                break;
            }
            after = read.end;
        }
        for (life, kept) in acknowledged {
            for number in 0..=kept {
                let id = call_id(life, number);
                let call = store.call(Scope::Operator, id).await.unwrap();
                assert_eq!(call.status, CallStatus::NodeLost);
                assert_eq!(call.ended.unwrap().0 - call.started.0, 77);
                // Its events, and the two that its recovery has written.
                assert_eq!(sequences[&Subject::Call(id)], EVENTS + 2, "{id}");
                let runs = store.runs(Scope::Operator, id).await.unwrap();
                assert_eq!((runs.len(), runs[0].usage.cpu_ns, runs[0].end.is_some()), (1, 5, true));
            }
        }
        // Every call that is there was lost once.
        let mut calls = 0;
        let mut page = Page::first(1_000);
        loop {
            let found = store.calls(CallFilter::all(Scope::Operator), page).await.unwrap();
            let Some(last) = found.last() else { break };
            calls += found.len() as u64;
            page = Page::after(last.id, 1_000);
        }
        assert_eq!(calls, lost);
    });
}
