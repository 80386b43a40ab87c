//! Handlers that are not written in Rust.

use anyhow::Result;
use callbox_tests::ear::Ear;
use callbox_tests::phones::callbox;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults};
use serde_json::json;

async fn speaks(module: &str) -> Result<()> {
    // A Python interpreter takes its time to start where many tests share a core.
    let server = Server::start("[limits]\nstep_cpu_ms = 2_000\nstep_wall_ms = 20_000\n").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.upload(module).await?;
    tenant.application("100", &[module], json!({})).await?;
    let heard = server.scratch("heard.wav");
    let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "30"]).await?;
    let (_, events, runs) = tenant.only_call().await?;
    assert!(answered && faults(&events).is_empty(), "{said}\n{events:?}");
    let speech = Ear::open(&heard)?.sounding_s();
    assert!(speech > 0.8, "{speech:.2} s of speech were heard");
    assert_eq!(runs[0]["end"]["reason"], "returned");
    Ok(())
}

#[tokio::test]
async fn a_handler_in_javascript() -> Result<()> {
    speaks("js").await
}

#[tokio::test]
async fn a_handler_in_python() -> Result<()> {
    speaks("python").await
}
