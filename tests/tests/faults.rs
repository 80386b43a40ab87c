//! Modules that fall, and callers who keep their call: a real phone listens all the while.

use std::path::PathBuf;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::ear::Ear;
use callbox_tests::phones::{self, callbox};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults, items, lines, text, types};
use reqwest::Method;
use serde_json::{Value, json};

/// Music from the module that falls 1.5 s into it; the fallback lets it play on for two seconds,
/// plays 880 Hz, and hangs up.
async fn survives(behaviour: &str, code: &str) -> Result<()> {
    let server = Server::start(SMALL).await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &[behaviour, "fallback-tone"]).await?;
    let (said, heard) =
        phones::pjsua(address::fresh(), &server.scratch("phone"), &server.uri("100"), &[], 20.0).await?;
    assert!(said.contains("answered") && said.contains("ended 200"), "{said}");

    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!(faults(&events), [code]);
    assert_eq!(call["faults"], 1);
    assert_eq!(types(&events).iter().filter(|name| **name == "call.answered").count(), 1);
    assert!(lines(&events).contains(&format!("predecessor: {code}").as_str()), "{:?}", lines(&events));
    unbroken(&Ear::open(&heard)?);
    tiled(&call, &runs)?;
    assert_eq!(runs[0]["end"]["fault"]["code"], code);
    assert_eq!(runs[1]["end"]["reason"], "returned");
    assert!(runs[0]["usage"]["cpu_ns"].as_u64().context("no CPU time")? > 0);
    Ok(())
}

/// 1.5 s of music before the fault, and 2 s after it, in one piece.
fn unbroken(ear: &Ear) {
    let music = ear.longest(440.0).expect("there was no music");
    assert!(music.length_s() > 3.2, "music was heard in one piece for {:.2} s only", music.length_s());
    assert_eq!(ear.tone(440.0).len(), 1, "the music has gaps: {:?}", ear.tone(440.0));
    let after = ear.longest(880.0).expect("the fallback was not heard");
    assert!(after.from_s >= music.to_s - 0.05 && after.length_s() > 1.7, "{music:?} {after:?}");
}

/// The holding rows of a call fill its life, without a gap.
fn tiled(call: &Value, runs: &[Value]) -> Result<()> {
    let micros = |name: &str| -> Result<i64> {
        let text = call[name].as_str().with_context(|| format!("no {name}"))?;
        Ok(text.parse::<jiff::Timestamp>()?.as_microsecond())
    };
    let life = micros("ended")? - micros("started")?;
    let held: i64 = runs.iter().filter_map(|run| run["usage"]["holding_us"].as_i64()).sum();
    assert!((life - held).abs() < 20_000, "a call of {life} us was held for {held} us");
    Ok(())
}

#[tokio::test]
async fn a_caller_survives_a_trap() -> Result<()> {
    survives("music-then-trap", "trap-unreachable").await
}

#[tokio::test]
async fn a_caller_survives_an_endless_loop() -> Result<()> {
    survives("music-then-loop", "out-of-cpu").await
}

#[tokio::test]
async fn a_caller_survives_a_module_that_eats_memory() -> Result<()> {
    survives("music-then-oom", "out-of-memory").await
}

#[tokio::test]
async fn a_caller_survives_a_stack_overflow() -> Result<()> {
    survives("music-then-overflow", "stack-overflow").await
}

struct Called {
    answered: bool,
    said: String,
    heard: PathBuf,
    events: Vec<Value>,
    runs: Vec<Value>,
    _server: Server,
}

async fn call(behaviours: &[&str], extra: &str) -> Result<Called> {
    let server = Server::start(extra).await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", behaviours).await?;
    let heard = server.scratch("heard.wav");
    let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "40"]).await?;
    let (_, events, runs) = tenant.only_call().await?;
    Ok(Called { answered, said, heard, events, runs, _server: server })
}

#[tokio::test]
async fn the_next_handler_answers_when_the_first_falls_before_it_could() -> Result<()> {
    for (behaviour, code) in [
        ("trap-before-answer", "trap-unreachable"),
        ("loop-before-answer", "out-of-cpu"),
        ("oom-before-answer", "out-of-memory"),
        ("overflow-before-answer", "stack-overflow"),
    ] {
        let called = call(&[behaviour, "fallback-tone"], SMALL).await?;
        assert!(called.answered, "{behaviour}: {}", called.said);
        assert_eq!(faults(&called.events), [code], "{behaviour}");
        let tone = Ear::open(&called.heard)?.longest(880.0).context("the fallback was not heard")?;
        assert!(tone.length_s() > 1.7);
    }
    Ok(())
}

#[tokio::test]
async fn the_last_resort_refuses_a_caller_who_is_not_answered() -> Result<()> {
    let called = call(&["trap-before-answer", "loop-before-answer"], "").await?;
    assert!(!called.answered && called.said.contains("480"), "{}", called.said);
    assert_eq!(faults(&called.events), ["trap-unreachable", "out-of-cpu"]);
    assert_eq!(called.runs.last().context("no rows")?["module_name"], "callbox");
    Ok(())
}

