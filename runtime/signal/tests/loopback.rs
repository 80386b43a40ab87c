//! Real sockets on the loopback, and phones by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use callbox_model::{LegCommand, LegEvent, LegKey, Offered};
use callbox_signal::{Admission, Config, Handle, Listen, Refusal, Service, Transport};

struct Door {
    serial: AtomicU64,
    closed: Mutex<Vec<IpAddr>>,
}

impl Admission for Door {
    fn may_talk(&self, source: IpAddr) -> bool {
        !self.closed.lock().unwrap().contains(&source)
    }
    fn admit(&self, _: &Offered) -> Result<LegKey, Refusal> {
        Ok(LegKey::new(0, self.serial.fetch_add(1, Ordering::Relaxed)))
    }
}

struct Node {
    service: Option<Service>,
    handle: Handle,
    told: mpsc::Receiver<(LegKey, LegEvent)>,
    udp: SocketAddr,
    tcp: SocketAddr,
}

/// `auto`: answers every offer at once.
fn node(change: impl FnOnce(&mut Config), auto: bool) -> Node {
    node_on("127.0.0.1:0", change, auto)
}

fn node_on(at: &str, change: impl FnOnce(&mut Config), auto: bool) -> Node {
    let at: SocketAddr = at.parse().unwrap();
    let mut config = Config {
        listen: vec![
            Listen { transport: Transport::Udp, address: at },
            Listen { transport: Transport::Tcp, address: at },
        ],
        ..Config::default()
    };
    change(&mut config);
    let (tell, told) = mpsc::channel();
    let slot: Arc<OnceLock<Handle>> = Arc::default();
    let inner = slot.clone();
    let events = Arc::new(move |leg, event: LegEvent| {
        if auto && matches!(event, LegEvent::Offered(_)) {
            inner.get().unwrap().send(leg, LegCommand::Answer { ask: 1, body: b"answer".to_vec(), headers: vec![] });
        }
        let _ = tell.send((leg, event));
    });
    let door = Arc::new(Door { serial: AtomicU64::new(1), closed: Mutex::default() });
    let (service, handle) = Service::start(config, door, events).unwrap();
    let _ = slot.set(handle.clone());
    let of = |t| handle.listening().iter().find(|(k, _)| *k == t).unwrap().1;
    let (udp, tcp) = (of(Transport::Udp), of(Transport::Tcp));
    Node { service: Some(service), handle, told, udp, tcp }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(s) = self.service.take() {
            s.stop()
        }
    }
}

impl Node {
    fn wait<T>(&self, within: Duration, mut want: impl FnMut(&LegKey, &LegEvent) -> Option<T>) -> Option<T> {
        let end = Instant::now() + within;
        while let Ok((leg, event)) = self.told.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if let Some(found) = want(&leg, &event) {
                return Some(found);
            }
        }
        None
    }
}
const LONG: Duration = Duration::from_secs(20);

