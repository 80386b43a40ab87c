//! What a call and a REGISTER cost the store. Run it alone, in release:
//! `cargo test -p callbox-store --release --test cost -- --ignored --nocapture`.

#[path = "suite/world.rs"]
#[expect(dead_code, reason = "shared with the suite, which uses the rest")]
mod world;

use std::time::Instant;

use callbox_model::{ApplicationId, Change, Registration, TenantId, UserId, Wall};
use callbox_store::{Entry, RegistrationChange, Sqlite, Store, sqlite};
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

const PHONES: usize = 5_000;

fn put(user: UserId, cseq: u32, at: Wall) -> RegistrationChange {
    let registration = Registration {
        user,
        contact: format!("sip:{user}@192.0.2.1:40123;transport=tcp;ob"),
        instance: Some("<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>".to_owned()),
        reg_id: Some(1),
        path: Vec::new(),
        q_permille: 1_000,
        sip_call_id: "843817637684230@998sdasdh09".to_owned(),
        cseq,
        transport: "tcp".to_owned(),
        remote: ([192, 0, 2, 1], 40_123).into(),
        local: ([192, 0, 2, 2], 5_060).into(),
        user_agent: Some("phone/1.0".to_owned()),
        expires: Wall(at.0 + 3_600_000_000 + i64::from(cseq)),
    };
    RegistrationChange::Put { registration, at }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn cost_of_a_register() {
    for size in [1, 100, 1_000] {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(Sqlite::open(sqlite::Config::new(folder.path().join("callbox.db"))).await.unwrap());
        let tenant = world.tenant("owner").await;
        world.domain(tenant, "example.org").await;
        let mut users = Vec::with_capacity(PHONES);
        for number in 0..PHONES {
            users.push(world.user(tenant, "example.org", &number.to_string()).await.id);
        }
        let began = Instant::now();
        world.store.directory().await.unwrap();
        println!("the directory with {PHONES} users: {} ms", began.elapsed().as_millis());
        for (cseq, what) in [(1, "first"), (2, "renewed")] {
            let changes: Vec<_> = users.iter().map(|&user| put(user, cseq, world.now())).collect();
            let (ticks, began) = (cpu_ticks(), Instant::now());
            for batch in changes.chunks(size) {
                world.store.commit_registrations(batch).await.unwrap();
            }
            let cpu_us = (cpu_ticks() - ticks) * 10_000 / PHONES as u64;
            let per_s = PHONES as f64 / began.elapsed().as_secs_f64();
            println!("batches of {size}, {what}: {cpu_us} us CPU for a REGISTER, {per_s:.0} a second");
        }
    }
}
