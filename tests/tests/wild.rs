//! What the open network brings: the torture messages, their mutants, scanners, and crackers.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use callbox_sip::{Credentials, Limits, Message, Name, digest};
use callbox_tests::address;
use callbox_tests::server::Server;
use callbox_tests::tenant::Tenant;
use callbox_tests::wild::{Chance, Thrower, Torture, resident_kib, torture, until_nothing_is_left};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::process::Command;

/// A node whose numbers are all that RFC 4475 calls; a module refuses them as busy.
async fn node() -> Result<(Server, Tenant)> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("user", &["reject-busy"]).await?;
    let applications = tenant.rest.get("/v1/applications").await?;
    let id = &callbox_tests::tenant::items(&applications)[0]["id"];
    for domain in ["example.com", "example.net", "example.org", "company.com", "chicago.example.com"] {
        let number = json!({ "address": format!("*@{domain}"), "application": id, "anonymous": true });
        tenant.operator.post(&format!("/v1/numbers?tenant={}", tenant.id), number).await?;
    }
    Ok((server, tenant))
}

/// Answers of whoever looked at the request itself: there is no such number, domain or call, the
/// module refused, or it was taken.
const PROCESSED: &[&str] = &["200", "401", "403", "404", "480", "481", "486"];

fn is_allowed(answer: Option<&str>, message: &Torture) -> bool {
    let allows = |word: &str| message.allowed.iter().any(|allowed| allowed == word);
    match answer {
        None => allows("DROP") || allows("ACCEPT"),
        Some(line) => {
            let status = line.get(8..11).unwrap_or_default();
            allows(status) || (allows("PROCESS") && PROCESSED.contains(&status))
        }
    }
}

