//! Calls, Runs, recordings, usage.

use callbox_model::{CallId, CallStatus, Change, Subject};
use reqwest::Method;
use serde_json::json;

use crate::house::{House, send};

#[tokio::test]
async fn calls_are_listed_filtered_and_shown() {
    let house = House::open().await;
    let key = &house.a.key;
    let ids: Vec<_> = (0..5).map(|_| house.call(house.a.tenant, CallStatus::Completed)).collect();
    let running = house.call(house.a.tenant, CallStatus::InProgress);
    house.call(house.b.tenant, CallStatus::InProgress);

    let first = house.get(key, "/v1/calls?limit=4").await.expect(200);
    assert_eq!(first["items"][0]["id"], running.to_string(), "the newest first");
    let rest = house.get(key, &format!("/v1/calls?after={}", first["next"].as_str().unwrap())).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest["items"][1]["id"], ids[0].to_string());
    let now = house.get(key, "/v1/calls?status=in-progress").await.expect(200);
    assert_eq!(now["items"].as_array().unwrap().len(), 1);
    let started =
        house.get(key, &format!("/v1/calls/{}", ids[2])).await.expect(200)["started"].as_str().unwrap().to_owned();
    let since = house.get(key, &format!("/v1/calls?since={started}")).await.expect(200);
    assert_eq!(since["items"].as_array().unwrap().len(), 4);
    let until = house.get(key, &format!("/v1/calls?until={started}&number=100")).await.expect(200);
    assert_eq!(until["items"].as_array().unwrap().len(), 2);
    house.get(key, "/v1/calls?since=yesterday").await.refused(400, "bad-query");
    house.get(key, &format!("/v1/calls/{}", CallId::from_u128(1))).await.refused(404, "not-found");
    let all = house.get(&house.operator, "/v1/calls").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_call_has_its_timeline_and_its_runs() {
    let house = House::open().await;
    let key = &house.a.key;
    let call = house.call(house.a.tenant, CallStatus::InProgress);
    for digit in ['1', '2', '3'] {
        let change = Change::DigitPressed { leg: 1, digit, length_ms: 80 };
        house.memory.note(Subject::Call(call), Some(house.a.tenant), change);
    }
    let timeline = house.get(key, &format!("/v1/calls/{call}/timeline?limit=3")).await.expect(200);
    let types: Vec<_> = timeline["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["call.answered", "call.digit", "call.digit"]);
    assert_eq!(timeline["items"][0]["data"], json!({}), "an event without data still has an object");
    assert_eq!(timeline["items"][1]["data"]["digit"], "1");
    let next = timeline["next"].as_str().unwrap();
    let rest = house.get(key, &format!("/v1/calls/{call}/timeline?after={next}")).await.expect(200);
    assert_eq!((&rest["items"][0]["sequence"], &rest["next"]), (&json!(4), &json!(null)));

    let runs = house.get(key, &format!("/v1/calls/{call}/runs")).await.expect(200);
    assert_eq!(
        runs["items"][0]["end"],
        json!({
            "reason": "fault", "fault": { "code": "out-of-cpu", "message": "100 ms" }
        })
    );
    assert_eq!(runs["items"][1]["end"], json!(null));
}

#[tokio::test]
async fn a_running_call_is_told_things_and_a_past_one_is_not() {
    let house = House::open().await;
    let key = &house.a.key;
    let path = format!("/v1/calls/{}", house.call(house.a.tenant, CallStatus::InProgress));
    let message = json!({ "sender": "crm", "body": { "name": "Anna" } });
    assert!(house.post(key, &format!("{path}/messages"), &message).await.expect(202).is_null());
    house.post(key, &format!("{path}/messages"), &json!({ "body": null })).await.expect(202);
    {
        let state = house.memory.state();
        assert_eq!((&*state.messages[0].1.sender, &*state.messages[0].1.body), ("crm", "{\"name\":\"Anna\"}"));
        assert_eq!((&*state.messages[1].1.sender, &*state.messages[1].1.body), ("rest", "null"));
    }
    house.post(key, &format!("{path}/messages"), &json!({ "sender": "crm" })).await.refused(422, "invalid");
    let big = json!({ "body": "x".repeat(70_000) });
    house.post(key, &format!("{path}/messages"), &big).await.refused(422, "invalid");
    send(house.request(key, Method::POST, &format!("{path}/hangup"))).await.expect(202);
    send(house.request(key, Method::POST, &format!("{path}/hangup"))).await.refused(409, "call-over");
    house.post(key, &format!("{path}/messages"), &message).await.refused(409, "call-over");
}

#[tokio::test]
async fn recordings_are_listed_shown_and_heard() {
    let house = House::open().await;
    let key = &house.a.key;
    let call = house.call(house.a.tenant, CallStatus::InProgress);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let sound: Vec<u8> = (0..200_000u32).map(|at| at as u8).collect();
    std::fs::write(&path, &sound).unwrap();
    let done = house.recording(house.a.tenant, call, Some(path));
    let gone = house.recording(house.a.tenant, call, Some(folder.path().join("gone.wav")));
    let running = house.recording(house.a.tenant, call, None);

    let listed = house.get(key, &format!("/v1/recordings?call={call}&limit=1")).await.expect(200);
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["length_ms"]),
        (&json!(running.to_string()), &json!(null))
    );
    let rest = house.get(key, &format!("/v1/recordings?after={}", listed["next"].as_str().unwrap())).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(house.get(key, &format!("/v1/recordings/{done}")).await.expect(200)["length_ms"], 20);

    let audio = format!("/v1/recordings/{done}/audio");
    let whole = house.request(key, Method::GET, &audio).send().await.unwrap();
    assert_eq!(whole.headers()["content-length"], "200000");
    assert_eq!(whole.bytes().await.unwrap(), sound);
    let tail = house.request(key, Method::GET, &audio).header("range", "bytes=-70000").send().await.unwrap();
    assert_eq!(tail.status(), 206);
    assert_eq!(tail.bytes().await.unwrap(), sound[130_000..]);
    house.get(key, &format!("/v1/recordings/{running}/audio")).await.refused(409, "recording-running");
    house.get(key, &format!("/v1/recordings/{gone}/audio")).await.refused(404, "not-found");
}

#[tokio::test]
async fn usage_is_summed_by_what_is_asked() {
    let house = House::open().await;
    house.call(house.a.tenant, CallStatus::Completed);
    house.call(house.b.tenant, CallStatus::Completed);
    let by_module = house.get(&house.a.key, "/v1/usage").await.expect(200);
    let rows = by_module["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["module_name"], &rows[0]["usage"]["cpu_ns"]), (&json!("ivr"), &json!(100)));
    let by_tenant = house.get(&house.operator, "/v1/usage?by=tenant").await.expect(200);
    let rows = by_tenant["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["module_name"], &rows[0]["usage"]["cpu_ns"]), (&json!(null), &json!(107)));
    let one = house.get(&house.operator, "/v1/usage?module=ivr&by=application&since=2023-01-01T00:00:00Z").await;
    assert_eq!(one.expect(200)["items"].as_array().unwrap().len(), 2);
    let none = house.get(&house.operator, "/v1/usage?until=2023-01-01T00:00:00%2B01:00").await.expect(200);
    assert_eq!(none["items"], json!([]));
    house.get(&house.a.key, "/v1/usage?by=colour").await.refused(400, "bad-query");
}
