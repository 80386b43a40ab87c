//! Two services call each other over every transport.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use callbox_model::{LegCommand, LegEvent, Refused};
use callbox_signal::{Clients, Config, Error, Transport};
use support::papers::Papers;
use support::phone::{Line, TO, Tcp, Ws, header, message, status};
use support::{Answers, Node, Outcome, eventually, listen, node, to};

const ALL: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// Listens on all transports of one address.
fn everywhere(address: &str, papers: &Papers, names: &[&str]) -> Config {
    let file = format!("identity-{}", names.join("-").replace([':', '.'], "_"));
    Config {
        listen: ALL.into_iter().map(|transport| listen(transport, address)).collect(),
        tls: papers.tls(&file, names),
        ..Config::default()
    }
}

fn start(config: Config, answers: Answers) -> Node {
    Node::start(config, answers, Default::default(), Vec::new())
}

fn target(node: &Node, transport: Transport) -> String {
    format!("sip:x@{};transport={}", node.at(transport), transport.name().to_ascii_lowercase())
}

#[test]
fn every_transport_both_ways_over_ipv4_and_ipv6() {
    let papers = Papers::new();
    for (address, name) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let one = start(everywhere(address, &papers, &[name]), Answers::AtOnce);
        let two = start(everywhere(address, &papers, &[name]), Answers::AtOnce);
        for transport in ALL {
            one.must_reach(to(target(&two, transport)));
            two.must_reach(to(target(&one, transport)));
        }
    }
}

/// The far end hangs up: the request comes over the stream that the call was placed by.
#[test]
fn what_is_dialled_can_be_hung_up_by_the_far_end() {
    let papers = Papers::new();
    let one = start(everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]), Answers::Never);
    let two = start(everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]), Answers::AtOnce);
    for transport in ALL {
        let leg = one.dial(to(target(&two, transport)));
        assert!(matches!(one.outcome(leg), Outcome::Answered(_)));
        let theirs = two.wait(|leg, event| matches!(event, LegEvent::Confirmed { .. }).then_some(*leg)).unwrap();
        two.handle.send(theirs, LegCommand::Hangup { ask: 2, reason: None });
        let ended = one.wait(|other, event| (*other == leg && matches!(event, LegEvent::Ended(_))).then_some(()));
        assert!(ended.is_some(), "{transport:?}");
    }
}

#[test]
fn a_stream_is_used_again_and_opened_again() {
    let one = node(|_| {}, Answers::Never);
    let mut two = node(|_| {}, Answers::AtOnce);
    let listener = two.at(Transport::Tcp);
    for _ in 0..3 {
        one.must_reach(to(format!("sip:x@{listener};transport=tcp")));
    }
    // The far end restarts on the same address.
    two.stop();
    let mut again = support::plain();
    again.listen = vec![listen(Transport::Tcp, &listener.to_string())];
    let two = start(again, Answers::AtOnce);
    // Whoever calls in the very moment in which the old one closes may still fail with it.
    eventually(|| {
        let leg = one.dial(to(format!("sip:x@{listener};transport=tcp")));
        match one.outcome(leg) {
            Outcome::Answered(_) => Some(()),
            Outcome::Ended(cause) if cause.status == 503 => None,
            other => panic!("{other:?}"),
        }
    });
    drop(two);
}

/// RFC 3261 18.1.1
#[test]
fn what_is_too_large_for_udp_goes_by_tcp() {
    let one = node(|_| {}, Answers::Never);
    // Both on one port, as the fall-back expects.
    let two = (0..50)
        .find_map(|_| {
            let udp = std::net::UdpSocket::bind("127.0.0.1:0").ok()?;
            let port = udp.local_addr().ok()?.port();
            std::net::TcpListener::bind(("127.0.0.1", port)).ok()?;
            drop(udp);
            let mut config = support::plain();
            let address = format!("127.0.0.1:{port}");
            config.listen = vec![listen(Transport::Udp, &address), listen(Transport::Tcp, &address)];
            Some(start(config, Answers::AtOnce))
        })
        .unwrap();
    let leg = callbox_model::LegKey::new(1, 900);
    one.dial_as(leg, to(format!("sip:x@{}", two.at(Transport::Udp))), vec![b'o'; 3_000]);
    assert!(matches!(one.outcome(leg), Outcome::Answered(_)));
    let offer = two.wait(|_, event| match event {
        LegEvent::Offered(offered) => Some(offered.offer.clone().unwrap().len()),
        _ => None,
    });
    assert_eq!(offer, Some(3_000));
}

