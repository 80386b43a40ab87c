//! The node, its limits and its health.

use callbox_api::backend::{Check, CheckState};
use callbox_model::{FaultCode, Limits};
use serde_json::json;

use crate::house::{House, send};

#[tokio::test]
async fn the_node_and_its_limits_are_shown() {
    let house = House::open().await;
    let node = house.get(&house.operator, "/v1/node").await.expect(200);
    assert_eq!(node["listeners"], json!([{ "protocol": "sip/udp", "address": "127.0.0.1:5060" }]));
    assert_eq!((&node["version"], &node["uptime_s"]), (&json!("0.1.0"), &json!(7)));
    assert_eq!(node["checks"], json!([{ "name": "store", "failed": null }]));
    let limits = house.get(&house.a.key, "/v1/limits").await.expect(200);
    assert_eq!(limits["items"].as_array().unwrap().len(), Limits::manual().len());
    let module = &limits["items"][0];
    assert_eq!((&module["name"], &module["value"]), (&json!("module_bytes"), &json!(33_554_432)));
}

#[tokio::test]
async fn health_is_told_without_a_key_on_its_own_listener() {
    let house = House::open().await;
    let url = |path: &str| format!("http://{}{path}", house.service.health_addr());
    let alive = house.client.get(url("/livez")).send().await.unwrap();
    assert_eq!(alive.status(), 200);
    let metrics = house.client.get(url("/metrics")).send().await.unwrap();
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(metrics.text().await.unwrap(), "callbox_up 1\n");
    let ready = send(house.client.get(url("/readyz"))).await.expect(200);
    assert_eq!(ready, json!({ "ready": true, "checks": [{ "name": "store", "failed": null }] }));

    let state = CheckState::Failed("the voice is away".to_owned());
    house.memory.state().checks.push(Check { name: "voice".to_owned(), state });
    let ready = send(house.client.get(url("/readyz"))).await.expect(503);
    assert_eq!((&ready["ready"], &ready["checks"][1]["failed"]), (&json!(false), &json!("the voice is away")));
    assert_eq!(house.client.get(house.url("/metrics")).send().await.unwrap().status(), 404);
    assert_eq!(house.client.get(url("/v1/calls")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_dictionary_explains_every_code() {
    let house = House::open().await;
    let errors = house.get("", "/v1/errors").await.expect(200);
    for entry in errors["items"].as_array().unwrap() {
        for field in ["title", "means", "remedy"] {
            assert!(entry[field].as_str().is_some_and(|text| !text.is_empty()), "{entry}");
        }
        let code = entry["code"].as_str().unwrap();
        assert_eq!(&house.get("", &format!("/v1/errors/{code}")).await.expect(200), entry);
    }
    for fault in FaultCode::ALL {
        let entry = house.get("", &format!("/v1/errors/{fault}")).await.expect(200);
        assert_eq!((&entry["kind"], &entry["status"]), (&json!("fault"), &json!(null)));
        assert!(entry["blame"].is_string());
    }
    house.get("", "/v1/errors/nothing").await.refused(404, "not-found");
}
