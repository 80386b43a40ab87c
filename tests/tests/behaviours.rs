//! What a module may do with a call, one thing at a time, with phones that nobody here wrote where
//! something is to be heard or seen.

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::ear::Ear;
use callbox_tests::phones::{self, Sipp, callbox};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults, lines, text, types};
use serde_json::{Value, json};

async fn tenant(server: &Server, behaviour: &str, settings: Value) -> Result<Tenant> {
    let tenant = Tenant::make(server, "acme").await?;
    tenant.behaviours_with("100", &[behaviour], settings).await?;
    Ok(tenant)
}

async fn sipp(server: &Server, scenario: &str) -> Result<()> {
    let (from, to) = (address::fresh(), server.address);
    let sipp = Sipp { scenario, from, to, number: "100", calls: 1, rate: 1, pause_ms: 300, tcp: false };
    sipp.run(&server.scratch("sipp")).await
}

/// When an event came, in seconds of the Unix epoch.
fn at(event: &Value) -> Result<f64> {
    let at: jiff::Timestamp = event["at"].as_str().context("no time")?.parse()?;
    Ok(at.as_microsecond() as f64 / 1e6)
}

fn place(events: &[Value], kind: &str) -> Result<usize> {
    types(events).iter().position(|one| *one == kind).with_context(|| format!("no {kind}: {:?}", types(events)))
}

#[tokio::test]
async fn keys_outlive_the_call_and_are_counted_by_the_next() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "kv-counter", json!({})).await?;
    let mut counted = Vec::new();
    for call in 1..=2 {
        let heard = server.scratch(&format!("heard-{call}.wav"));
        let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "20"]).await?;
        assert!(answered, "{said}");
        counted.push(Ear::open(&heard)?.tone(500.0).len());
    }
    assert_eq!(counted, [1, 2], "beeps that each caller heard");
    let calls = tenant.ended_calls(2).await?;
    let mut told = Vec::new();
    for call in calls.iter().rev() {
        let id = text(call, "id")?;
        told.push(lines(&tenant.timeline(&id).await?).join("; "));
        let runs = tenant.runs(&id).await?;
        assert_eq!(runs[0]["usage"]["host_calls"]["kv.add"], 1, "{runs:?}");
    }
    assert_eq!(told, ["call 1", "call 2"]);
    Ok(())
}

#[tokio::test]
async fn a_value_over_its_limit_is_an_error_that_the_module_goes_on_after() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "big-value", json!({})).await?;
    let (answered, said) = callbox(&server.uri("100"), &server.scratch("heard.wav"), &["--seconds", "20"]).await?;
    assert!(answered && said.contains("they hung up"), "{said}");
    let (call, events, _) = tenant.only_call().await?;
    assert!(lines(&events).iter().any(|line| line.starts_with("refused: ") && line.contains("kv_value_bytes")));
    assert_eq!((&call["status"], &call["faults"]), (&json!("completed"), &json!(0)), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn a_caller_is_sent_elsewhere() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "redirect", json!({ "to": "sip:helpdesk@192.0.2.7" })).await?;
    sipp(&server, "redirect").await?;
    let (call, events, _) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["cause"]["status"]), (&json!("not-answered"), &json!(302)), "{call}");
    assert!(faults(&events).is_empty());
    Ok(())
}

#[tokio::test]
async fn it_rings_for_a_while_before_it_is_answered() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "ring-then-answer", json!({ "ring-ms": "700" })).await?;
    sipp(&server, "ring").await?;
    let (call, events, _) = tenant.only_call().await?;
    let (rings, answered) = (place(&events, "call.ringing")?, place(&events, "call.answered")?);
    let rang_s = at(&events[answered])? - at(&events[rings])?;
    assert!((0.65..3.0).contains(&rang_s), "it rang for {rang_s:.3} s");
    assert_eq!(call["status"], "completed");
    Ok(())
}

#[tokio::test]
async fn a_caller_hears_something_before_the_answer() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "early-media", json!({})).await?;
    sipp(&server, "early-media").await?;
    let (_, events, _) = tenant.only_call().await?;
    // The tone was over before the answer: what a phone hears of it, it hears early.
    let (played, answered) = (place(&events, "step.ended")?, place(&events, "call.answered")?);
    assert!(played < answered, "{:?}", types(&events));

    let (said, heard) = phones::pjsua(address::fresh(), &server.scratch("phone"), &server.uri("100"), &[], 3.0).await?;
    assert!(said.contains("answered"), "{said}");
    let tone = Ear::open(&heard)?.longest(660.0).context("nothing was heard before the answer")?;
    assert!((0.8..1.1).contains(&tone.length_s()), "{tone:?}");
    Ok(())
}

#[tokio::test]
async fn a_text_is_spoken_and_one_over_its_limit_is_not() -> Result<()> {
    let server = Server::start("[limits]\nspeech_characters = 60\n").await?;
    let tenant = tenant(&server, "say", json!({ "text": "The quick brown fox jumps over the lazy dog." })).await?;
    tenant.behaviours_with("200", &["say", "fallback-tone"], json!({ "text": "far too much ".repeat(5) })).await?;
    let heard = server.scratch("heard.wav");
    let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "30"]).await?;
    assert!(answered && said.contains("they hung up"), "{said}");
    let speech = Ear::open(&heard)?.sounding_s();
    assert!((1.0..8.0).contains(&speech), "{speech:.2} s of speech");

    let (answered, said) = callbox(&server.uri("200"), &heard, &["--seconds", "30"]).await?;
    assert!(answered, "{said}");
    let calls = tenant.ended_calls(2).await?;
    let events = tenant.timeline(&text(&calls[0], "id")?).await?;
    assert_eq!(faults(&events), ["returned-error"]);
    let fault = events.iter().find(|event| event["type"] == "control.fault").context("no fault")?;
    assert!(text(&fault["data"]["fault"], "message")?.contains("65 characters, more than 60"), "{fault}");
    assert!(Ear::open(&heard)?.longest(880.0).is_some(), "the fallback was not heard");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_returns_has_its_call_hung_up() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = tenant(&server, "returns-ok", json!({})).await?;
    sipp(&server, "hung-up").await?;
    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!((&call["status"], &call["cause"]["remote"]), (&json!("completed"), &json!(false)), "{call}");
    assert!(faults(&events).is_empty());
    assert_eq!(runs[0]["end"]["reason"], "returned");
    Ok(())
}

/// Nobody is left to be handed the call: the fault is told, and changes nothing.
#[tokio::test]
async fn a_fault_after_the_call_is_told_and_starts_nobody() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["trap-after-end", "fallback-tone"]).await?;
    sipp(&server, "answer").await?;
    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!(faults(&events), ["trap-unreachable"]);
    assert_eq!((&call["status"], &call["cause"]["remote"]), (&json!("completed"), &json!(true)), "{call}");
    assert!(place(&events, "leg.ended")? < place(&events, "control.fault")?, "{:?}", types(&events));
    assert_eq!(types(&events).last(), Some(&"call.ended"));
    assert_eq!(runs.len(), 1, "somebody was started for a call that is over: {runs:?}");
    Ok(())
}
