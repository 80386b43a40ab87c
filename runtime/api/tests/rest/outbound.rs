//! Where applications may call, calls that are begun over REST, and what they cost.

use callbox_model::{ApplicationId, Header, Wall};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, send};

#[tokio::test]
async fn an_application_says_where_it_may_call() {
    let house = House::open().await;
    let a = &house.a.key;
    let plain = house.post(a, "/v1/applications", &json!({ "name": "plain" })).await.expect(201);
    let nowhere = json!({
        "trunk": null, "numbers": [], "domains": [], "networks": [], "media_networks": [], "caller_ids": []
    });
    assert_eq!(plain["outbound"], nowhere);

    house.trunk(a, "carrier").await;
    let outbound = json!({
        "trunk": "carrier",
        "numbers": ["+49", "+1"],
        "domains": ["Example.org", "*.Example.org"],
        "networks": ["203.0.113.0/24"],
        "media_networks": ["2001:db8::/32"],
        "caller_ids": ["+4930123456", "sip:sales@example.org"],
    });
    let made = house.post(a, "/v1/applications", &json!({ "name": "sales", "outbound": outbound })).await.expect(201);
    let mut kept = outbound.clone();
    kept["domains"] = json!(["example.org", "*.example.org"]);
    assert_eq!(made["outbound"], kept);

    for (field, value, named) in [
        ("trunk", json!("backup"), "outbound.trunk"),
        ("trunk", json!("a b"), "outbound.trunk"),
        ("numbers", json!(["+49", "49"]), "outbound.numbers[1]"),
        ("numbers", json!(["+"]), "outbound.numbers[0]"),
        ("numbers", json!(["*"]), "outbound.numbers[0]"),
        ("domains", json!(["*"]), "outbound.domains[0]"),
        ("domains", json!(["a.*.org"]), "outbound.domains[0]"),
        ("networks", json!(["203.0.113.0"]), "outbound.networks[0]"),
        ("media_networks", json!(["203.0.113.1/24"]), "outbound.media_networks[0]"),
        ("caller_ids", json!(["anna"]), "outbound.caller_ids[0]"),
        ("caller_ids", json!(vec!["+4930123456"; 257]), "outbound.caller_ids"),
        ("prefixes", json!([]), "outbound.prefixes"),
    ] {
        let refused = house.post(a, "/v1/applications", &json!({ "name": "x", "outbound": { field: value } })).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.fields(), [named]);
    }
    // Another tenant's trunk is none.
    let theirs = json!({ "name": "sales", "outbound": { "trunk": "carrier" } });
    let refused = house.post(&house.b.key, "/v1/applications", &theirs).await;
    refused.refused(422, "invalid");
    assert_eq!(refused.fields(), ["outbound.trunk"]);
}