#[expect(clippy::too_many_arguments, reason = "all that a message is made of")]
fn message(
    kind: &str,
    method: &str,
    me: SocketAddr,
    call: &str,
    branch: &str,
    to: &str,
    cseq: u32,
    body: &str,
) -> String {
    let ct = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{kind} {me};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=f{call}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\nContact: <sip:a@{me}>\r\n{ct}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
const TO: &str = "<sip:bob@127.0.0.1>";
fn header(text: &str, name: &str) -> String {
    text.lines().find_map(|l| l.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
}

fn status(text: &str) -> u16 {
    text.get(8..11).and_then(|s| s.parse().ok()).unwrap_or(0)
}

struct Phone {
    socket: UdpSocket,
    me: SocketAddr,
    node: SocketAddr,
}

impl Phone {
    fn new(node: SocketAddr) -> Self {
        let ip: IpAddr = Ipv4Addr::LOCALHOST.into();
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let me = socket.local_addr().unwrap();
        Self { socket, me, node: SocketAddr::new(ip, node.port()) }
    }
    fn say(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.node).unwrap();
    }
    fn hear(&self) -> Option<String> {
        let mut b = [0; 65536];
        self.socket.recv_from(&mut b).ok().map(|(n, _)| String::from_utf8_lossy(&b[..n]).into_owned())
    }
    fn until(&self, want: impl Fn(&str) -> bool) -> Option<String> {
        loop {
            let text = self.hear()?;
            if want(&text) {
                return Some(text);
            }
        }
    }
    fn call(&self, id: &str) -> String {
        self.say(&message("UDP", "INVITE", self.me, id, &format!("i{id}"), TO, 1, "offer"));
        let ok = self.until(|t| status(t) == 200).expect("200");
        let to = header(&ok, "To");
        self.say(&message("UDP", "ACK", self.me, id, &format!("a{id}"), &to, 1, ""));
        to
    }
    fn bye(&self, id: &str, to: &str) -> Option<String> {
        self.say(&message("UDP", "BYE", self.me, id, &format!("b{id}"), to, 2, ""));
        self.until(|t| status(t) != 0 && header(t, "CSeq") == "2 BYE")
    }
}

struct Line {
    stream: TcpStream,
    kept: String,
}

impl Line {
    fn new(node: SocketAddr) -> Self {
        let stream = TcpStream::connect(node).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { stream, kept: String::new() }
    }
    fn me(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }
    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }
    fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(head) = self.kept.find("\r\n\r\n") {
                let length: usize = header(&self.kept, "Content-Length").parse().unwrap_or(0);
                if self.kept.len() >= head + 4 + length {
                    let rest = self.kept.split_off(head + 4 + length);
                    return Some(std::mem::replace(&mut self.kept, rest));
                }
            }
            let mut b = [0; 4096];
            match self.stream.read(&mut b) {
                Ok(n) if n > 0 => self.kept.push_str(&String::from_utf8_lossy(&b[..n])),
                _ => return None,
            }
        }
    }
    fn call(&mut self, id: &str) -> String {
        let me = self.me();
        self.say(&message("TCP", "INVITE", me, id, &format!("i{id}"), TO, 1, "offer"));
        let ok = loop {
            let t = self.hear().expect("an answer");
            if status(&t) == 200 {
                break t;
            }
        };
        let to = header(&ok, "To");
        self.say(&message("TCP", "ACK", me, id, &format!("a{id}"), &to, 1, ""));
        to
    }
}

#[test]
fn a_call_over_udp() {
    let node = node(|_| {}, true);
    let phone = Phone::new(node.udp);
    let to = phone.call("one");
    assert!(node.wait(LONG, |_, e| matches!(e, LegEvent::Confirmed { .. }).then_some(())).is_some());
    assert_eq!(phone.bye("one", &to).map(|t| status(&t)), Some(200));
    assert!(node.wait(LONG, |_, e| matches!(e, LegEvent::Ended(_)).then_some(())).is_some());
}

