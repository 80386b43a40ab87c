//! Idempotency-Key.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::house::{Answer, House, WASM, config, send};

async fn make(house: &House, who: &str, key: &str, name: &str) -> Answer {
    let request = house.request(who, Method::POST, "/v1/applications").header("idempotency-key", key);
    send(request.json(&json!({ "name": name }))).await
}

#[tokio::test]
async fn the_same_request_is_carried_out_once() {
    let house = House::open().await;
    let a = &house.a.key;
    let first = make(&house, a, "one", "ivr").await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = make(&house, a, "one", "ivr").await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    for name in ["location", "etag", "content-type"] {
        assert_eq!(first.headers[name], again.headers[name]);
    }
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(house.memory.state().applications.len(), 1);
    make(&house, a, "one", "menu").await.refused(422, "idempotency-mismatch");
    make(&house, a, "", "menu").await.refused(400, "bad-header");
    make(&house, &house.b.key, "one", "menu").await.expect(201);
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_under_its_key() {
    let house = House::open().await;
    let a = &house.a.key;
    make(&house, a, "one", "ivr").await.expect(201);
    make(&house, a, "two", "ivr").await.refused(409, "name-taken");
    house.memory.state().applications.clear();
    make(&house, a, "two", "ivr").await.expect(201);
}

#[tokio::test]
async fn a_client_that_went_away_finds_its_work_done() {
    let house = House::open().await;
    let upload = || {
        let request = house.request(&house.a.key, Method::POST, "/v1/modules?name=slow");
        request.header("content-type", "application/wasm").header("idempotency-key", "up").body(WASM)
    };
    let gone = upload().timeout(Duration::from_millis(100)).send().await;
    assert!(gone.unwrap_err().is_timeout());
    send(upload()).await.refused(409, "idempotency-running");
    let done = async {
        while house.memory.state().uploads == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("the upload ended with its client");
    let answer = loop {
        let answer = send(upload()).await;
        if answer.status != 409 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(answer.headers["idempotency-replayed"], "true");
    assert_eq!(answer.expect(201)["version"], 1);
    assert_eq!(house.memory.state().uploads, 1);
}

#[tokio::test]
async fn work_that_takes_too_long_is_answered_and_goes_on() {
    let config = callbox_api::Config { compile_timeout: Duration::from_millis(100), ..config() };
    let house = House::open_with(config).await;
    let path = "/v1/modules?name=slow";
    house.upload(&house.a.key, path, "application/wasm", WASM).await.refused(504, "timeout");
    let done = async {
        while house.memory.state().uploads == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("the upload ended with its answer");
}