#[test]
fn a_certificate_for_another_name_or_of_another_authority_is_refused() {
    let papers = Papers::new();
    let right = start(everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]), Answers::AtOnce);
    let wrong = start(everywhere("127.0.0.1:0", &papers, &["elsewhere.example"]), Answers::AtOnce);
    let strangers = Papers::new();
    let foreign = start(everywhere("127.0.0.1:0", &strangers, &["127.0.0.1"]), Answers::AtOnce);
    let caller = start(everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]), Answers::Never);
    for transport in [Transport::Tls, Transport::Wss] {
        caller.must_reach(to(target(&right, transport)));
        for callee in [&wrong, &foreign] {
            let leg = caller.dial(to(target(callee, transport)));
            let outcome = caller.outcome(leg);
            assert!(matches!(&outcome, Outcome::Ended(cause) if cause.status == 503), "{outcome:?}");
        }
    }
}

#[test]
fn client_certificates_as_they_are_asked_for() {
    let papers = Papers::new();
    let mut config = everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]);
    config.tls.clients = Clients::Required { authorities: papers.authority.clone() };
    let strict = start(config.clone(), Answers::AtOnce);
    config.tls.clients = Clients::Optional { authorities: papers.authority.clone() };
    let lenient = start(config, Answers::AtOnce);

    let known = start(everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]), Answers::Never);
    let mut nobody = support::plain();
    nobody.tls.authorities = Some(papers.authority.clone());
    let nobody = start(nobody, Answers::Never);
    let strangers = Papers::new();
    let mut foreign = everywhere("127.0.0.1:0", &strangers, &["127.0.0.1"]);
    foreign.tls.authorities = Some(papers.authority.clone());
    let foreign = start(foreign, Answers::Never);

    known.must_reach(to(target(&strict, Transport::Tls)));
    known.must_reach(to(target(&lenient, Transport::Tls)));
    nobody.must_reach(to(target(&lenient, Transport::Tls)));
    for (caller, callee) in [(&nobody, &strict), (&foreign, &strict), (&foreign, &lenient)] {
        let leg = caller.dial(to(target(callee, Transport::Tls)));
        let outcome = caller.outcome(leg);
        assert!(matches!(&outcome, Outcome::Ended(cause) if cause.status == 503), "{outcome:?}");
    }
}

#[test]
fn tls_is_reloaded_and_a_bad_file_changes_nothing() {
    let papers = Papers::new();
    let config = everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]);
    let identity = config.tls.identity.clone().unwrap();
    let callee = start(config, Answers::AtOnce);
    let caller = || start(everywhere("127.0.0.1:0", &papers, &["caller.example"]), Answers::Never);
    let first = caller();
    first.must_reach(to(target(&callee, Transport::Tls)));

    std::fs::write(&identity.certificate, "no certificate").unwrap();
    let error = callee.handle.reload_tls().unwrap_err();
    assert!(matches!(&error, Error::Tls { path, .. } if *path == identity.certificate), "{error}");
    assert!(error.to_string().contains("there is no certificate in it"), "{error}");
    caller().must_reach(to(target(&callee, Transport::Tls)));

    // A good one, for another name: seen by whoever comes anew, and by nobody before.
    papers.write(&identity, &["elsewhere.example"]);
    callee.handle.reload_tls().unwrap();
    first.must_reach(to(target(&callee, Transport::Tls)));
    let second = caller();
    let leg = second.dial(to(target(&callee, Transport::Tls)));
    assert!(matches!(second.outcome(leg), Outcome::Ended(cause) if cause.status == 503));

    papers.write(&identity, &["127.0.0.1"]);
    callee.handle.reload_tls().unwrap();
    caller().must_reach(to(target(&callee, Transport::Tls)));
}

