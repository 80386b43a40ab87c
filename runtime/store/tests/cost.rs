//! What a call costs the store. Run it alone, in release:
//! `cargo test -p callbox-store --release --test cost -- --ignored --nocapture`.

#[path = "suite/world.rs"]
#[expect(dead_code, reason = "shared with the suite, which uses the rest")]
mod world;

use std::time::Instant;

use callbox_model::{ApplicationId, Change, TenantId};
use callbox_store::{Entry, Sqlite, Store, sqlite};
use world::{World, closed};

const CALLS: usize = 20_000;

/// Twenty events and three Runs, each of which is opened, marked and closed.
fn call(world: &World<Sqlite>) -> Vec<Entry> {
    let mut script = world.script(TenantId::from_u128(1), ApplicationId::from_u128(2));
    let mut batch = vec![script.start(), script.say(Change::CallAnswered)];
    for module in ["menu", "fallback", "callbox"] {
        let run = world.run(&script, module, 1_000);
        for step in 0..2 {
            batch.push(script.say(Change::StepStarted { step, kind: "play".to_owned(), detail: "a.wav".to_owned() }));
            batch.push(script.say(Change::StepEnded { step, kind: "play".to_owned(), outcome: "done".to_owned() }));
            batch.push(Entry::Run(run.clone()));
        }
        batch.push(Entry::Run(closed(run)));
    }
    for leg in 0..5 {
        batch.push(script.say(Change::LegStarted { leg, address: "sip:100@example.org".to_owned() }));
    }
    batch.push(script.end(true, 3_000, 2_000));
    batch
}

/// User and system time of the whole process, in hundredths of a second (Linux).
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn cost_of_a_call() {
    for size in [50, 200, 500] {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(sqlite::Config::new(folder.path().join("callbox.db"))).await.unwrap();
        let world = World::new(store);
        let entries: Vec<Entry> = (0..CALLS).flat_map(|_| call(&world)).collect();
        let (ticks, began) = (cpu_ticks(), Instant::now());
        for batch in entries.chunks(size) {
            world.store.commit(batch).await.unwrap();
        }
        let cpu_us = (cpu_ticks() - ticks) * 10_000 / CALLS as u64;
        let wall_us = began.elapsed().as_micros() / CALLS as u128;
        println!(
            "batches of {size}: {cpu_us} us CPU, {wall_us} us wall for a call of {} entries",
            entries.len() / CALLS
        );
    }
}