#[tokio::test]
async fn all_fifty_torture_messages_are_answered_at_the_datagram_door() -> Result<()> {
    let (server, _tenant) = node().await?;
    let mut wrong = Vec::new();
    let mut shared = Thrower::new(address::fresh(), &server).await?;
    for message in torture()? {
        // Answers to INVITE are repeated until there is an ACK, which there is not: each comes from
        // an address of its own. Others share one: some have the same branch, and are repetitions.
        let mut own = Thrower::new(address::fresh(), &server).await?;
        let is_invite = message.bytes.windows(6).any(|word| word == b"INVITE");
        let thrower = if is_invite { &mut own } else { &mut shared };
        let answer = thrower.answer(&message.bytes, Duration::from_secs(2)).await?;
        if !is_allowed(answer.as_deref(), &message) {
            wrong.push(format!("{}: {answer:?}, allowed {:?}", message.file, message.allowed));
        }
        thrower.still_answers().await.with_context(|| message.file.clone())?;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Timers B, F, H and J are 32 s (17.1, 17.2).
    until_nothing_is_left(&server, Duration::from_secs(60)).await
}

/// The same through the stream door, one byte at a time. What the door cannot frame ends the
/// connection; the node goes on.
#[tokio::test]
async fn all_fifty_torture_messages_come_byte_by_byte_over_a_stream() -> Result<()> {
    let (server, _tenant) = node().await?;
    let mut thrower = Thrower::new(address::fresh(), &server).await?;
    let mut wrong = Vec::new();
    for message in torture()? {
        let answer = over_stream(&server, &message.bytes).await?;
        let is_not_framed = NOT_FRAMED.contains(&message.file.as_str()) && answer.is_none();
        if !is_not_framed && !is_allowed(answer.as_deref(), &message) {
            wrong.push(format!("{}: {answer:?}, allowed {:?}", message.file, message.allowed));
        }
    }
    thrower.still_answers().await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    until_nothing_is_left(&server, Duration::from_secs(60)).await
}

/// Where they end is not known, or not there yet: the rest is waited for, or the stream is closed.
const NOT_FRAMED: &[&str] = &["clerr.sip", "ncl.sip", "mcl01.sip"];

/// The first final answer to these bytes, sent one at a time; none when the connection is closed or
/// half a second goes by after the last.
async fn over_stream(server: &Server, bytes: &[u8]) -> Result<Option<String>> {
    let stream = tokio::net::TcpStream::connect((server.address, 5_060)).await?;
    stream.set_nodelay(true)?;
    let (mut reading, mut writing) = stream.into_split();
    let write = async {
        for byte in bytes {
            // Closed by the node: what it said before is read all the same.
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let read = async {
        let (mut heard, mut buffer) = (Vec::new(), [0; 16_384]);
        while let Ok(count @ 1..) = reading.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&heard);
            let mut lines = text.lines().filter(|line| line.starts_with("SIP/2.0 ") && !line.starts_with("SIP/2.0 1"));
            if let Some(line) = lines.next() {
                return Some(line.to_owned());
            }
        }
        None
    };
    tokio::select! {
        answer = read => Ok(answer),
        () = write => Ok(None),
    }
}

/// Two halves of `CALLBOX_MUTANTS` (3,000 by default, 100,000 by `tests/run --long`): after the first
/// the node has all the memory that it will ever need, and the second must not add to it.
#[tokio::test]
async fn mutated_torture_messages_leave_nothing_behind() -> Result<()> {
    let wanted = std::env::var("CALLBOX_MUTANTS").ok().map(|text| text.parse::<usize>()).transpose()?;
    let (server, _tenant) = node().await?;
    let mut thrower = Thrower::new(address::fresh(), &server).await?;
    let (messages, mut chance) = (torture()?, Chance(0x5eed));
    let mut held_kib = Vec::new();
    for _half in 0..2 {
        for at in 0..wanted.unwrap_or(3_000) / 2 {
            thrower.throw(&chance.mutant(&messages)).await?;
            if at % 100 == 99 {
                thrower.still_answers().await.with_context(|| format!("after {at} mutants"))?;
                // Below the rate of one source: what is over it is not read.
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        }
        until_nothing_is_left(&server, Duration::from_secs(120)).await?;
        held_kib.push(resident_kib(&server)?);
    }
    // What an allocator keeps for later is not ours to count: a leak of a message each would be more.
    assert!(held_kib[1] < held_kib[0] + MOST_GROWTH_KIB, "memory grew: {held_kib:?} KiB");
    Ok(())
}

const MOST_GROWTH_KIB: u64 = 16 << 10;

/// A domain of the name by which scanners call it, with one user who is there.
async fn registrar() -> Result<(Server, Tenant)> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    let domain = json!({ "name": server.address, "md5": true });
    tenant.operator.post(&format!("/v1/domains?tenant={}", tenant.id), domain).await?;
    for name in ["1000", "1007"] {
        let user = json!({ "domain": server.address, "name": name, "password": RIGHT });
        tenant.rest.post("/v1/users", user).await?;
    }
    Ok((server, tenant))
}

/// A tool of SIPVicious: all that it said.
async fn sipvicious(tool: &str, server: &Server, arguments: &[&str]) -> Result<String> {
    let folder = server.scratch("sipvicious");
    std::fs::create_dir_all(&folder)?;
    // It takes its port on all addresses: away from everybody's usual ones.
    static PORT: AtomicU32 = AtomicU32::new(25_060);
    let port = PORT.fetch_add(10, Ordering::Relaxed).to_string();
    let mut command = Command::new(tool);
    command.args(["-P", &port]).args(arguments).arg(server.address.to_string());
    command.env("HOME", folder).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .with_context(|| format!("{tool} did not come to its end"))?
        .with_context(|| format!("cannot run {tool} (Debian package sipvicious)"))?;
    Ok(format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr)))
}

#[tokio::test]
async fn a_scanner_finds_a_node_that_answers() -> Result<()> {
    let (server, _tenant) = registrar().await?;
    let said = sipvicious("svmap", &server, &[]).await?;
    assert!(said.contains(&format!("{}:5060", server.address)), "{said}");
    Ok(())
}

/// Whatever svwar asks, 1000 and 1007, who are there, are in its list as everybody else is.
#[tokio::test]
async fn a_scanner_cannot_tell_users_from_others() -> Result<()> {
    let (server, _tenant) = registrar().await?;
    for arguments in [&["-m", "REGISTER"][..], &["-m", "REGISTER", "--force"], &["-m", "INVITE"], &["-m", "OPTIONS"]] {
        let said = sipvicious("svwar", &server, &[arguments, &["-e", "1000-1009"]].concat()).await?;
        // | 1000       | reqauth        |
        let row = |line: &str| {
            let mut cells = line.split('|').map(str::trim).filter(|cell| !cell.is_empty());
            let user: u32 = cells.next()?.parse().ok()?;
            (1_000..=1_009).contains(&user).then(|| Some((user, cells.next()?.to_owned())))?
        };
        let found: Vec<_> = said.lines().filter_map(row).collect();
        let is_alike = found.windows(2).all(|two| two[0].1 == two[1].1);
        assert!(found.is_empty() || (found.len() == 10 && is_alike), "svwar {arguments:?}:\n{said}");
        let is_heard = !said.contains("no response") && !said.contains("Traceback");
        assert!(is_heard, "svwar {arguments:?}:\n{said}");
    }
    Ok(())
}

