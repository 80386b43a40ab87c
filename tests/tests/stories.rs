//! Each story of `examples/` with a real call: what its script says the caller does and hears.

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::ear::Ear;
use callbox_tests::phones;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults};
use serde_json::{Value, json};

struct Told {
    ear: Ear,
    events: Vec<Value>,
    runs: Vec<Value>,
}

async fn told(handlers: &[&str], presses: &[(f32, char)]) -> Result<Told> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    for module in handlers {
        tenant.upload(module).await?;
    }
    tenant.application("100", handlers, json!({})).await?;
    let (said, heard) =
        phones::pjsua(address::fresh(), &server.scratch("phone"), &server.uri("100"), presses, 60.0).await?;
    assert!(said.contains("answered"), "{said}");
    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!(call["cause"]["remote"], false, "callbox hangs up: {call}");
    Ok(Told { ear: Ear::open(&heard)?, events, runs })
}

/// What was said, in order.
fn said(events: &[Value]) -> Vec<&str> {
    let started = events.iter().filter(|event| event["type"] == "step.started");
    started.filter_map(|event| event["data"]["detail"].as_str()).filter(|detail| detail.starts_with("say ")).collect()
}

#[tokio::test]
async fn hello() -> Result<()> {
    let told = told(&["hello"], &[]).await?;
    assert_eq!(said(&told.events), ["say \"Hello. You are talking to a module in a sandbox.\""]);
    assert!(told.ear.sounding_s() > 1.5, "{:.2} s of speech", told.ear.sounding_s());
    assert_eq!(told.runs[0]["module_name"], "hello");
    Ok(())
}

#[tokio::test]
async fn menu() -> Result<()> {
    let told = told(&["menu"], &[(1.0, '4'), (6.0, '9')]).await?;
    let prompt = "say \"Press a digit, or nine to leave.\"";
    assert_eq!(said(&told.events), [prompt, "say \"You pressed 4.\"", prompt, "say \"Goodbye.\""]);
    let gathered = told.events.iter().filter(|event| event["type"] == "call.gathered");
    let digits: Vec<_> = gathered.filter_map(|event| event["data"]["digits"].as_str()).collect();
    assert_eq!(digits, ["4", "9"]);
    // The digit came one second into a prompt of some 2.5 s, and ended it.
    let first = told.events.iter().position(|event| event["type"] == "call.gathered").context("no digits")?;
    assert!(first > 0 && told.ear.sounding_s() > 2.0);
    Ok(())
}

#[tokio::test]
async fn fallback() -> Result<()> {
    let told = told(&["fallback"], &[]).await?;
    let tone = told.ear.sounding_s();
    assert!(tone > 4.0, "{tone:.2} s of sound");
    assert_eq!(said(&told.events).len(), 2);
    assert!(faults(&told.events).is_empty());
    Ok(())
}

#[tokio::test]
async fn looping() -> Result<()> {
    let told = told(&["looping", "fallback"], &[]).await?;
    assert_eq!(faults(&told.events), ["out-of-cpu"]);
    let melody = told.ear.melody(&[440.0, 554.0, 659.0]);
    assert!(melody.starts_with(&[440.0, 554.0, 659.0]), "{melody:?}");
    let held: Vec<_> = told.runs.iter().filter_map(|run| run["module_name"].as_str()).collect();
    assert!(held.starts_with(&["looping", "fallback"]), "{held:?}");
    Ok(())
}