#[test]
fn who_listens_over_tls_has_a_certificate() {
    let mut config = support::plain();
    config.listen.push(listen(Transport::Tls, "127.0.0.1:0"));
    let error = callbox_signal::Service::start(
        config,
        std::sync::Arc::<support::Door>::default(),
        std::sync::Arc::new(|_, _| {}),
        Vec::new(),
    );
    assert!(matches!(error.err(), Some(Error::NoIdentity { transport: "TLS", .. })));
}

// WebSocket.

fn with_websocket(change: impl FnOnce(&mut Config)) -> Node {
    node(
        |config| {
            config.listen.push(listen(Transport::Ws, "127.0.0.1:0"));
            change(config);
        },
        Answers::AtOnce,
    )
}

#[test]
fn a_browser_calls_in_text_and_in_binary() {
    let node = with_websocket(|_| {});
    for first in [0x81, 0x82] {
        let mut phone = Ws::new(node.at(Transport::Ws));
        let me = phone.stream.local_addr().unwrap();
        let id = format!("ws{first}");
        // The keep-alive of the browser's own, and that of other streams.
        phone.frame(0x89, b"are you there");
        assert_eq!(phone.next(), Some((0x8a, b"are you there".to_vec())));
        phone.say("\r\n\r\n");
        assert_eq!(phone.hear().as_deref(), Some("\r\n"));
        phone.frame(first, message("WS", "INVITE", me, &id, &id, TO, 1, "offer").as_bytes());
        let ok = phone.until(|text| status(text) == 200).unwrap();
        assert!(header(&ok, "Contact").contains(";transport=ws"), "{ok}");
        phone.say(&message("WS", "ACK", me, &id, &format!("a{id}"), &header(&ok, "To"), 1, ""));
        let leg = node.wait(|leg, event| matches!(event, LegEvent::Confirmed { .. }).then_some(*leg)).unwrap();
        node.handle.send(leg, LegCommand::Hangup { ask: 3, reason: None });
        assert!(phone.until(|text| text.starts_with("BYE ")).is_some());
    }
}