/// svcrack knows no SHA-256 and ends at the first challenge; this one answers as phones do. A user
/// who is not there is answered as one who is.
#[tokio::test]
async fn a_cracker_is_slowed_and_the_phone_at_home_is_not() -> Result<()> {
    let (server, _tenant) = registrar().await?;
    let home = Guesser::new(address::fresh(), &server).await?;
    assert_eq!(home.register("1007", RIGHT).await?, 200);
    let mut heard = Vec::new();
    for user in ["1007", "1999"] {
        let away = Guesser::new(address::fresh(), &server).await?;
        let mut statuses = Vec::new();
        for guess in 0..20 {
            statuses.push(away.register(user, &format!("guess number {guess}")).await?);
        }
        // The right one, at last, and not looked at.
        statuses.push(away.register(user, RIGHT).await?);
        heard.push(statuses);
    }
    let looked_at = heard[0].iter().filter(|status| **status == 401).count();
    assert!((1..=5).contains(&looked_at), "{heard:?}");
    assert!(heard[0][looked_at..].iter().all(|status| *status == 480), "{heard:?}");
    assert_eq!(heard[0], heard[1], "a user who is there is answered otherwise");
    assert_eq!(home.register("1007", RIGHT).await?, 200, "the phone at home is locked out");
    Ok(())
}

const RIGHT: &str = "101112131415";

/// Somebody who registers, with whatever password.
struct Guesser {
    socket: UdpSocket,
    own: SocketAddr,
    node: SocketAddr,
    serial: AtomicU32,
}

impl Guesser {
    async fn new(from: Ipv4Addr, server: &Server) -> Result<Self> {
        let socket = UdpSocket::bind((from, 0)).await?;
        let (own, node) = (socket.local_addr()?, SocketAddr::new(server.host(), 5_060));
        Ok(Self { socket, own, node, serial: AtomicU32::new(0) })
    }

    /// What it is answered, after the challenge.
    async fn register(&self, user: &str, password: &str) -> Result<u16> {
        let asked = self.ask(user, None).await?;
        let challenges: Vec<_> = asked.values(Name::WwwAuthenticate).map(|value| shown(&value)).collect();
        let status = asked.status().context("no answer")?;
        if status != 401 {
            return Ok(status);
        }
        let credentials = Credentials { username: user.to_owned(), password: password.to_owned(), realm: None };
        let uri = format!("sip:{}", self.node.ip());
        let proof = digest::answer(&challenges, &credentials, "REGISTER", &uri, b"", "c0ffee", 1);
        self.ask(user, Some(proof.context("no challenge that can be answered")?)).await?.status().context("no answer")
    }

    async fn ask(&self, user: &str, proof: Option<String>) -> Result<Message> {
        let (own, node, serial) = (self.own, self.node.ip(), self.serial.fetch_add(1, Ordering::Relaxed));
        let proof = proof.map_or_else(String::new, |proof| format!("Authorization: {proof}\r\n"));
        let request = format!(
            "REGISTER sip:{node} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK{user}x{serial}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{node}>;tag=t\r\nTo: <sip:{user}@{node}>\r\n\
             Call-ID: {own}-{user}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{user}@{own}>\r\n{proof}\
             Content-Length: 0\r\n\r\n",
            cseq = serial + 1,
        );
        self.socket.send_to(request.as_bytes(), self.node).await?;
        let mut buffer = [0; 8_192];
        let heard = tokio::time::timeout(Duration::from_secs(5), self.socket.recv_from(&mut buffer)).await;
        let (count, _) = heard.context("no answer to REGISTER")??;
        let bytes = Bytes::copy_from_slice(&buffer[..count]);
        Message::parse_datagram(bytes, &Limits::default()).map_err(|broken| anyhow::anyhow!("{broken:?}"))
    }
}

fn shown(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// What watches a node from outside asks this.
#[tokio::test]
async fn sipsak_is_answered() -> Result<()> {
    let server = Server::start("").await?;
    let uri = format!("sip:ping@{}:5060", server.address);
    // With a name for itself: it would look its machine's up, which may have none.
    let ended = Command::new("sipsak").args(["-v", "-H", "localhost", "-s", &uri]).stdin(Stdio::null()).output().await;
    let ended = ended.context("cannot run sipsak (Debian package sipsak)")?;
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("SIP/2.0 200"), "{said}");
    Ok(())
}
