//! Whatever is wrong with a request: it gets a problem body.

use reqwest::Method;
use serde_json::json;

use crate::house::{House, WASM, send};

#[tokio::test]
async fn what_libraries_refuse_is_a_problem_as_well() {
    let house = House::open().await;
    let key = &house.a.key;
    let missing = house.get(key, "/v2/nothing").await;
    missing.refused(404, "no-route");
    assert!(missing.body["detail"].as_str().unwrap().contains("/v2/nothing"));
    let method = send(house.request(key, Method::PUT, "/v1/calls")).await;
    method.refused(405, "method-not-allowed");
    assert!(method.headers["allow"].to_str().unwrap().contains("GET"));
    let both = send(house.request(key, Method::POST, "/v1/numbers/x")).await;
    both.refused(405, "method-not-allowed");
    let allowed = both.headers["allow"].to_str().unwrap();
    assert!(["GET", "PUT", "DELETE"].iter().all(|method| allowed.contains(method)), "{allowed}");
    house.get(key, "/v1/calls/call_x").await.refused(400, "bad-id");
    let wrong = house.get(key, "/v1/calls/app_00000000000000000000000000").await;
    wrong.refused(400, "bad-id");
    assert!(wrong.body["detail"].as_str().unwrap().contains("`call_`"), "{}", wrong.body);
    house.get(key, "/v1/calls/%ff").await.refused(400, "bad-id");
}

#[tokio::test]
async fn queries_are_read_strictly() {
    let house = House::open().await;
    for (query, field) in [
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("after=x", "after"),
        ("status=gone", "status"),
        ("limit=1&limit=2", "limit"),
    ] {
        let answer = house.get(&house.a.key, &format!("/v1/calls?{query}")).await;
        answer.refused(400, "bad-query");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(answer.fields() == [field] || detail.contains(&format!("`{field}`")), "{query}: {}", answer.body);
    }
    house.get(&house.a.key, "/v1/calls?limit=500&").await.expect(200);
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let house = House::open().await;
    let post = |kind: &'static str, body: &'static str| {
        send(house.request(&house.a.key, Method::POST, "/v1/applications").header("content-type", kind).body(body))
    };
    post("application/json", "{").await.refused(400, "bad-json");
    post("application/json", "{\"name\": \"x\"} and more").await.refused(400, "bad-json");
    post("application/json", "").await.refused(400, "bad-json");
    post("application/json", "\u{fffd}").await.refused(400, "bad-json");
    post("application/json", "[1]").await.refused(422, "invalid");
    post("text/plain", "{\"name\": \"x\"}").await.refused(415, "unsupported-media-type");
    let bare = house.request(&house.a.key, Method::POST, "/v1/applications").body("{\"name\": \"x\"}");
    send(bare).await.refused(415, "unsupported-media-type");
    post("application/json; charset=utf-8", "{\"name\": \"x\"}").await.expect(201);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_service_goes_on() {
    let house = House::open().await;
    let panicked = house.upload(&house.a.key, "/v1/modules?name=panics", "application/wasm", WASM).await;
    panicked.refused(500, "internal");
    assert!(!panicked.body.to_string().contains("on purpose"), "what a panic says is for the log");
    house.post(&house.a.key, "/v1/applications", &json!({ "name": "x" })).await.expect(201);
}

#[tokio::test]
async fn requests_have_ids_of_their_own() {
    let house = House::open().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let request = house.request(&house.a.key, Method::GET, "/v1/calls").header("x-request-id", "forged");
        ids.push(send(request).await.headers["x-request-id"].to_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.starts_with("req_")));
}
