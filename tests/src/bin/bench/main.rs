//! The benchmarks of `tests/bench` that need a whole node. Figures go to standard output, one line
//! of JSON each; what is going on goes to standard error.

#![expect(unreachable_pub, reason = "a binary has no outside: `pub` says what leaves its module")]

mod overload;
mod process;
mod row;
mod sipp;
mod sound;

use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::rest::Rest;
use callbox_tests::server::Server;
use callbox_tests::tenant::Tenant;
use process::{Cpu, memory};
use row::Row;
use sipp::{Answerer, Load};
use sound::{Receiver, Sender};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<std::process::ExitCode> {
    // An empty name is all of them.
    let only = std::env::args().nth(1).filter(|only| !only.is_empty());
    let mut rows = Vec::new();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("call-setup") {
        // Slowly, every message wakes a thread that sleeps; fast, one wake serves many.
        rows.extend(call_setup("call-setup", 3_000, 150).await.context("call-setup")?);
        rows.extend(call_setup("call-setup-fast", 6_000, 400).await.context("call-setup-fast")?);
        rows.extend(first_step().await.context("call-setup: first step")?);
    }
    if wanted("parked") {
        rows.extend(parked().await.context("parked")?);
    }
    if wanted("held") {
        rows.extend(held().await.context("held")?);
    }
    // Minutes, and the machine must be quiet: only where it is asked for.
    if only.as_deref() == Some("overload") || std::env::args().nth(2).as_deref() == Some("--long") {
        rows.extend(overload::overload().await.context("overload")?);
    }
    let is_missed = rows.iter().any(Row::is_missed);
    Ok(if is_missed { std::process::ExitCode::from(MISSED) } else { std::process::ExitCode::SUCCESS })
}

/// One node with a tenant whose numbers behave as named.
async fn node(numbers: &[(&str, &str)]) -> Result<(Server, Tenant)> {
    let server = Server::start("[media]\nsilence_s = 600\n").await?;
    let tenant = Tenant::make(&server, "bench").await?;
    for (number, behaviour) in numbers {
        tenant.behaviours(number, &[behaviour]).await?;
    }
    Ok((server, tenant))
}

fn print(rows: Vec<Row>) -> Result<Vec<Row>> {
    for row in &rows {
        row.print()?;
    }
    Ok(rows)
}

/// A call is set up, decided by a Rust module, answered, hung up, and written down.
async fn call_setup(bench: &'static str, calls: u32, rate: u32) -> Result<Vec<Row>> {
    eprintln!("── {bench}: {calls} calls at {rate} a second");
    let load = |to| Load {
        scenario: "hung-up",
        to,
        number: "100",
        calls,
        rate,
        pause: Duration::ZERO,
        sound_to: (address::fresh(), 40_000),
    };
    let (server, _tenant) = node(&[("100", "hang-up-at-once")]).await?;
    let pid = server.pid().context("the node is not running")?;
    // Warm: pages touched, statements prepared.
    Load { calls: 200, ..load(server.address) }.start(&server.scratch("warm"))?.end().await?;
    tokio::time::sleep(SETTLE).await;
    let idle = measured(pid, Duration::from_secs(5)).await?;
    let before = Cpu::of(pid)?;
    let told = load(server.address).start(&server.scratch("sipp"))?.end().await?;
    tokio::time::sleep(SETTLE).await;
    let spent = (Cpu::of(pid)? - &before).without(&idle);
    eprintln!("   {told:?}");

    let answerer = Answerer::start(&server.scratch("answerer")).await?;
    let before = Cpu::of(answerer.pid()?)?;
    let theirs = load(answerer.address).start(&server.scratch("yardstick"))?.end().await?;
    tokio::time::sleep(SETTLE).await;
    let yardstick = Cpu::of(answerer.pid()?)? - &before;
    eprintln!("   SIPp against SIPp: {theirs:?}");

    let each = |time: Duration, calls: u32| time.as_secs_f64() * 1_000.0 / f64::from(calls.max(1));
    let mut rows = vec![
        Row::new(bench, "cpu-per-call", each(spent.whole, told.good), "ms")
            .beside(each(yardstick.whole, theirs.good))
            .limit(0.5),
        Row::new(bench, "failed-calls", told.failed.into(), "calls").beside(theirs.failed.into()).limit(0.0),
        Row::new(bench, "repeated-messages", told.repeated.into(), "messages").beside(theirs.repeated.into()),
    ];
    for name in spent.threads.keys() {
        let part = each(spent.thread(name), told.good);
        if part >= 0.005 {
            rows.push(Row::new(bench, format!("cpu-per-call of {name}"), part, "ms"));
        }
    }
    print(rows)
}

