//! Events in pieces, and as a stream.

use std::time::Duration;

use callbox_model::{CallId, CallStatus, Change, Subject};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::house::{House, config, send};

/// A client of a stream.
struct Ear {
    response: Response,
    text: String,
}

/// One block of a stream.
#[derive(Debug, Default)]
struct Block {
    id: Option<String>,
    event: Option<String>,
    data: Option<Value>,
    is_comment: bool,
}

impl Ear {
    async fn open(house: &House, key: &str, path: &str, last: Option<&str>) -> Self {
        let mut request = house.request(key, Method::GET, path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// None at the end of the stream.
    async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                return Some(read(&block));
            }
            let chunk = timeout(Duration::from_secs(10), self.response.chunk()).await.expect("nothing for 10 s");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The next one that is an event.
    async fn event(&mut self) -> Block {
        loop {
            let block = self.next().await.expect("the stream ended");
            if block.data.is_some() {
                return block;
            }
        }
    }
}

fn read(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        match line.split_once(':') {
            Some(("", _)) => block.is_comment = true,
            Some(("id", id)) => block.id = Some(id.trim().to_owned()),
            Some(("event", event)) => block.event = Some(event.trim().to_owned()),
            Some(("data", data)) => block.data = Some(serde_json::from_str(data).unwrap()),
            _ => {}
        }
    }
    block
}

fn ring(house: &House, call: CallId) {
    house.memory.note(Subject::Call(call), Some(house.a.tenant), Change::CallRinging { status: 180 });
}

#[tokio::test]
async fn events_are_listed_in_pieces_and_filtered() {
    let house = House::open().await;
    let key = &house.a.key;
    let call = house.call(house.a.tenant, CallStatus::InProgress);
    house.call(house.b.tenant, CallStatus::InProgress);
    ring(&house, call);
    let first = house.get(key, "/v1/events?limit=1").await.expect(200);
    assert_eq!((&first["items"][0]["position"], &first["next"]), (&json!(2), &json!("2")));
    let rest = house.get(key, &format!("/v1/events?after={}", first["next"].as_str().unwrap())).await.expect(200);
    assert_eq!((&rest["items"][0]["position"], &rest["items"][0]["type"]), (&json!(6), &json!("call.ringing")));
    assert_eq!(rest["next"], "6");
    let end = house.get(key, "/v1/events?after=6").await.expect(200);
    assert_eq!((&end["items"], &end["next"]), (&json!([]), &json!("6")));
    let typed = house.get(key, "/v1/events?type=call.ringing,call.ended").await.expect(200);
    assert_eq!(typed["items"].as_array().unwrap().len(), 1);
    let about = house.get(&house.operator, &format!("/v1/events?subject={call}")).await.expect(200);
    assert_eq!(about["items"].as_array().unwrap().len(), 2);
    house.get(key, "/v1/events?subject=x").await.refused(400, "bad-query");
    house.get(key, "/v1/events?after=-1").await.refused(400, "bad-query");
    house.get(key, "/v1/events?type=Call%3B").await.refused(400, "bad-query");
}

#[tokio::test]
async fn a_stream_tells_what_happens_and_goes_on_where_it_was_cut() {
    let house = House::open().await;
    let key = &house.a.key;
    let call = house.call(house.a.tenant, CallStatus::InProgress);
    let mut ear = Ear::open(&house, key, "/v1/events/stream", None).await;
    let hello = ear.next().await.unwrap();
    assert_eq!(hello.id.as_deref(), Some("2"), "the place stands before any event");
    assert!(hello.is_comment && hello.data.is_none());
    ring(&house, call);
    house.call(house.b.tenant, CallStatus::InProgress);
    ring(&house, call);
    let first = ear.event().await;
    assert_eq!((first.id.as_deref(), first.event.as_deref()), (Some("4"), Some("call.ringing")));
    assert_eq!(first.data.unwrap()["subject"], call.to_string());
    drop(ear);

    for _ in 0..250 {
        ring(&house, call);
    }
    let mut ear = Ear::open(&house, key, "/v1/events/stream?after=9999", Some("4")).await;
    let mut positions = Vec::new();
    for _ in 0..251 {
        positions.push(ear.event().await.id.unwrap().parse::<i64>().unwrap());
    }
    let whole: Vec<i64> = (4..).map(|at| at * 2).take(251).collect();
    assert_eq!(positions, whole, "nothing twice, nothing left out, nothing of the other tenant");
    ring(&house, call);
    assert_eq!(ear.event().await.id.unwrap().parse::<i64>().unwrap(), whole[250] + 2);
}