#[tokio::test]
async fn the_last_resort_apologises_to_a_caller_who_is() -> Result<()> {
    let called = call(&["returns-error"], "").await?;
    assert!(called.answered, "{}", called.said);
    assert_eq!(faults(&called.events), ["returned-error"]);
    let heard = Ear::open(&called.heard)?;
    assert!(heard.sounding_s() > 1.0, "no apology was heard: {:.2} s of sound", heard.sounding_s());
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_reaches_the_successor() -> Result<()> {
    let called = call(&["checkpointer", "fallback-tone"], "").await?;
    let lines = lines(&called.events);
    assert!(lines.contains(&"checkpoint: two"), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_storm_of_host_calls_is_slowed_and_then_stopped() -> Result<()> {
    let limits = "[limits]\nhost_calls_burst = 100\nhost_calls_per_s = 50\nhost_calls_throttled_s = 2\n";
    let called = call(&["host-call-storm", "fallback-tone"], limits).await?;
    assert_eq!(faults(&called.events), ["too-many-host-calls"]);
    Ok(())
}

#[tokio::test]
async fn a_flood_of_log_lines_is_counted_and_cut() -> Result<()> {
    let called = call(&["log-flood"], "").await?;
    let lines = lines(&called.events);
    assert!(lines.len() < 400, "{} lines", lines.len());
    assert!(lines.contains(&"line 0"));
    assert!(faults(&called.events).is_empty());
    Ok(())
}

#[tokio::test]
async fn a_module_is_fetched_compiled_again_when_its_compiled_form_is_lost() -> Result<()> {
    let mut server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["hang-up-at-once"]).await?;
    server.kill();
    std::fs::remove_dir_all(server.data().join("compiled"))?;
    server.run().await?;
    let (answered, said) = callbox(&server.uri("100"), &server.scratch("heard.wav"), &[]).await?;
    assert!(answered, "{said}");
    Ok(())
}

/// One that is not there, one that is switched off, one in quarantine: the fourth has the call.
#[tokio::test]
async fn modules_that_may_not_run_are_passed_over_and_each_says_why() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    for module in ["hello", "menu", "behaviours"] {
        tenant.upload(module).await?;
    }
    let config = json!({ "behaviour-3": "fallback-tone" });
    tenant.application("100", &["gone", "hello", "menu", "behaviours"], config).await?;
    for (module, state, rest) in [("hello", "disabled", &tenant.rest), ("menu", "quarantined", &tenant.operator)] {
        let found = tenant.rest.get(&format!("/v1/modules?name={module}")).await?;
        let path = format!("/v1/modules/{}?tenant={}", text(&items(&found)[0], "id")?, tenant.id);
        let (status, answer) = rest.ask(Method::PATCH, &path, Some(&json!({ "state": state }))).await?;
        assert!(status.is_success(), "{answer}");
    }
    let heard = server.scratch("heard.wav");
    let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "20"]).await?;
    assert!(answered, "{said}");
    let (call, events, _) = tenant.only_call().await?;
    assert_eq!(faults(&events), ["module-missing", "module-disabled", "module-quarantined"]);
    assert_eq!(call["faults"], 3);
    assert!(lines(&events).contains(&"predecessor: module-quarantined"), "{:?}", lines(&events));
    assert!(Ear::open(&heard)?.longest(880.0).is_some(), "the fallback was not heard");
    Ok(())
}

/// Two have fallen; the third, who would do it right, is not tried any more.
#[tokio::test]
async fn a_call_that_has_had_its_faults_is_given_to_nobody_else() -> Result<()> {
    let limits = "[limits]\nfaults_per_call = 2\n";
    let called = call(&["trap-before-answer", "trap-before-answer", "fallback-tone"], limits).await?;
    assert!(!called.answered && called.said.contains("480"), "{}", called.said);
    assert_eq!(faults(&called.events), ["trap-unreachable", "trap-unreachable", "too-many-switches"]);
    let fault = called.events.iter().rfind(|event| event["type"] == "control.fault").context("no fault")?;
    assert_eq!(fault["data"]["handler"], 2);
    assert!(text(&fault["data"]["fault"], "message")?.contains("faults_per_call"), "{fault}");
    let held: Vec<_> = called.runs.iter().filter_map(|run| run["module_name"].as_str()).collect();
    assert_eq!(held, ["behaviours", "behaviours", "callbox"]);
    Ok(())
}

/// It is not the module's turn to go on: no fallback, an apology, and the end.
#[tokio::test]
async fn handlers_that_hold_a_call_for_too_long_lose_it() -> Result<()> {
    let called = call(&["music", "fallback-tone"], "[limits]\nhandler_time_s = 2\n").await?;
    assert!(called.answered && called.said.contains("they hung up"), "{}", called.said);
    assert_eq!(faults(&called.events), ["handler-time"]);
    let ear = Ear::open(&called.heard)?;
    let music = ear.longest(440.0).context("there was no music")?;
    // It plays on until the apology is spoken for it.
    assert!((1.7..6.0).contains(&music.length_s()), "{music:?}");
    assert!(ear.longest(880.0).is_none(), "the fallback was given the call");
    assert!(ear.sounding_s() > music.length_s() + 1.0, "no apology was heard");
    Ok(())
}

/// Small enough that touching it all takes no more CPU time than a step may, on the slowest machine.
const SMALL: &str = "[limits]\nmemory_bytes = 8_388_608\n";