#[test]
fn tcp_split_anywhere() {
    let node = node(|_| {}, true);
    let mut line = Line::new(node.tcp);
    let me = line.me();
    for byte in message("TCP", "INVITE", me, "s", "is", TO, 1, "offer").as_bytes().chunks(37) {
        line.stream.write_all(byte).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    let ok = loop {
        let t = line.hear().expect("an answer");
        if status(&t) == 200 {
            break t;
        }
    };
    assert!(ok.contains("answer"));
}

#[test]
fn garbage_harms_nobody() {
    let node = node(|_| {}, true);
    let phone = Phone::new(node.udp);
    for n in 0..500u32 {
        let junk: Vec<u8> = (0..n % 300).map(|i| (i.wrapping_mul(n).wrapping_add(n * 7) % 256) as u8).collect();
        phone.socket.send_to(&junk, phone.node).unwrap();
    }
    let to = phone.call("g");
    assert_eq!(phone.bye("g", &to).map(|t| status(&t)), Some(200));
}

#[test]
fn two_hundred_calls_between_two_nodes() {
    for tcp in [false, true] {
        let (one, two) = (node(|_| {}, false), node(|_| {}, true));
        let at = if tcp { two.tcp } else { two.udp };
        let suffix = if tcp { ";transport=tcp" } else { "" };
        for n in 0..200u64 {
            one.handle.send(
                LegKey::new(1, n),
                LegCommand::Dial {
                    ask: n as u32,
                    target: format!("sip:x@{at}{suffix}"),
                    caller: "sip:a@127.0.0.1".into(),
                    body: b"o".to_vec(),
                    headers: vec![],
                    timeout_ms: 30_000,
                },
            );
        }
        let mut answered = 0;
        one.wait(LONG, |leg, e| {
            if matches!(e, LegEvent::Answered { .. }) {
                answered += 1;
                one.handle.send(*leg, LegCommand::Hangup { ask: 9, reason: None });
            }
            (answered == 200).then_some(())
        });
        assert_eq!(answered, 200, "tcp {tcp}");
        let mut ended = 0;
        two.wait(LONG, |_, e| {
            ended += usize::from(matches!(e, LegEvent::Ended(_)));
            (ended == 200).then_some(())
        });
        assert_eq!(ended, 200, "tcp {tcp}");
    }
}

#[test]
fn slow_sender_is_cut_off() {
    let node = node(|c| c.message_within = Duration::from_millis(500), true);
    let mut line = Line::new(node.tcp);
    line.say("INVITE sip:a@b SIP/2.0\r\n");
    assert!(line.hear().is_none());
    let mut b = [0; 1];
    assert!(matches!(line.stream.read(&mut b), Ok(0) | Err(_)));
}

/// Config says: "a connection WITHOUT A CALL that sends nothing for so long is closed".
#[test]
fn a_connection_with_a_call_is_not_closed_for_idleness() {
    let node = node(|c| c.idle = Duration::from_millis(700), true);
    let mut line = Line::new(node.tcp);
    line.call("idle");
    let leg = node.wait(LONG, |leg, e| matches!(e, LegEvent::Confirmed { .. }).then_some(*leg)).unwrap();
    std::thread::sleep(Duration::from_millis(2_000));
    node.handle.send(leg, LegCommand::Hangup { ask: 5, reason: None });
    let heard = line.hear();
    assert!(heard.as_deref().is_some_and(|t| t.starts_with("BYE ")), "the phone never hears the BYE: {heard:?}");
}

/// a source over its rate must still be able to end its calls.
#[test]
fn bye_passes_under_flood() {
    let node = node(|c| c.requests_per_s_per_source = 20, true);
    let phone = Phone::new(node.udp);
    let to = phone.call("keep");
    for n in 0..400 {
        phone.say(&message("UDP", "OPTIONS", phone.me, &format!("o{n}"), &format!("o{n}"), TO, 1, ""));
    }
    std::thread::sleep(Duration::from_millis(100));
    while phone.socket.set_nonblocking(true).is_ok() && phone.hear().is_some() {}
    phone.socket.set_nonblocking(false).unwrap();
    phone.socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    // Some answer at all, without waiting for the bucket.
    for n in 0..20 {
        phone.say(&message("UDP", "OPTIONS", phone.me, &format!("p{n}"), &format!("p{n}"), TO, 1, ""));
    }
    assert_eq!(phone.bye("keep", &to).map(|t| status(&t)), Some(200), "the BYE was dropped as flood");
}

/// retransmissions are answered from the table first.
#[test]
fn retransmission_is_answered_under_flood() {
    let node = node(|c| c.requests_per_s_per_source = 20, true);
    let phone = Phone::new(node.udp);
    let first = message("UDP", "OPTIONS", phone.me, "r", "r", TO, 1, "");
    phone.say(&first);
    assert_eq!(phone.hear().map(|t| status(&t)), Some(200));
    for n in 0..400 {
        phone.say(&message("UDP", "OPTIONS", phone.me, &format!("o{n}"), &format!("o{n}"), TO, 1, ""));
    }
    phone.say(&first);
    phone.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(phone.until(|t| header(t, "Call-ID") == "r").is_some(), "dropped as flood");
}

/// Over its rate a source is told with an INVITE, and with nothing else.
#[test]
fn options_over_the_rate_are_not_answered() {
    let node = node(|c| c.requests_per_s_per_source = 20, true);
    let phone = Phone::new(node.udp);
    for n in 0..55 {
        phone.say(&message("UDP", "OPTIONS", phone.me, &format!("o{n}"), &format!("o{n}"), TO, 1, ""));
    }
    phone.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    while let Some(t) = phone.hear() {
        *seen.entry(status(&t)).or_insert(0) += 1;
    }
    assert!(seen.keys().eq(&[200]) && seen[&200] < 55, "{seen:?}");
}

/// 8.1.3.1: a refused connection is a 503, not "408 no answer".
#[test]
fn connection_refused() {
    let node = node(|_| {}, false);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    node.handle.send(
        LegKey::new(1, 1),
        LegCommand::Dial {
            ask: 1,
            target: format!("sip:x@{nobody};transport=tcp"),
            caller: "sip:a@127.0.0.1".into(),
            body: vec![],
            headers: vec![],
            timeout_ms: 30_000,
        },
    );
    let end = node.wait(LONG, |_, e| if let LegEvent::Ended(c) = e { Some(c.clone()) } else { None }).unwrap();
    assert_eq!(end.status, 503, "{end:?}");
}

/// the first dial after the start is not lost to an unready socket.
#[test]
fn first_dial_leaves_at_once() {
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let callee = UdpSocket::bind("127.0.0.1:0").unwrap();
        callee.set_read_timeout(Some(LONG)).unwrap();
        let node = node(|_| {}, false);
        let began = Instant::now();
        node.handle.send(
            LegKey::new(1, 1),
            LegCommand::Dial {
                ask: 1,
                target: format!("sip:x@{}", callee.local_addr().unwrap()),
                caller: "sip:a@127.0.0.1".into(),
                body: vec![],
                headers: vec![],
                timeout_ms: 30_000,
            },
        );
        callee.recv_from(&mut [0; 65536]).unwrap();
        worst = worst.max(began.elapsed());
    }
    assert!(worst < Duration::from_millis(450), "{worst:?}: it was lost, and sent again by timer A");
}