/// An application of A that may call Germany and one host, and a user without a phone.
async fn caller(house: &House) -> String {
    house.trunk(&house.a.key, "carrier").await;
    house.domain(house.a.tenant, "example.org").await;
    let body = json!({ "name": "sales", "outbound": {
        "trunk": "carrier", "numbers": ["+49"], "domains": ["pbx.example"], "caller_ids": ["+4930123456"],
    } });
    house.post(&house.a.key, "/v1/applications", &body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_is_begun() {
    let house = House::open().await;
    let a = &house.a.key;
    let application = caller(&house).await;
    let body = json!({
        "application": application,
        "to": "+493098765",
        "from": "+4930123456",
        "timeout_ms": 30_000,
        "headers": [{ "name": "X-Campaign", "value": "7" }, { "name": "X-Campaign", "value": "8" }],
        "input": { "name": "Anna" },
    });
    let placed = house.post(a, "/v1/calls", &body).await;
    let location = placed.headers["location"].to_str().unwrap().to_owned();
    let placed = placed.expect(202);
    assert_eq!(location, format!("/v1/calls/{}", placed["id"].as_str().unwrap()));
    assert_eq!(placed.as_object().unwrap().len(), 1);
    {
        let state = house.memory.state();
        let (id, call) = &state.placed[0];
        assert_eq!(placed["id"], id.to_string());
        assert_eq!((&*call.to, call.from.as_deref(), call.timeout), ("+493098765", Some("+4930123456"), 30_000));
        let header = |value: &str| Header { name: "X-Campaign".to_owned(), value: value.to_owned() };
        assert_eq!(call.headers, [header("7"), header("8")]);
        assert_eq!(call.input.as_deref(), Some("{\"name\":\"Anna\"}"));
    }
    let short = json!({ "application": application, "to": "sip:100@pbx.example" });
    house.post(a, "/v1/calls", &short).await.expect(202);
    // An operator needs to name no tenant: the application does.
    house.post(&house.operator, "/v1/calls", &short).await.expect(202);
    let state = house.memory.state();
    let call = &state.placed[1].1;
    assert_eq!((call.from.as_deref(), call.timeout, call.input.as_deref()), (None, 60_000, None));
    assert_eq!(state.placed.len(), 3);
}

#[tokio::test]
async fn the_same_request_begins_one_call() {
    let house = House::open().await;
    let application = caller(&house).await;
    let place = |to: &str| {
        let body = json!({ "application": application, "to": to });
        send(house.request(&house.a.key, Method::POST, "/v1/calls").header("idempotency-key", "one").json(&body))
    };
    let (first, again) = (place("+4930").await, place("+4930").await);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(first.headers["location"], again.headers["location"]);
    assert_eq!(first.expect(202), again.expect(202));
    place("+4931").await.refused(422, "idempotency-mismatch");
    assert_eq!(house.memory.state().placed.len(), 1);
}

#[tokio::test]
async fn a_call_that_may_not_be_is_refused_by_its_code() {
    let house = House::open().await;
    let a = &house.a.key;
    let application = caller(&house).await;
    let trunkless = house.application(a, "trunkless").await;
    let user = house.post(a, "/v1/users", &json!({ "domain": "example.org", "name": "anna" })).await.expect(201);
    let house = &house;
    let place = |application: &str, to: &str| {
        let body = json!({ "application": application, "to": to });
        async move { house.post(a, "/v1/calls", &body).await }
    };
    place(&application, "+33123456").await.refused(403, "destination-denied");
    place(&application, "sip:100@127.0.0.1").await.refused(403, "destination-denied");
    place(&application, "nobody@example.org").await.refused(403, "destination-denied");
    place(&trunkless, "+493098765").await.refused(409, "no-trunk");
    place(&application, "anna@example.org").await.refused(409, "user-not-registered");
    house.registration(&user, "sip:anna@192.0.2.1");
    place(&application, "anna@example.org").await.expect(202);
    let disguised = json!({ "application": application, "to": "+493098765", "from": "+49110" });
    house.post(a, "/v1/calls", &disguised).await.refused(403, "caller-id-denied");
    place(&ApplicationId::from_u128(1).to_string(), "+4930").await.refused(404, "not-found");
    house.memory.state().is_draining = true;
    let away = place(&application, "+493098765").await;
    away.refused(503, "unavailable");
    assert!(away.headers.contains_key("retry-after"));
    house.memory.state().outbound.legs = 500;
    let full = place(&application, "+493098765").await;
    full.refused(429, "quota");
    assert!(full.body["detail"].as_str().unwrap().contains("outbound_legs"));
    assert_eq!(house.memory.state().placed.len(), 1);
    for code in ["destination-denied", "caller-id-denied", "no-trunk", "user-not-registered", "trunk-in-use"] {
        house.get("", &format!("/v1/errors/{code}")).await.expect(200);
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_call_is_named() {
    let house = House::open().await;
    let application = caller(&house).await;
    let good = json!({ "application": application, "to": "+493098765" });
    for (field, value, named) in [
        ("application", json!("app_1"), "application"),
        ("to", json!(""), "to"),
        ("to", json!("a b"), "to"),
        ("to", json!("<sip:a@b>"), "to"),
        ("to", json!("sip:a@b\r\nVia: x"), "to"),
        ("from", json!("anna"), "from"),
        ("timeout_ms", json!(999), "timeout_ms"),
        ("timeout_ms", json!(600_001), "timeout_ms"),
        ("headers", json!([{ "name": "a b", "value": "" }]), "headers[0].name"),
        ("headers", json!([{ "name": "X-A", "value": "1\r\nVia: x" }]), "headers[0].value"),
        ("headers", json!([{ "name": "X-A" }]), "headers[0].value"),
        ("headers", json!(vec![json!({ "name": "X-A", "value": "1" }); 33]), "headers"),
        ("input", json!("x".repeat(70_000)), "input"),
        ("trunk", json!("carrier"), "trunk"),
    ] {
        let mut body: Value = good.clone();
        body[field] = value;
        let refused = house.post(&house.a.key, "/v1/calls", &body).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.fields(), [named]);
    }
    house.post(&house.a.key, "/v1/calls", &json!({ "to": "+4930" })).await.refused(422, "invalid");
    assert!(house.memory.state().placed.is_empty());
}

#[tokio::test]
async fn what_was_bought_today_is_shown_beside_its_limits() {
    let house = House::open().await;
    {
        let mut state = house.memory.state();
        let today = &mut state.outbound;
        (today.day, today.minutes, today.spend_micros, today.legs) = (Wall(1_700_006_400_000_000), 12, 144_000, 3);
        today.codes = ["1".to_owned(), "49".to_owned()].into();
        today.new_codes = ["1".to_owned()].into();
    }
    let path = format!("/v1/tenants/{}/outbound", house.a.tenant);
    let shown = house.get(&house.a.key, &path).await.expect(200);
    assert_eq!(
        shown,
        json!({
            "day": "2023-11-15T00:00:00.000000Z",
            "minutes": 12,
            "spend_micros": 144_000,
            "codes": ["1", "49"],
            "new_codes": ["1"],
            "legs": 3,
            "limits": {
                "outbound_legs": 500,
                "outbound_legs_per_minute": 120,
                "outbound_minutes_per_day": 10_000,
                "outbound_spend_micros_per_day": 100_000_000,
                "outbound_new_prefixes_per_day": 3,
            },
        })
    );
    assert_eq!(house.get(&house.operator, &path).await.expect(200), shown);
    house.get(&house.b.key, &path).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_number_lets_strangers_in_when_it_says_so() {
    let house = House::open().await;
    let (a, operator) = (&house.a.key, &house.operator);
    let within = format!("/v1/numbers?tenant={}", house.a.tenant);
    let number = house.post(operator, &within, &json!({ "address": "100" })).await.expect(201);
    assert_eq!(number["anonymous"], false);
    let open = json!({ "address": "200", "anonymous": true });
    assert_eq!(house.post(operator, &within, &open).await.expect(201)["anonymous"], true);
    let path = format!("/v1/numbers/{}", number["id"].as_str().unwrap());
    assert_eq!(house.patch(a, &path, &json!({ "anonymous": true })).await.expect(200)["anonymous"], true);
    let bound = house.put(a, &path, &json!({ "application": null })).await.expect(200);
    assert_eq!(bound["anonymous"], true, "binding leaves it as it is");
    house.patch(a, &path, &json!({})).await.refused(422, "invalid");
    house.patch(a, &path, &json!({ "anonymous": "yes" })).await.refused(422, "invalid");
    house.patch(&house.b.key, &path, &json!({ "anonymous": false })).await.refused(404, "not-found");
}
