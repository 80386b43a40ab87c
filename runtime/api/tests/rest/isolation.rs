//! Tenant B and everything of tenant A.

use callbox_model::CallStatus;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, WASM, WAV, send};

/// Every operation of the document whose path has an id, with A's own ids in it: not there for B,
/// with the very words that it has for what never was.
#[tokio::test]
async fn everything_of_another_tenant_is_not_there() {
    let house = House::open().await;
    let (a, b) = (&house.a.key, &house.b.key);
    let application = house.application(a, "ivr").await;
    house.put(a, &format!("/v1/applications/{application}/secrets/x"), &json!({ "value": "1" })).await.expect(204);
    house.upload(a, &format!("/v1/applications/{application}/assets/x"), "audio/wav", WAV).await.expect(200);
    let module = house.upload(a, "/v1/modules?name=ivr", "application/wasm", WASM).await.expect(201);
    let within = format!("/v1/numbers?tenant={}", house.a.tenant);
    let number = house.post(&house.operator, &within, &json!({ "address": "100" })).await.expect(201);
    let within = format!("/v1/domains?tenant={}", house.a.tenant);
    let domain = house.post(&house.operator, &within, &json!({ "name": "example.org" })).await.expect(201);
    let user = house.post(a, "/v1/users", &json!({ "domain": "example.org", "name": "anna" })).await.expect(201);
    house.registration(&user, "sip:anna@192.0.2.1");
    let trunk = house.trunk(a, "carrier").await;
    let call = house.call(house.a.tenant, CallStatus::InProgress);
    let recording = house.recording(house.a.tenant, call, Some("nowhere".into()));

    let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let ids = [
        ("/v1/tenants/{id}", house.a.tenant.to_string()),
        ("/v1/applications/{id}", application),
        ("/v1/modules/{id}", text(&module)),
        ("/v1/numbers/{id}", text(&number)),
        ("/v1/domains/{id}", text(&domain)),
        ("/v1/users/{id}", text(&user)),
        ("/v1/trunks/{id}", trunk),
        ("/v1/calls/{id}", call.to_string()),
        ("/v1/recordings/{id}", recording.to_string()),
    ];
    let document = house.get("", "/v1/openapi.json").await.expect(200);
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.contains("{id}")) {
        if path.starts_with("/v1/keys") || path.ends_with("/keys") || path.ends_with("{key}") {
            continue;
        }
        let (pattern, id) = ids.iter().find(|(pattern, _)| path.starts_with(pattern)).unwrap();
        for method in item.as_object().unwrap().keys() {
            let is_operators = (method == "delete" && pattern.contains("numbers"))
                || (method != "get" && pattern.contains("domains"))
                || (method == "patch" && pattern.contains("tenants"));
            if is_operators {
                continue;
            }
            let never = format!("{}_{}", id.split('_').next().unwrap(), "0".repeat(26));
            let mut words = Vec::new();
            for id in [id, &never] {
                let url = path.replace("{id}", id).replace("{name}", "x");
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let request = house.request(b, method.clone(), &url).header("if-match", "*");
                let request = match (method.as_str(), path.as_str()) {
                    ("PUT", path) if path.contains("assets") => request.header("content-type", "audio/wav").body(WAV),
                    ("PUT", path) if path.contains("secrets") => request.json(&json!({ "value": "2" })),
                    ("PUT", path) if path.contains("numbers") => request.json(&json!({ "application": null })),
                    ("PUT", path) if path.contains("trunks") => {
                        request.json(&json!({ "name": "mine", "uri": "sip:mine.example" }))
                    }
                    ("PUT", _) => request.json(&json!({ "name": "mine" })),
                    ("PATCH", path) if path.contains("numbers") => request.json(&json!({ "anonymous": true })),
                    ("PATCH", path) if path.contains("users") => request.json(&json!({ "password": null })),
                    ("PATCH", _) => request.json(&json!({ "state": "disabled" })),
                    ("POST", path) if path.contains("messages") => request.json(&json!({ "body": 1 })),
                    _ => request,
                };
                let answer = send(request).await;
                answer.refused(404, "not-found");
                words.push(answer.body["detail"].as_str().unwrap().replace(id.as_str(), "…"));
            }
            assert_eq!(words[0], words[1], "{method} {path} tells another tenant's thing from none");
            asked += 1;
        }
    }
    assert!(asked >= 33, "only {asked} operations were asked");

    for list in
        ["applications", "modules", "numbers", "domains", "users", "trunks", "calls", "recordings", "events", "usage"]
    {
        let answer = house.get(b, &format!("/v1/{list}")).await.expect(200);
        assert_eq!(answer["items"], json!([]), "{list}");
        assert!(
            !house.get(a, &format!("/v1/{list}")).await.expect(200)["items"].as_array().unwrap().is_empty(),
            "{list}"
        );
    }
    let mine = house.application(b, "ivr").await;
    assert!(!mine.is_empty(), "names of two tenants do not meet");
    house.trunk(b, "carrier").await;
    // Nor can it put anything into A's domain, through A's trunk, or on behalf of A's application.
    let stray = house.post(b, "/v1/users", &json!({ "domain": "example.org", "name": "bert" })).await;
    stray.refused(422, "invalid");
    assert_eq!(stray.fields(), ["domain"]);
    let call = json!({ "application": ids[1].1, "to": "+4930123456" });
    house.post(b, "/v1/calls", &call).await.refused(404, "not-found");
    let state = house.memory.state();
    assert_eq!(state.messages.len(), 0);
    assert!(state.calls.values().all(|call| call.status == CallStatus::InProgress));
    assert_eq!((state.placed.len(), state.users.len(), state.registrations.len()), (0, 1, 1));
    assert!(state.secrets.values().all(|value| value == "1"));
}