#[test]
fn who_does_not_offer_sip_is_no_phone() {
    let node = with_websocket(|_| {});
    for more in ["", "Sec-WebSocket-Protocol: chat, xmpp\r\n"] {
        let (_, head) = Ws::knock(node.at(Transport::Ws), more);
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
    let (_, head) = Ws::knock(node.at(Transport::Ws), "Sec-WebSocket-Protocol: chat, sip\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[test]
fn a_handshake_has_a_size_and_a_time() {
    let node = with_websocket(|config| config.handshake_within = Duration::from_millis(700));
    let padding = format!("Cookie: {}\r\n", "x".repeat(9_000));
    let (_, head) = Ws::knock(node.at(Transport::Ws), &format!("Sec-WebSocket-Protocol: sip\r\n{padding}"));
    assert_eq!(head, "", "more than 8 KiB were read");
    let mut slow = TcpStream::connect(node.at(Transport::Ws)).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    must_be_cut(&mut slow);
    let papers = Papers::new();
    let mut config = everywhere("127.0.0.1:0", &papers, &["127.0.0.1"]);
    config.handshake_within = Duration::from_millis(700);
    let node = start(config, Answers::Never);
    for transport in [Transport::Tls, Transport::Wss] {
        must_be_cut(&mut TcpStream::connect(node.at(transport)).unwrap());
    }
}

#[test]
fn a_frame_has_a_size_and_a_time() {
    let node = with_websocket(|config| config.message_within = Duration::from_millis(500));
    let mut phone = Ws::new(node.at(Transport::Ws));
    // 70,000 bytes are announced.
    phone.stream.write_all(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 0, 0, 0, 0, 1, 2, 3]).unwrap();
    must_be_cut(&mut phone.stream);
    let mut phone = Ws::new(node.at(Transport::Ws));
    // 100 bytes are announced, and come one by one.
    phone.stream.write_all(&[0x81, 0x80 | 100, 0, 0, 0, 0]).unwrap();
    let mut stream = phone.stream.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        for _ in 0..50 {
            if stream.write_all(b"x").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let began = Instant::now();
    must_be_cut(&mut phone.stream);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drip.join().unwrap();
}

/// Nothing more comes, and the stream is over.
fn must_be_cut(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let is_over = match &end {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    };
    assert!(is_over, "{end:?}");
}

// Limits.

#[test]
fn a_source_has_so_many_connections() {
    let node = node(|config| config.connections_per_source = 2, Answers::AtOnce);
    let keep: Vec<_> = (0..2).map(|_| Tcp::new(node.at(Transport::Tcp))).collect();
    let mut third = TcpStream::connect(node.at(Transport::Tcp)).unwrap();
    must_be_cut(&mut third);
    drop(keep);
    // Room again, as soon as it is seen that they are gone.
    eventually(|| {
        let mut line = Tcp::new(node.at(Transport::Tcp));
        let me = line.stream.local_addr().unwrap();
        line.stream.write_all(message("TCP", "OPTIONS", me, "o", "o", TO, 1, "").as_bytes()).ok()?;
        line.hear()
    });
}

#[test]
fn a_source_opens_so_many_connections_a_second() {
    let node = node(|config| config.connects_per_s_per_source = 5, Answers::AtOnce);
    let mut lines: Vec<_> = (0..12).map(|_| Tcp::new(node.at(Transport::Tcp))).collect();
    let served = lines.iter_mut().enumerate().filter_map(|(n, line)| {
        let me = line.stream.local_addr().unwrap();
        let ask = message("TCP", "OPTIONS", me, &format!("o{n}"), &format!("o{n}"), TO, 1, "");
        line.stream.write_all(ask.as_bytes()).ok()?;
        line.hear()
    });
    // Twice the rate, and one or two more where the machine was slow.
    let served = served.count();
    assert!((10..12).contains(&served), "{served}");
}

#[test]
fn who_says_nothing_and_serves_nothing_is_closed() {
    let node = node(|config| config.idle = Duration::from_millis(500), Answers::AtOnce);
    let mut line = TcpStream::connect(node.at(Transport::Tcp)).unwrap();
    let began = Instant::now();
    must_be_cut(&mut line);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // A browser answers pings by itself: that alone keeps nothing open.
    let node = with_websocket(|config| {
        config.idle = Duration::from_millis(900);
        config.ping_every = Duration::from_millis(200);
        config.pong_within = Duration::from_millis(200);
    });
    let mut phone = Ws::new(node.at(Transport::Ws));
    let began = Instant::now();
    let mut pings = 0;
    while let Some((first, payload)) = phone.next() {
        assert_eq!(first, 0x89);
        pings += 1;
        phone.frame(0x8a, &payload);
    }
    assert!(pings >= 2 && began.elapsed() < Duration::from_secs(4), "{pings} pings in {:?}", began.elapsed());
}

/// RFC 5626 4.4.1, seen from the far end of a stream that we dialled.
#[test]
fn a_dialled_stream_is_pinged_and_dead_without_an_answer_once_it_gave_one() {
    let caller = node(
        |config| {
            config.ping_every = Duration::from_millis(400);
            config.pong_within = Duration::from_millis(400);
        },
        Answers::Never,
    );
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    caller.dial(to(format!("sip:x@{};transport=tcp", far.local_addr().unwrap())));
    let (mut stream, _) = far.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut seen = Vec::new();
    let mut byte = [0; 1];
    let mut next_ping = |stream: &mut TcpStream| {
        seen.clear();
        while !seen.ends_with(b"\r\n\r\n\r\n\r\n") && seen != b"\r\n\r\n" {
            match stream.read(&mut byte) {
                Ok(1) => seen.push(byte[0]),
                _ => return false,
            }
            // The INVITE comes first: what follows its body is a ping.
            if seen.ends_with(b"offer") {
                seen.clear();
            }
        }
        true
    };
    assert!(next_ping(&mut stream), "unanswered");
    assert!(next_ping(&mut stream), "it stands, since it never answered");
    stream.write_all(b"\r\n").unwrap();
    assert!(next_ping(&mut stream));
    assert!(!next_ping(&mut stream), "it owed an answer");
}

#[test]
fn transports_that_are_not_spoken_and_uris_without_a_host_are_invalid() {
    let node = node(|_| {}, Answers::Never);
    for target in ["sip:x@127.0.0.1;transport=sctp", "tel:+4930", "mailto:a@b"] {
        let leg = node.dial(to(target));
        let outcome = node.outcome(leg);
        assert!(matches!(outcome, Outcome::Refused(Refused::Invalid(_))), "{target}: {outcome:?}");
    }
}