/// From an INVITE to the first instruction of the module that gets the call, the start of its
/// instance included: calls whose module waits from the first on, and answers nobody. Beside it, the
/// same INVITEs refused by admission (404): what is between the two is routes, lane and instance.
async fn first_step() -> Result<Vec<Row>> {
    const CALLS: u32 = 1_200;
    eprintln!("── call-setup: {CALLS} calls to a module that waits, and as many to nobody");
    let (server, _tenant) = node(&[("100", "wait")]).await?;
    let pid = server.pid().context("the node is not running")?;
    let load = |scenario, number, calls, pause| Load {
        scenario,
        to: server.address,
        number,
        calls,
        rate: 150,
        pause,
        sound_to: (address::fresh(), 40_000),
    };
    load("unanswered", "100", 200, Duration::from_millis(500)).start(&server.scratch("warm"))?.end().await?;
    tokio::time::sleep(SETTLE).await;
    let idle = measured(pid, Duration::from_secs(5)).await?;

    let before = Cpu::of(pid)?;
    // None gives up before the last is there.
    let waiting = load("unanswered", "100", CALLS, Duration::from_secs(25)).start(&server.scratch("waiting"))?;
    let up = until_calls(&server, CALLS).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = (Cpu::of(pid)? - &before).without(&idle).of_threads(PATH);
    let told = waiting.end().await?;
    tokio::time::sleep(SETTLE).await;

    let before = Cpu::of(pid)?;
    let refused = load("not-found", "555", CALLS, Duration::ZERO).start(&server.scratch("refused"))?.end().await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refusal = (Cpu::of(pid)? - &before).without(&idle).of_threads(PATH);
    eprintln!("   {up} waited at once; {told:?}; refused: {refused:?}");

    let each = |time: Duration, calls: u32| time.as_secs_f64() * 1e6 / f64::from(calls.max(1));
    let (started, refusal) = (each(started, up), each(refusal, refused.good));
    print(vec![
        Row::new("call-setup", "cpu-invite-to-first-step", started, "us").beside(refusal),
        Row::new("call-setup", "cpu-of-route-lane-and-start", (started - refusal).max(0.0), "us"),
        Row::new("call-setup", "calls-at-their-first-step", up.into(), "calls").at_least(CALLS.into()),
    ])
}

/// A thousand calls, each held by a parked module, without a sound.
async fn parked() -> Result<Vec<Row>> {
    const CALLS: u32 = 1_000;
    eprintln!("── parked: {CALLS} calls held by a parked module each");
    let (server, _tenant) = node(&[("100", "park")]).await?;
    let pid = server.pid().context("the node is not running")?;
    let load = |calls, pause| Load {
        scenario: "answer",
        to: server.address,
        number: "100",
        calls,
        rate: 100,
        pause,
        sound_to: (address::fresh(), 40_000),
    };
    load(100, Duration::from_secs(1)).start(&server.scratch("warm"))?.end().await?;
    tokio::time::sleep(SETTLE).await;
    let empty = memory(pid)?;
    let idle = measured(pid, Duration::from_secs(5)).await?;
    let calls = load(CALLS, Duration::from_secs(35)).start(&server.scratch("sipp"))?;
    let up = until_calls(&server, CALLS).await?;
    tokio::time::sleep(SETTLE).await;
    let full = memory(pid)?;
    let held = measured(pid, Duration::from_secs(10)).await?.without(&idle);
    let told = calls.end().await?;
    let per_call = |full: u64, empty: u64| full.saturating_sub(empty) as f64 / f64::from(up.max(1)) / 1_000.0;
    let per_second = held.whole.as_secs_f64() * 1e6 / held.wall.as_secs_f64() / f64::from(up.max(1));
    print(vec![
        Row::new("parked", "memory-per-call", per_call(full.taken, empty.taken), "kB").limit(64.0),
        Row::new("parked", "resident-per-call", per_call(full.resident, empty.resident), "kB"),
        Row::new("parked", "cpu-per-held-call", per_second, "us/s"),
        Row::new("parked", "lost-calls", (CALLS - told.good.min(CALLS)).into(), "calls").limit(0.0),
    ])
}

