//! The API on the real binary: what it does to calls, and what can be read of them.

use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::ear::Ear;
use callbox_tests::phones::callbox;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, items, lines, text};
use reqwest::{Method, StatusCode};
use serde_json::json;

async fn running_call(tenant: &Tenant) -> Result<String> {
    for _ in 0..200 {
        let calls = tenant.rest.get("/v1/calls?status=in-progress").await?;
        if let Some(call) = items(&calls).first() {
            return text(call, "id");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("there was never a call in progress")
}

#[tokio::test]
async fn a_message_reaches_the_module_and_hanging_up_ends_the_call() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["message-echo"]).await?;
    let (uri, heard) = (server.uri("100"), server.scratch("heard.wav"));
    let file = heard.clone();
    let phone = tokio::spawn(async move { callbox(&uri, &file, &["--seconds", "60"]).await });
    let call = running_call(&tenant).await?;
    let other = Tenant::make(&server, "other").await?;
    let path = format!("/v1/calls/{call}/messages");
    let message = json!({ "body": { "order": 7 } });
    let (status, _) = other.rest.ask(Method::POST, &path, Some(&message)).await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "another tenant reached the call");
    let (status, answer) = tenant.rest.ask(Method::POST, &path, Some(&message)).await?;
    assert!(status.is_success(), "{answer}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (status, answer) = tenant.rest.ask(Method::POST, &format!("/v1/calls/{call}/hangup"), None).await?;
    assert!(status.is_success(), "{answer}");
    let (answered, said) = phone.await??;
    assert!(answered && said.contains("they hung up"), "{said}");
    assert!(Ear::open(&heard)?.longest(700.0).is_some(), "the beep was not heard");
    let (_, events, _) = tenant.only_call().await?;
    assert_eq!(lines(&events), ["message: {\"order\":7}"]);
    let (status, answer) = tenant.rest.ask(Method::POST, &path, Some(&message)).await?;
    assert_eq!((status, &answer["code"]), (StatusCode::CONFLICT, &json!("call-over")));
    Ok(())
}

#[tokio::test]
async fn events_are_streamed_and_the_stream_is_resumed() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.upload("hello").await?;
    let first = tenant.rest.get("/v1/events?limit=1").await?;
    let position = first["next"].as_str().context("no position")?.to_owned();
    let key = std::fs::read_to_string(server.scratch("operator.key"))?;
    let mut stream = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .get(format!("http://{}:8080/v1/events/stream", server.address))
        .bearer_auth(key.trim())
        .header("Last-Event-ID", position)
        .send()
        .await?;
    tenant.application("100", &["hello"], json!({})).await?;
    let mut told = String::new();
    while !told.contains("event: number.bound") {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await.context("no events")??;
        told.push_str(&String::from_utf8_lossy(&chunk.context("the stream ended")?));
    }
    let places: Vec<_> = ["event: module.uploaded", "event: application.created", "event: number.bound"]
        .iter()
        .map(|name| told.find(name))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{told}");
    Ok(())
}

/// Stereo at 44.1 kHz, as somebody's editor left it: a second of 500 Hz. The caller hears it.
#[tokio::test]
async fn a_module_plays_an_asset() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let settings = json!({ "asset": "moh.wav" });
    let application = tenant.behaviours_with("100", &["play-asset"], settings).await?;
    let heard = server.scratch("heard.wav");
    let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "20"]).await?;
    assert!(answered && Ear::open(&heard)?.tone(500.0).is_empty(), "it is heard before it is there: {said}");

    let path = format!("/v1/applications/{application}/assets/moh.wav");
    let (status, answer) = tenant.rest.send(Method::PUT, &path, "audio/wav", b"RIFF and no more".to_vec()).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let mut wav = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut wav, spec)?;
    for at in 0..44_100u32 {
        let sample = (8_000.0 * (std::f32::consts::TAU * 500.0 * at as f32 / 44_100.0).sin()) as i16;
        writer.write_sample(sample)?;
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    let wav = wav.into_inner();
    let (status, answer) = tenant.rest.send(Method::PUT, &path, "audio/wav", wav.clone()).await?;
    assert!(status.is_success(), "{answer}");
    assert_eq!(answer["bytes"], wav.len());
    assert_eq!(tenant.rest.download(&path).await?, wav);

    let (answered, said) = callbox(&server.uri("100"), &heard, &["--seconds", "20"]).await?;
    assert!(answered && said.contains("they hung up"), "{said}");
    let ear = Ear::open(&heard)?;
    let tone = ear.longest(500.0).context("the asset was not heard")?;
    assert!((0.9..1.1).contains(&tone.length_s()), "a second was heard for {:.2} s", tone.length_s());
    assert!(ear.sounding_s() < 1.2, "something else was heard: {:.2} s", ear.sounding_s());
    Ok(())
}

#[tokio::test]
async fn a_node_says_how_it_is() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["hang-up-at-once"]).await?;
    callbox(&server.uri("100"), &server.scratch("heard.wav"), &[]).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let read = async |path: &str| -> Result<String> {
        Ok(client.get(format!("http://{}:9090{path}", server.address)).send().await?.text().await?)
    };
    assert_eq!(read("/livez").await?, "ok\n");
    let metrics = read("/metrics").await?;
    for name in ["calls ", "sandbox_instances ", "ledger_written_total ", "sip_legs "] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "no `{name}` in\n{metrics}");
    }
    let document = tenant.rest.get("/v1/openapi.json").await?;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
    let error = tenant.rest.get("/v1/errors/out-of-cpu").await?;
    assert!(error["means"].is_string(), "{error}");
    let (status, _) = tenant.rest.with_key("cbx_wrong").ask(Method::GET, "/v1/calls", None).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    Ok(())
}