/// stop with a leg up: its user hears of the end.
#[test]
fn stop_ends_legs() {
    let mut node = node(|_| {}, true);
    let phone = Phone::new(node.udp);
    phone.call("up");
    node.wait(LONG, |_, e| matches!(e, LegEvent::Confirmed { .. }).then_some(()));
    node.service.take().unwrap().stop();
    assert!(
        node.wait(Duration::from_secs(2), |_, e| matches!(e, LegEvent::Ended(_)).then_some(())).is_some(),
        "no Ended"
    );
}

/// what a stopped service is told is answered Gone.
#[test]
fn commands_after_stop() {
    let mut node = node(|_| {}, true);
    node.service.take().unwrap().stop();
    node.handle.send(LegKey::new(1, 1), LegCommand::Hangup { ask: 3, reason: None });
    let r = node.wait(Duration::from_secs(2), |_, e| {
        if let LegEvent::Reply { ask: 3, result } = e { Some(result.clone()) } else { None }
    });
    assert_eq!(r, Some(Err(callbox_model::Refused::Gone)));
}

fn signal_cpu() -> Duration {
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        if std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim() == "signal" {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap();
            return Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap());
        }
    }
    panic!()
}
/// CPU of the signalling thread for one call (INVITE, 100, 200, ACK, BYE, 200). Run alone, in release.
#[test]
#[ignore]
fn cpu_per_call() {
    let at = std::env::var("AT").unwrap_or("127.0.0.1:0".into());
    let node = node_on(&at, |c| c.requests_per_s_per_source = 1_000_000, true);
    let phone = Phone::new(node.udp);
    for n in 0..200 {
        let to = phone.call(&format!("w{n}"));
        phone.bye(&format!("w{n}"), &to);
    }
    for round in 0..5 {
        let began = signal_cpu();
        for n in 0..500 {
            let id = format!("c{round}x{n}");
            let to = phone.call(&id);
            phone.bye(&id, &to);
        }
        println!("{at}: {:?} a call", (signal_cpu() - began) / 500);
    }
}
