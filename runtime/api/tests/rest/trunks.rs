//! Trunks.

use callbox_model::{TrunkId, TrunkState, Wall};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{Answer, House, send};

async fn put(house: &House, path: &str, revision: &str, body: &Value) -> Answer {
    send(house.request(&house.a.key, Method::PUT, path).header("if-match", revision).json(body)).await
}

#[tokio::test]
async fn a_trunk_is_made_changed_and_deleted() {
    let house = House::open().await;
    let a = &house.a.key;
    let body = json!({
        "name": "carrier",
        "uri": "sip:carrier.example:5070;transport=tcp",
        "networks": ["192.0.2.0/24", "2001:db8::/48"],
        "media_networks": ["198.51.100.0/24"],
        "username": "acme",
        "password": "hush",
        "realm": "carrier.example",
        "register": true,
        "expires_s": 300,
        "caller_id": "+4930123456",
        "minute_price_micros": 12_000,
    });
    let made = house.post(a, "/v1/trunks", &body).await;
    assert_eq!(made.headers["etag"], "\"1\"");
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let made = made.expect(201);
    for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "password") {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!((&made["has_password"], &made["revision"]), (&json!(true), &json!(1)));
    assert!(made.get("password").is_none());
    let shown = house.get(a, &path).await;
    assert_eq!(shown.headers["etag"], "\"1\"");
    assert_eq!(shown.expect(200), made);
    house.post(a, "/v1/trunks", &body).await.refused(409, "name-taken");
    house.post(&house.operator, "/v1/trunks", &body).await.refused(400, "tenant-needed");

    let change = json!({ "name": "carrier", "uri": "sips:carrier.example", "username": "acme" });
    house.put(a, &path, &change).await.refused(428, "revision-needed");
    put(&house, &path, "\"7\"", &change).await.refused(412, "revision-mismatch");
    let changed = put(&house, &path, "\"1\"", &change).await;
    assert_eq!(changed.headers["etag"], "\"2\"");
    let changed = changed.expect(200);
    assert_eq!((&changed["networks"], &changed["realm"]), (&json!([]), &json!(null)));
    let id = made["id"].as_str().unwrap();
    let kept = || house.memory.state().passwords.get(id).cloned();
    assert_eq!((&changed["has_password"], kept().as_deref()), (&json!(true), Some("hush")), "what is not said stays");
    let mut other = change.clone();
    other["password"] = json!("hush hush");
    put(&house, &path, "*", &other).await.expect(200);
    assert_eq!(kept().as_deref(), Some("hush hush"));
    other["password"] = json!(null);
    assert_eq!(put(&house, &path, "*", &other).await.expect(200)["has_password"], false);
    assert_eq!(kept(), None);

    let listed = house.get(a, "/v1/trunks?name=carrier").await.expect(200);
    assert_eq!(listed["items"][0]["id"], made["id"]);
    assert_eq!(house.get(a, "/v1/trunks?name=backup").await.expect(200)["items"], json!([]));
    house.delete(a, &path).await.expect(204);
    house.delete(a, &path).await.refused(404, "not-found");
}

#[tokio::test]
async fn how_its_registration_stands_is_shown() {
    let house = House::open().await;
    let id: TrunkId = house.trunk(&house.a.key, "carrier").await.parse().unwrap();
    let shown = async || house.get(&house.a.key, &format!("/v1/trunks/{id}")).await.expect(200)["state"].clone();
    assert_eq!(shown().await, json!({ "state": "static" }));
    let reason = "Forbidden".to_owned();
    for (state, expected) in [
        (TrunkState::Registering, json!({ "state": "registering" })),
        (
            TrunkState::Registered { until: Wall(1_800_000_000_000_000) },
            json!({ "state": "registered", "until": "2027-01-15T08:00:00.000000Z" }),
        ),
        (
            TrunkState::Failed { status: 403, reason },
            json!({ "state": "failed", "status": 403, "reason": "Forbidden" }),
        ),
    ] {
        house.memory.state().trunk_states.insert(id, state);
        assert_eq!(shown().await, expected);
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_trunk_is_named() {
    let house = House::open().await;
    let good = json!({ "name": "carrier", "uri": "sip:carrier.example", "username": "acme" });
    for (field, value, named) in [
        ("name", json!("a b"), "name"),
        ("uri", json!("carrier.example"), "uri"),
        ("uri", json!("sip:100@carrier.example"), "uri"),
        ("uri", json!("sip:carrier.example;maddr=127.0.0.1"), "uri"),
        ("networks", json!(["192.0.2.1"]), "networks[0]"),
        ("networks", json!(["192.0.2.0/24", "192.0.2.1/24"]), "networks[1]"),
        ("networks", json!(["::/0"]), "networks[0]"),
        ("media_networks", json!(["192.0.2.0/33"]), "media_networks[0]"),
        ("username", json!(""), "username"),
        ("username", json!("a\"b"), "username"),
        ("username", json!("a\r\nVia: x"), "username"),
        ("password", json!(""), "password"),
        ("password", json!(5), "password"),
        ("realm", json!("a\\b"), "realm"),
        ("expires_s", json!(59), "expires_s"),
        ("caller_id", json!("anna"), "caller_id"),
        ("minute_price_micros", json!(1_000_000_001), "minute_price_micros"),
        ("state", json!("static"), "state"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = house.post(&house.a.key, "/v1/trunks", &body).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.fields(), [named], "{body}");
    }
    let nameless = json!({ "name": "carrier", "uri": "sip:carrier.example", "register": true, "password": "x" });
    let refused = house.post(&house.a.key, "/v1/trunks", &nameless).await;
    assert_eq!(refused.fields(), ["register", "password"]);
    assert!(house.memory.state().trunks.is_empty());
}

#[tokio::test]
async fn a_trunk_that_an_application_names_stays_and_keeps_its_name() {
    let house = House::open().await;
    let a = &house.a.key;
    let id = house.trunk(a, "carrier").await;
    let path = format!("/v1/trunks/{id}");
    let body = json!({ "name": "sales", "outbound": { "trunk": "carrier" } });
    let application = house.post(a, "/v1/applications", &body).await.expect(201);
    house.delete(a, &path).await.refused(409, "trunk-in-use");
    let change = |name: &str| json!({ "name": name, "uri": "sip:other.example" });
    put(&house, &path, "*", &change("main")).await.refused(409, "trunk-in-use");
    put(&house, &path, "*", &change("carrier")).await.expect(200);
    house.delete(a, &format!("/v1/applications/{}", application["id"].as_str().unwrap())).await.expect(204);
    house.delete(a, &path).await.expect(204);
}
