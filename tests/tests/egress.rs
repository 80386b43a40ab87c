//! Where calls of tenants may not go, whatever their application says: no packet leaves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::phones;
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, lines};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::net::UdpSocket;

/// Whom no call may reach: hears whatever comes to it, over UDP and TCP.
struct Bystander {
    address: Ipv4Addr,
    datagrams: UdpSocket,
    connections: tokio::net::TcpListener,
}

impl Bystander {
    async fn stand(address: Ipv4Addr) -> Result<Self> {
        let datagrams = UdpSocket::bind((address, 5_060)).await?;
        let connections = tokio::net::TcpListener::bind((address, 5_060)).await?;
        Ok(Self { address, datagrams, connections })
    }

    async fn has_heard_nothing(&self) {
        let mut buffer = [0; 2_048];
        tokio::select! {
            came = self.datagrams.recv_from(&mut buffer) => {
                let (length, from) = came.unwrap_or((0, SocketAddr::from(([0, 0, 0, 0], 0))));
                panic!("{from} sent {}", String::from_utf8_lossy(&buffer[..length]));
            }
            came = self.connections.accept() => panic!("{came:?} connected"),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

/// A name server to which every name is this address.
async fn name_server(at: Ipv4Addr, answer: Ipv4Addr) -> Result<tokio::task::JoinHandle<()>> {
    let socket = UdpSocket::bind((at, 53)).await?;
    Ok(tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = answer_to(&buffer[..length], answer) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }))
}

/// RFC 1035 4.1: the question again, and an A record when it asks for one.
fn answer_to(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = query.get(12..end + 5)?;
    let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(question);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// Everything, as a careless application says it.
fn everywhere() -> serde_json::Value {
    json!({ "networks": ["0.0.0.0/0", "::/0"], "domains": ["inside.example", "localhost"] })
}

/// What the module was told of each target.
async fn told(server: &Server, tenant: &Tenant, targets: &[String]) -> Result<Vec<String>> {
    let settings = json!({ "targets": targets.join(",") });
    tenant.calling_behaviours("100", &["dial-forbidden"], settings, everywhere()).await?;
    let heard = server.scratch("heard.wav");
    let (answered, said) = phones::callbox(&server.uri("100"), &heard, &["--seconds", "60"]).await?;
    assert!(answered, "{said}");
    let (_, events) = tenant.call_of("100").await?;
    let lines: Vec<_> = lines(&events).into_iter().map(str::to_owned).collect();
    assert_eq!(lines.len(), targets.len(), "one line of each: {lines:?}");
    Ok(lines)
}

#[tokio::test]
async fn loopback_and_what_is_not_public_is_not_called() -> Result<()> {
    let (names, bystander) = (address::fresh(), Bystander::stand(address::fresh()).await?);
    let _name_server = name_server(names, bystander.address).await?;
    let server = Server::start(&format!("dns = [\"{names}:53\"]\n")).await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let targets = [
        format!("sip:x@{}", bystander.address),
        format!("sip:x@{};transport=tcp", bystander.address),
        format!("sip:x@[::ffff:{}]", bystander.address),
        "sip:x@169.254.169.254:80".to_owned(),
        "sip:x@10.1.2.3".to_owned(),
        format!("sip:x@{}:5060", server.address),
        format!("sip:x@{}:8080;transport=tcp", server.address),
        // Found out once it is resolved.
        "sip:x@inside.example".to_owned(),
        "sip:x@inside.example;transport=tcp".to_owned(),
        "sip:x@localhost".to_owned(),
    ];
    let lines = told(&server, &tenant, &targets).await?;
    for (target, line) in targets.iter().zip(&lines) {
        let came = line.strip_prefix(&format!("{target}: ")).with_context(|| format!("{target}: {line}"))?;
        let is_refused = came.starts_with("denied: ") || came.starts_with("ended 403");
        assert!(is_refused, "{line}");
    }
    bystander.has_heard_nothing().await;
    Ok(())
}

/// With loopback open, the node's own doors are shut all the same.
#[tokio::test]
async fn the_node_does_not_call_itself() -> Result<()> {
    let server = Server::start_open("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let own = server.address;
    let targets = [
        format!("sip:200@{own}"),
        format!("sip:200@{own};transport=tcp"),
        format!("sip:x@{own}:8080;transport=tcp"),
        format!("sip:x@{own}:9090;transport=tcp"),
        format!("sip:x@[::ffff:{own}]:5060"),
    ];
    let lines = told(&server, &tenant, &targets).await?;
    for line in &lines {
        assert!(line.contains(": denied: ") || line.contains(": ended 403"), "{line}");
    }
    let calls = tenant.ended_calls(1).await?;
    assert_eq!(calls.len(), 1, "the node called itself: {calls:?}");
    Ok(())
}

/// What an application does not name is refused before anything else is asked.
#[tokio::test]
async fn an_application_names_where_it_calls() -> Result<()> {
    let bystander = Bystander::stand(address::fresh()).await?;
    let server = Server::start_open("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let nowhere = tenant.behaviours("100", &["park"]).await?;
    let outbound = json!({ "networks": ["127.0.0.0/32"], "domains": ["*.example"], "numbers": ["+49"] });
    let elsewhere = tenant.calling_behaviours("101", &["park"], json!({}), outbound).await?;
    for application in [nowhere, elsewhere] {
        for to in [format!("sip:x@{}", bystander.address), "sip:x@example".to_owned(), "+15550100".to_owned()] {
            let body = json!({ "application": application, "to": to });
            let (status, problem) = tenant.rest.ask(Method::POST, "/v1/calls", Some(&body)).await?;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::FORBIDDEN, &json!("destination-denied")),
                "{to}: {problem}"
            );
        }
    }
    bystander.has_heard_nothing().await;
    Ok(())
}
