//! What is written down, whatever happens to the node.

use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::phones::{Sipp, callbox};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, items, types};
use serde_json::{Value, json};

async fn calls_in_progress(tenant: &Tenant, count: usize) -> Result<Vec<Value>> {
    for _ in 0..200 {
        let calls = tenant.rest.get("/v1/calls?status=in-progress&limit=100").await?;
        if items(&calls).len() == count {
            return Ok(items(&calls).to_vec());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("there were never {count} calls in progress");
}

fn sipp(server: &Server, calls: u32, pause_ms: u32) -> Sipp<'static> {
    let (from, to) = (address::fresh(), server.address);
    Sipp { scenario: "answer", from, to, number: "100", calls, rate: 50, pause_ms, tcp: false }
}

#[tokio::test]
async fn a_killed_node_closes_its_calls_at_the_next_start() -> Result<()> {
    let mut server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["park"]).await?;
    let (phones, scratch) = (sipp(&server, 10, 60_000), server.scratch("sipp"));
    let dialling = tokio::spawn(async move { phones.run(&scratch).await });
    calls_in_progress(&tenant, 10).await?;
    // Past the first mark of the ledger, which comes every ten seconds.
    tokio::time::sleep(Duration::from_secs(12)).await;
    server.kill();
    dialling.abort();
    server.run().await?;

    let calls = tenant.ended_calls(10).await?;
    assert_eq!(calls.len(), 10);
    for call in &calls {
        assert_eq!(call["status"], "node-lost", "{call}");
        assert!(call["answered"].as_str() <= call["ended"].as_str(), "{call}");
        let runs = tenant.runs(call["id"].as_str().context("no id")?).await?;
        let run = &runs[0];
        assert_eq!(run["end"]["reason"], "node-lost", "{run}");
        let held = run["usage"]["holding_us"].as_u64().context("no time")?;
        assert!((9_000_000..13_000_000).contains(&held), "closed at the last mark: {run}");
        assert!(run["usage"]["cpu_ns"].as_u64() > Some(0), "{run}");
    }
    let (answered, said) = callbox(&server.uri("100"), &server.scratch("heard.wav"), &["--seconds", "1"]).await?;
    assert!(answered, "the node does not take calls after it was killed: {said}");
    Ok(())
}

#[tokio::test]
async fn a_stopping_node_hangs_up_and_writes_it_all_down() -> Result<()> {
    let mut server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["park"]).await?;
    let (uri, heard) = (server.uri("100"), server.scratch("heard.wav"));
    let phone = tokio::spawn(async move { callbox(&uri, &heard, &["--seconds", "60"]).await });
    calls_in_progress(&tenant, 1).await?;
    let status = server.terminate().await?;
    assert!(status.success(), "{status}");
    let (answered, said) = phone.await??;
    assert!(answered && said.contains("they hung up"), "{said}");
    server.run().await?;
    let (call, events, runs) = tenant.only_call().await?;
    assert_eq!(call["status"], "completed", "{call}");
    assert_eq!(types(&events).last(), Some(&"call.ended"));
    assert!(runs.iter().all(|run| !run["end"].is_null()), "{runs:?}");
    Ok(())
}

#[tokio::test]
async fn sums_are_what_the_rows_add_up_to() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["hang-up-at-once"]).await?;
    let mut calls = sipp(&server, 20, 0);
    calls.scenario = "hung-up";
    calls.run(&server.scratch("sipp")).await?;
    let ended = tenant.ended_calls(20).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut cpu, mut steps) = (0, 0);
    for call in &ended {
        for run in tenant.runs(call["id"].as_str().context("no id")?).await? {
            cpu += run["usage"]["cpu_ns"].as_u64().context("no CPU time")?;
            steps += run["usage"]["host_calls"]["call.answer"].as_u64().unwrap_or(0);
        }
    }
    let usage = tenant.rest.get("/v1/usage").await?;
    let rows = items(&usage);
    let sum = |name: &str| rows.iter().filter_map(|row| row["usage"][name].as_u64()).sum::<u64>();
    assert_eq!((sum("cpu_ns"), steps), (cpu, 20), "{usage}");
    let module = rows.iter().find(|row| row["module_name"] == "behaviours").context("no row")?;
    assert_eq!((&module["calls"], &module["runs"]), (&json!(20), &json!(20)));
    Ok(())
}
