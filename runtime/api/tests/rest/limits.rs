//! Bounds on what clients send, how fast, and how many they are.

use std::time::{Duration, Instant};

use callbox_api::Config;
use callbox_model::Limits;
use futures_util::stream;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::house::{House, WASM, config, send};

const WAIT: Duration = Duration::from_secs(20);

fn small() -> Config {
    let limits = Limits { module_bytes: 1_000, asset_bytes: 500, ..Limits::default() };
    Config { limits, json_bytes: 300, ..config() }
}

/// Everything until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = timeout(WAIT, stream.read_to_end(&mut bytes)).await.expect("the server kept the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn bodies_over_their_limit_are_refused() {
    let house = House::open_with(small()).await;
    let key = &house.a.key;
    let mut wasm = WASM.to_vec();
    wasm.resize(1_000, 0);
    house.upload(key, "/v1/modules?name=ivr", "application/wasm", wasm.clone()).await.expect(201);
    wasm.push(0);
    let answer = house.upload(key, "/v1/modules?name=ivr", "application/wasm", wasm.clone()).await;
    answer.refused(413, "too-large");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("module_bytes") && detail.contains("1000") && detail.contains("1001"), "{detail}");
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = wasm.chunks(100).map(|chunk| Ok(chunk.to_vec())).collect();
    let chunked = Body::wrap_stream(stream::iter(chunks));
    house.upload(key, "/v1/modules?name=ivr", "application/wasm", chunked).await.refused(413, "too-large");

    let big = json!({ "name": "x", "apology": "x".repeat(300) });
    house.post(key, "/v1/applications", &big).await.refused(413, "too-large");
}

#[tokio::test]
async fn an_asset_over_its_limit_is_refused_before_and_as_it_comes() {
    let limits = Limits { asset_bytes: 500, ..Limits::default() };
    let house = House::open_with(Config { limits, ..config() }).await;
    let key = &house.a.key;
    let asset = format!("/v1/applications/{}/assets/x", house.application(key, "ivr").await);
    let told = house.upload(key, &asset, "audio/wav", vec![0; 501]).await;
    told.refused(413, "too-large");
    assert!(told.body["detail"].as_str().unwrap().contains("asset_bytes"), "{}", told.body);
    // No length is said: it is counted as it comes.
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = vec![Ok(vec![0; 300]), Ok(vec![0; 300])];
    let chunked = Body::wrap_stream(stream::iter(chunks));
    house.upload(key, &asset, "audio/wav", chunked).await.refused(413, "too-large");
    // As many bytes as it may have are looked at: these are no WAV.
    house.upload(key, &asset, "audio/wav", vec![0; 500]).await.refused(422, "invalid");
}

/// The refusal comes before the body: nobody sends 32 MiB to hear that they were too many.
#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    let house = House::open_with(small()).await;
    for (key, kind, length, expected) in [
        (&*house.a.key, "application/wasm", 5_000_000, "413"),
        (&*house.a.key, "text/plain", 10, "415"),
        ("", "application/wasm", 10, "401"),
    ] {
        let mut stream = TcpStream::connect(house.service.local_addr()).await.unwrap();
        let head = format!(
            "POST /v1/modules?name=x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        timeout(WAIT, stream.read_exact(&mut first)).await.expect("it waited for the body").unwrap();
        assert_eq!(&first, format!("HTTP/1.1 {expected}").as_bytes());
    }
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let house = House::open_with(Config { json_timeout: Duration::from_millis(200), ..config() }).await;
    let mut stream = TcpStream::connect(house.service.local_addr()).await.unwrap();
    let head = format!(
        "POST /v1/applications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"na",
        house.a.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-too-slow"), "{answer}");
    assert!(house.memory.state().applications.is_empty());
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let house = House::open_with(Config { head_timeout: Duration::from_millis(300), ..config() }).await;
    let mut stream = TcpStream::connect(house.service.local_addr()).await.unwrap();
    let began = Instant::now();
    let drip = async {
        for byte in b"GET /v1/calls HTTP/1.1\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WAIT, drip).await.expect("a head that never ends was waited for");
    assert!(began.elapsed() >= Duration::from_millis(300));
    house.get(&house.a.key, "/v1/calls").await.expect(200);
}

#[tokio::test]
async fn a_head_over_its_bounds_is_refused() {
    let house = House::open().await;
    for fields in [format!("x-big: {}\r\n", "x".repeat(40_000)), "x-many: 1\r\n".repeat(100)] {
        let mut stream = TcpStream::connect(house.service.local_addr()).await.unwrap();
        let head = format!("GET /v1/errors HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let house = House::open_with(Config { max_connections: 2, ..config() }).await;
    let address = house.service.local_addr();
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /v1/errors/quota HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        timeout(WAIT, stream.read_exact(&mut first)).await.unwrap().unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let answer = rest(&mut TcpStream::connect(address).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"busy\""), "{answer}");
    let health = house.client.get(format!("http://{}/livez", house.service.health_addr()));
    assert_eq!(health.send().await.unwrap().status(), 200, "health has a listener of its own");
    held.clear();
    let free = async {
        while house.client.get(house.url("/v1/errors")).send().await.is_ok_and(|answer| answer.status() != 200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WAIT, free).await.expect("places of closed connections never came back");
}

#[tokio::test]
async fn a_key_keeps_to_its_rate_and_pays_for_itself_alone() {
    let house = House::open_with(Config { requests_per_s_per_key: 5, ..config() }).await;
    let mut refused = 0;
    for _ in 0..30 {
        let answer = house.get(&house.a.key, "/v1/limits").await;
        if answer.status == 429 {
            answer.refused(429, "rate-limited");
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
        }
    }
    assert!(refused > 0);
    house.get(&house.b.key, "/v1/limits").await.expect(200);
}

#[tokio::test]
async fn uploads_on_their_way_in_are_bounded() {
    let house = House::open_with(Config { uploads: 1, ..config() }).await;
    let key = &house.a.key;
    let never = house.request(key, Method::POST, "/v1/modules?name=slow").header("content-type", "application/wasm");
    let first = tokio::spawn(send(never.body(WASM)));
    let busy = async {
        loop {
            let answer = house.upload(key, "/v1/modules?name=ivr", "application/wasm", WASM).await;
            if answer.status == 503 {
                return answer;
            }
        }
    };
    let answer = timeout(WAIT, busy).await.expect("a second upload was never refused");
    answer.refused(503, "busy");
    assert!(answer.headers.contains_key("retry-after"));
    first.await.unwrap().expect(201);
    house.upload(key, "/v1/modules?name=ivr", "application/wasm", WASM).await.expect(201);
}
