//! Modules on their way in, and their states.

use callbox_model::ModuleId;
use serde_json::json;

use crate::house::{House, WASM};

const TYPE: &str = "application/wasm";

#[tokio::test]
async fn a_module_is_uploaded_and_described() {
    let house = House::open().await;
    let answer = house.upload(&house.a.key, "/v1/modules?name=ivr", TYPE, WASM).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let module = answer.expect(201);
    assert_eq!((&module["name"], &module["version"], &module["state"]), (&json!("ivr"), &json!(1), &json!("ready")));
    assert_eq!((&module["world"], &module["bytes"]), (&json!("call-handler"), &json!(8)));
    assert_eq!(house.get(&house.a.key, &location).await.expect(200), module);
    let second = house.upload(&house.a.key, "/v1/modules?name=ivr", TYPE, WASM).await.expect(201);
    assert_eq!(second["version"], 2);
    house.upload(&house.a.key, "/v1/modules?name=other", TYPE, WASM).await.expect(201);
    let versions = house.get(&house.a.key, "/v1/modules?name=ivr").await.expect(200);
    let versions: Vec<_> = versions["items"].as_array().unwrap().iter().map(|m| m["version"].as_u64()).collect();
    assert_eq!(versions, [Some(2), Some(1)], "the newest first");
    let piece = house.get(&house.a.key, "/v1/modules?limit=2").await.expect(200);
    let rest = house.get(&house.a.key, &format!("/v1/modules?after={}", piece["next"].as_str().unwrap())).await;
    assert_eq!(rest.expect(200)["items"][0]["id"], module["id"]);
}

#[tokio::test]
async fn what_is_no_module_is_refused_with_its_reason() {
    let house = House::open().await;
    let refused = house.upload(&house.a.key, "/v1/modules?name=ivr", TYPE, "text").await;
    refused.refused(422, "not-wasm");
    assert_eq!(refused.body["title"], "No WebAssembly", "the backend's own entry of the dictionary");
    assert_eq!(refused.body["detail"], "offset 0: no magic");
    let explained = house.get("", "/v1/errors/not-wasm").await.expect(200);
    assert_eq!((&explained["remedy"], &explained["status"]), (&json!("Build one."), &json!(422)));

    let key = &house.a.key;
    house.upload(key, "/v1/modules?name=a%20b", TYPE, WASM).await.refused(422, "invalid");
    house.upload(key, "/v1/modules", TYPE, WASM).await.refused(400, "bad-query");
    house.upload(key, "/v1/modules?name=ivr", "application/json", "{}").await.refused(415, "unsupported-media-type");
    let quota = house.upload(key, "/v1/modules?name=quota", TYPE, WASM).await;
    quota.refused(429, "quota");
    assert!(quota.body["detail"].as_str().unwrap().contains("uploads_per_hour"));
    assert!(quota.headers.contains_key("retry-after"));
    house.upload(key, "/v1/modules?name=away", TYPE, WASM).await.refused(503, "unavailable");
    house.upload(&house.operator, "/v1/modules?name=ivr", TYPE, WASM).await.refused(400, "tenant-needed");
}

#[tokio::test]
async fn states_go_where_their_role_may_put_them() {
    let house = House::open().await;
    let module = house.upload(&house.a.key, "/v1/modules?name=ivr", TYPE, WASM).await.expect(201);
    let path = format!("/v1/modules/{}", module["id"].as_str().unwrap());
    let set = |state: &'static str| json!({ "state": state });
    let off = house.patch(&house.a.key, &path, &set("disabled")).await.expect(200);
    assert_eq!(off["state"], "disabled");
    house.patch(&house.a.key, &path, &set("disabled")).await.expect(200);
    house.patch(&house.a.key, &path, &set("ready")).await.expect(200);
    house.patch(&house.a.key, &path, &set("quarantined")).await.refused(403, "operator-only");
    house.patch(&house.operator, &path, &set("quarantined")).await.expect(200);
    house.patch(&house.a.key, &path, &set("ready")).await.refused(403, "operator-only");
    let listed = house.get(&house.a.key, "/v1/modules?state=quarantined").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    house.patch(&house.operator, &path, &set("ready")).await.expect(200);
    let wrong = house.patch(&house.a.key, &path, &set("gone")).await;
    wrong.refused(422, "invalid");
    assert_eq!(wrong.fields(), ["state"]);
    let unknown = format!("/v1/modules/{}", ModuleId::from_u128(1));
    house.patch(&house.a.key, &unknown, &set("ready")).await.refused(404, "not-found");
    house.get(&house.a.key, "/v1/modules?state=gone").await.refused(400, "bad-query");
}
