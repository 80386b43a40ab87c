//! What is refused at the door, each with its name; and what belongs to others.

use anyhow::{Context, Result};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, guest_bytes, text};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn refused(status: StatusCode, answer: &Value, expected: u16, code: &str) {
    assert_eq!((status.as_u16(), answer["code"].as_str()), (expected, Some(code)), "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.len() > 10), "no detail: {answer}");
}

#[tokio::test]
async fn what_is_no_handler_is_refused_by_name() -> Result<()> {
    let server = Server::start("[limits]\nmodule_bytes = 1_000_000\n").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let empty_component = b"\0asm\x0d\0\x01\0".to_vec();
    let hello = guest_bytes("hello")?;
    let mut torn = hello.clone();
    torn.truncate(hello.len() / 2);
    let crash = guest_bytes("crash-at-start")?;
    for (what, bytes, status, code) in [
        ("text", b"this is no module at all".to_vec(), 422, "not-wasm"),
        ("torn", torn, 422, "invalid-wasm"),
        ("world", empty_component, 422, "wrong-world"),
        ("crash", crash, 422, "start-failed"),
        ("large", vec![0; 1_000_001], 413, "too-large"),
    ] {
        let (given, answer) = tenant.try_upload(what, bytes).await?;
        refused(given, &answer, status, code);
    }
    assert!(callbox_tests::tenant::items(&tenant.rest.get("/v1/modules").await?).is_empty());
    let events = tenant.rest.get("/v1/events?type=module.refused").await?;
    assert!(callbox_tests::tenant::items(&events).len() >= 4, "refusals are not in the record: {events}");
    // And the node goes on as if nothing had been.
    tenant.upload("hello").await?;
    Ok(())
}

/// A compiler that is let have 80 MB does not get far with an interpreter; it dies, the node does not.
#[tokio::test]
async fn a_module_that_makes_the_compiler_run_out_of_memory_is_refused() -> Result<()> {
    let server = Server::start("[limits]\ncompile_memory_bytes = 80_000_000\n").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let (status, answer) = tenant.try_upload("js", guest_bytes("js")?).await?;
    refused(status, &answer, 422, "compile-limit");
    assert!(text(&answer, "detail")?.contains("memory"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn uploads_of_an_hour_are_counted() -> Result<()> {
    let server = Server::start("[limits]\nuploads_per_hour = 2\n").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.upload("hello").await?;
    let again = tenant.upload("hello").await?;
    assert_eq!(again["version"], 2);
    let (status, answer) = tenant.try_upload("hello", guest_bytes("hello")?).await?;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{answer}");
    assert!(answer.to_string().contains("uploads_per_hour"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_number_has_one_owner() -> Result<()> {
    let server = Server::start("").await?;
    let one = Tenant::make(&server, "one").await?;
    let other = Tenant::make(&server, "other").await?;
    one.upload("hello").await?;
    one.application("100", &["hello"], json!({})).await?;
    let path = format!("/v1/numbers?tenant={}", other.id);
    let (status, answer) = other.operator.ask(Method::POST, &path, Some(&json!({ "address": "100" }))).await?;
    refused(status, &answer, 409, "address-taken");
    // Tenants give themselves no numbers, and see nothing of each other.
    let (status, answer) = other.rest.ask(Method::POST, "/v1/numbers", Some(&json!({ "address": "101" }))).await?;
    refused(status, &answer, 403, "operator-only");
    let application = one.rest.get("/v1/applications").await?;
    let id = text(&application["items"][0], "id")?;
    let (status, answer) = other.rest.ask(Method::GET, &format!("/v1/applications/{id}"), None).await?;
    refused(status, &answer, 404, "not-found");
    Ok(())
}

#[tokio::test]
async fn a_secret_reaches_its_module_and_nobody_else() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let application = tenant.behaviours("100", &["sensitive"]).await?;
    let path = format!("/v1/applications/{application}/secrets/pin");
    let (status, answer) = tenant.rest.ask(Method::PUT, &path, Some(&json!({ "value": "4711" }))).await?;
    assert!(status.is_success(), "{answer}");
    let shown = tenant.rest.get(&format!("/v1/applications/{application}")).await?;
    assert_eq!(shown["secrets"], json!(["pin"]));
    assert!(!shown.to_string().contains("4711"));

    let heard = server.scratch("heard.wav");
    let (answered, said) =
        callbox_tests::phones::callbox(&server.uri("100"), &heard, &["--digits", "ww4711", "--seconds", "20"]).await?;
    assert!(answered, "{said}");
    let right = callbox_tests::ear::Ear::open(&heard)?.longest(880.0).context("the module did not know the pin")?;
    assert!(right.length_s() > 0.7);
    let (_, events, _) = tenant.only_call().await?;
    let gathered = events.iter().find(|event| event["type"] == "call.gathered").context("nothing gathered")?;
    assert_eq!(gathered["data"]["digits"], "****");
    for file in ["callbox.db", "callbox.db-wal"] {
        let bytes = std::fs::read(server.data().join(file)).unwrap_or_default();
        assert!(!bytes.windows(4).any(|window| window == b"4711"), "the secret stands in {file}");
    }
    Ok(())
}
