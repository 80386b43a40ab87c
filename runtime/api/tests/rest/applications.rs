//! Applications, secrets, assets, numbers.

use callbox_model::ApplicationId;
use reqwest::Method;
use serde_json::json;

use crate::house::{House, WAV, send};

#[tokio::test]
async fn an_application_is_made_changed_and_deleted() {
    let house = House::open().await;
    let key = &house.a.key;
    let body = json!({
        "name": "ivr",
        "handlers": [{ "module": "menu" }, { "module": "fallback", "version": 3 }],
        "config": { "greeting": "Hello" },
        "headers": ["Diversion"],
        "apology": "Sorry.",
        "last_resort_status": 486,
    });
    let made = house.post(key, "/v1/applications", &body).await;
    assert_eq!(made.headers["etag"], "\"1\"");
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let made = made.expect(201);
    assert_eq!(
        made["handlers"],
        json!([{ "module": "menu", "version": null }, { "module": "fallback", "version": 3 }])
    );
    assert_eq!(house.get(key, &path).await.expect(200), made);
    house.post(key, "/v1/applications", &body).await.refused(409, "name-taken");

    let change = json!({ "name": "ivr", "handlers": [] });
    house.put(key, &path, &change).await.refused(428, "revision-needed");
    let put = |revision: &'static str| {
        send(house.request(key, Method::PUT, &path).header("if-match", revision).json(&change))
    };
    put("\"7\"").await.refused(412, "revision-mismatch");
    put("seven").await.refused(400, "bad-header");
    let changed = put("\"1\"").await;
    assert_eq!(changed.headers["etag"], "\"2\"");
    let changed = changed.expect(200);
    assert_eq!((&changed["revision"], &changed["config"]), (&json!(2), &json!({})));
    put("\"1\"").await.refused(412, "revision-mismatch");
    put("*").await.expect(200);

    house.delete(key, &path).await.expect(204);
    house.get(key, &path).await.refused(404, "not-found");
    house.delete(key, &path).await.refused(404, "not-found");
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let house = House::open().await;
    let refusals = [
        (json!({ "name": "a", "handler": [] }), "handler"),
        (json!({ "name": 5 }), "name"),
        (json!({}), "name"),
        (json!({ "name": "a", "handlers": [{ "module": "m", "versoin": 1 }] }), "handlers[0].versoin"),
        (json!({ "name": "a", "handlers": [{}] }), "handlers[0].module"),
        (json!({ "name": "a", "last_resort_status": 200 }), "last_resort_status"),
        (json!({ "name": "a", "last_resort_status": 100_000 }), "last_resort_status"),
        (json!({ "name": "a", "config": { "x": 1 } }), "config.x"),
        (json!({ "name": "a b" }), "name"),
        (json!({ "name": "a", "apology": "x".repeat(5_000) }), "apology"),
    ];
    for (body, field) in refusals {
        let answer = house.post(&house.a.key, "/v1/applications", &body).await;
        answer.refused(422, "invalid");
        assert_eq!(answer.fields(), [field], "{body}");
    }
}

#[tokio::test]
async fn a_secret_is_written_and_never_shown() {
    let house = House::open().await;
    let key = &house.a.key;
    let id = house.application(key, "ivr").await;
    let secrets = format!("/v1/applications/{id}/secrets");
    house.put(key, &format!("{secrets}/TOKEN"), &json!({ "value": "hush" })).await.expect(204);
    let listed = house.get(key, &secrets).await.expect(200);
    assert_eq!(listed, json!({ "items": ["TOKEN"] }));
    let application = house.get(key, &format!("/v1/applications/{id}")).await.expect(200);
    assert_eq!(application["secrets"], json!(["TOKEN"]));
    assert!(!application.to_string().contains("hush"));
    let kept: ApplicationId = id.parse().unwrap();
    assert_eq!(house.memory.state().secrets[&(kept, "TOKEN".to_owned())], "hush");
    house.put(key, &format!("{secrets}/a%20b"), &json!({ "value": "x" })).await.refused(422, "invalid");
    let big = json!({ "value": "x".repeat(70_000) });
    house.put(key, &format!("{secrets}/BIG"), &big).await.refused(422, "invalid");
    house.put(key, &format!("{secrets}/T"), &json!({ "valeu": "x" })).await.refused(422, "invalid");
    house.delete(key, &format!("{secrets}/TOKEN")).await.expect(204);
    house.delete(key, &format!("{secrets}/TOKEN")).await.refused(404, "not-found");
}