/// A thousand calls held, two hundred of them playing, while the API is hammered.
async fn held() -> Result<Vec<Row>> {
    const PARKED: u32 = 800;
    const PLAYING: u32 = 200;
    eprintln!("── held: {PARKED} parked, {PLAYING} playing");
    let (server, tenant) = node(&[("100", "park"), ("200", "music")]).await?;
    let receiver = Receiver::start(address::fresh())?;
    let bare = Receiver::start(address::fresh())?;
    let load = |number, calls, rate, sound_to| Load {
        scenario: "answer",
        to: server.address,
        number,
        calls,
        rate,
        pause: Duration::from_secs(45),
        sound_to,
    };
    let parked = load("100", PARKED, 100, (address::fresh(), 40_000)).start(&server.scratch("parked"))?;
    let playing = load("200", PLAYING, 50, receiver.address).start(&server.scratch("playing"))?;
    let up = until_calls(&server, PARKED + PLAYING).await?;
    let sender = Sender::start(PLAYING, bare.address)?;
    let hammers: Vec<_> = (0..HAMMERS).map(|_| tokio::spawn(hammer(tenant.rest.clone(), HAMMERED))).collect();
    let (mut asked, mut unanswered) = (0, 0);
    for hammer in hammers {
        let (answered, failed) = hammer.await?;
        (asked, unanswered) = (asked + answered, unanswered + failed);
    }
    let per_s = f64::from(asked) / HAMMERED.as_secs_f64();
    sender.end();
    let (mut heard, mut yardstick) = (receiver.end(), bare.end());
    let (parked, playing) = (parked.end().await?, playing.end().await?);
    let lost = (PARKED + PLAYING).saturating_sub(parked.good + playing.good);
    let (ours, theirs) = (heard.off_ms(990), yardstick.off_ms(990));
    print(vec![
        Row::new("held", "calls-at-once", up.into(), "calls").at_least((PARKED + PLAYING).into()),
        Row::new("held", "lost-calls", lost.into(), "calls").limit(0.0),
        Row::new("held", "streams-heard", heard.streams() as f64, "streams").at_least(PLAYING.into()),
        // Enough to keep a core from resting; how many they are is the API's own figure.
        Row::new("held", "api-requests", per_s, "requests/s").at_least(200.0),
        Row::new("held", "api-requests-failed", unanswered.into(), "requests").limit(0.0),
        Row::new("held", "packet-spacing-off-p50", heard.off_ms(500), "ms").beside(yardstick.off_ms(500)),
        Row::new("held", "packet-spacing-off-p99", ours, "ms").beside(theirs).limit((theirs * 1.5).max(5.0)),
    ])
}

/// Asks one thing after another for so long: how often it was answered, and how often not.
async fn hammer(rest: Rest, time: Duration) -> (u32, u32) {
    let until = tokio::time::Instant::now() + time;
    let (mut answered, mut failed) = (0, 0);
    while tokio::time::Instant::now() < until {
        match rest.get("/v1/calls?limit=50").await {
            Ok(_) => answered += 1,
            Err(error) => {
                if failed == 0 {
                    eprintln!("   {error:#}");
                }
                failed += 1;
                // A node that is away is not asked a thousand times a second.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    (answered, failed)
}

async fn measured(pid: u32, time: Duration) -> Result<process::Spent> {
    let before = Cpu::of(pid)?;
    tokio::time::sleep(time).await;
    Ok(Cpu::of(pid)? - &before)
}

/// The most calls there were, up to as many as are wanted.
async fn until_calls(server: &Server, wanted: u32) -> Result<u32> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut most = 0;
    for _ in 0..120 {
        let text = client.get(format!("http://{}:9090/metrics", server.address)).send().await?.text().await?;
        let calls = text.lines().find_map(|line| line.strip_prefix("calls ")).and_then(|count| count.parse().ok());
        most = most.max(calls.unwrap_or(0));
        if most >= wanted {
            return Ok(most);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(most)
}

/// Told apart from a benchmark that fell.
const MISSED: u8 = 3;
/// Threads on the way of an INVITE to a module.
const PATH: &[&str] = &["signal", "lane", "guests", "epoch"];
/// Clients that ask the API at once, and for how long.
const HAMMERS: usize = 4;
const HAMMERED: Duration = Duration::from_secs(20);
/// For the ledger to be written, and timers to run out.
const SETTLE: Duration = Duration::from_secs(2);