#[tokio::test]
async fn a_stream_is_filtered_and_starts_where_it_is_told() {
    let house = House::open().await;
    let call = house.call(house.a.tenant, CallStatus::InProgress);
    ring(&house, call);
    let path = format!("/v1/events/stream?after=0&type=call.ringing&subject={call}");
    let mut ear = Ear::open(&house, &house.a.key, &path, None).await;
    assert_eq!(ear.event().await.event.as_deref(), Some("call.ringing"));
    house.memory.note(Subject::Call(call), Some(house.a.tenant), Change::CallAnswered);
    ring(&house, call);
    assert_eq!(ear.event().await.id.as_deref(), Some("8"));
    let wrong = house.request(&house.a.key, Method::GET, "/v1/events/stream").header("last-event-id", "x");
    send(wrong).await.refused(400, "bad-header");
    house.get(&house.a.key, "/v1/events/stream?limit=3").await.refused(400, "bad-query");
}

#[tokio::test]
async fn a_stream_shows_life_and_ends_with_its_key() {
    let house = House::open_with(callbox_api::Config { keep_alive: Duration::from_millis(50), ..config() }).await;
    let made = house.post(&house.operator, "/v1/keys", &json!({ "name": "ear" })).await.expect(201);
    let mut ear = Ear::open(&house, made["key"].as_str().unwrap(), "/v1/events/stream", None).await;
    for _ in 0..3 {
        assert!(ear.next().await.unwrap().is_comment);
    }
    house.delete(&house.operator, &format!("/v1/keys/{}", made["id"].as_str().unwrap())).await.expect(204);
    while let Some(block) = ear.next().await {
        assert!(block.is_comment);
    }
}

#[tokio::test]
async fn streams_are_bounded_and_give_their_place_back() {
    let bounds = callbox_api::Config { streams: 3, streams_per_key: 2, ..config() };
    let house = House::open_with(bounds).await;
    let path = "/v1/events/stream";
    let _first = Ear::open(&house, &house.a.key, path, None).await;
    let second = Ear::open(&house, &house.a.key, path, None).await;
    house.get(&house.a.key, path).await.refused(429, "too-many-streams");
    let _third = Ear::open(&house, &house.b.key, path, None).await;
    house.get(&house.b.key, path).await.refused(429, "too-many-streams");
    drop(second);
    let free = async {
        // The server hears of it when the connection is gone, or at its next write.
        loop {
            ring(&house, CallId::from_u128(1));
            let response = house.request(&house.b.key, Method::GET, path).send().await.unwrap();
            if response.status() == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), free).await.expect("the place never came back");
}

/// A reader that takes nothing holds no more than a page, and is cut off; others are served.
#[tokio::test]
async fn a_slow_reader_is_cut_off_and_loses_nothing() {
    let house = House::open_with(callbox_api::Config { stall_timeout: Duration::from_millis(500), ..config() }).await;
    let mut slow = tokio::net::TcpStream::connect(house.service.local_addr()).await.unwrap();
    let request =
        format!("GET /v1/events/stream?after=0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", house.a.key);
    slow.write_all(request.as_bytes()).await.unwrap();
    let call = CallId::from_u128(1);
    // More than all buffers between the two take.
    let message = "x".repeat(60_000);
    for _ in 0..400 {
        let run = callbox_model::RunId::from_u128(1);
        let change = Change::Log { run, level: "info".to_owned(), message: message.clone() };
        house.memory.note(Subject::Call(call), Some(house.a.tenant), change);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 16];
    let cut = async {
        loop {
            match slow.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => taken += read,
            }
        }
    };
    timeout(Duration::from_secs(20), cut).await.expect("the slow reader was never cut off");
    assert!(taken < 400 * 60_000, "all {taken} bytes were kept for a reader that took none");
    let mut ear = Ear::open(&house, &house.a.key, "/v1/events/stream?after=0", None).await;
    for _ in 0..400 {
        ear.event().await;
    }
}

#[tokio::test]
async fn streams_end_when_the_service_stops() {
    let house = House::open().await;
    let mut ear = Ear::open(&house, &house.a.key, "/v1/events/stream", None).await;
    ear.next().await.unwrap();
    timeout(Duration::from_secs(8), house.service.shutdown()).await.expect("the stream held the service up");
    assert!(ear.next().await.is_none());
    assert!(house.client.get(house.url("/v1/errors")).send().await.is_err(), "nobody listens any more");
}