#[tokio::test]
async fn an_asset_is_kept_and_given_back_whole_and_in_part() {
    let house = House::open().await;
    let key = &house.a.key;
    let assets = format!("/v1/applications/{}/assets", house.application(key, "ivr").await);
    let hello = format!("{assets}/hello.wav");
    let kept = house.upload(key, &hello, "audio/wav", WAV).await.expect(200);
    assert_eq!((&kept["name"], &kept["bytes"]), (&json!("hello.wav"), &json!(WAV.len())));
    house.upload(key, &format!("{assets}/bye"), "audio/wav", WAV).await.expect(200);
    let listed = house.get(key, &format!("{assets}?limit=1")).await.expect(200);
    assert_eq!((&listed["items"][0]["name"], &listed["next"]), (&json!("bye"), &json!("bye")));
    let rest = house.get(key, &format!("{assets}?after=bye")).await.expect(200);
    assert_eq!((&rest["items"][0]["name"], &rest["next"]), (&json!("hello.wav"), &json!(null)));

    let whole = house.request(key, Method::GET, &hello).send().await.unwrap();
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.bytes().await.unwrap(), WAV);
    let part = house.request(key, Method::GET, &hello).header("range", "bytes=4-7").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()), (206, "bytes 4-7/25"));
    assert_eq!(part.bytes().await.unwrap(), WAV[4..8]);
    let behind = send(house.request(key, Method::GET, &hello).header("range", "bytes=99-")).await;
    behind.refused(416, "range-not-satisfiable");
    assert_eq!(behind.headers["content-range"], "bytes */25");

    house.upload(key, &hello, "audio/wav", "MP3").await.refused(422, "invalid");
    house.upload(key, &format!("{assets}/a%20b"), "audio/wav", WAV).await.refused(422, "invalid");
    send(house.request(key, Method::PUT, &hello).header("content-type", "audio/mpeg").body(WAV))
        .await
        .refused(415, "unsupported-media-type");
    house.delete(key, &hello).await.expect(204);
    house.delete(key, &hello).await.refused(404, "not-found");
    house.get(key, &hello).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_number_is_given_by_the_operator_and_bound_by_its_tenant() {
    let house = House::open().await;
    let (a, operator) = (&house.a.key, &house.operator);
    let within = format!("/v1/numbers?tenant={}", house.a.tenant);
    let number = house.post(operator, &within, &json!({ "address": "100" })).await.expect(201);
    assert_eq!((&number["address"], &number["application"]), (&json!("100"), &json!(null)));
    house.post(operator, "/v1/numbers", &json!({ "address": "101" })).await.refused(400, "tenant-needed");
    house.post(operator, &within, &json!({ "address": "100" })).await.refused(409, "address-taken");
    house.post(operator, &within, &json!({ "address": "sip:100" })).await.refused(422, "invalid");

    let path = format!("/v1/numbers/{}", number["id"].as_str().unwrap());
    let application = house.application(a, "ivr").await;
    let bound = house.put(a, &path, &json!({ "application": application })).await.expect(200);
    assert_eq!(bound["application"], application);
    let listed = house.get(a, &format!("/v1/numbers?application={application}")).await.expect(200);
    assert_eq!(listed["items"][0], bound);
    assert_eq!(house.get(a, "/v1/numbers?address=200").await.expect(200)["items"], json!([]));
    house.delete(a, &format!("/v1/applications/{application}")).await.refused(409, "application-in-use");

    let missing = house.put(a, &path, &json!({})).await;
    missing.refused(422, "invalid");
    assert_eq!(missing.fields(), ["application"], "an empty body must not unbind");
    let theirs = house.application(&house.b.key, "theirs").await;
    house.put(a, &path, &json!({ "application": theirs })).await.refused(422, "invalid");
    house.put(a, &path, &json!({ "application": "app_1" })).await.refused(422, "invalid");
    house.put(a, &path, &json!({ "application": null })).await.expect(200);
    house.delete(a, &format!("/v1/applications/{application}")).await.expect(204);

    house.delete(a, &path).await.refused(403, "operator-only");
    house.delete(operator, &path).await.expect(204);
    house.get(a, &path).await.refused(404, "not-found");
}
