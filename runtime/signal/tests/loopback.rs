//! Real sockets on the loopback, and phones by hand.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use callbox_model::{LegCommand, LegEvent, LegKey};
use callbox_signal::Transport;
use support::phone::{Line, TO, Tcp, Udp, header, message, status};
use support::{Answers, LONG, Outcome, node, to};

#[test]
fn a_call_over_udp() {
    let node = node(|_| {}, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
    let to = phone.call("one");
    assert!(node.wait(|_, e| matches!(e, LegEvent::Confirmed { .. }).then_some(())).is_some());
    assert_eq!(phone.bye("one", &to).map(|t| status(&t)), Some(200));
    assert!(node.wait(|_, e| matches!(e, LegEvent::Ended(_)).then_some(())).is_some());
}

#[test]
fn tcp_split_anywhere() {
    let node = node(|_| {}, Answers::AtOnce);
    let mut line = Tcp::new(node.at(Transport::Tcp));
    let me = line.stream.local_addr().unwrap();
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
    let node = node(|_| {}, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
    for n in 0..500u32 {
        let junk: Vec<u8> = (0..n % 300).map(|i| (i.wrapping_mul(n).wrapping_add(n * 7) % 256) as u8).collect();
        phone.socket.send_to(&junk, phone.node).unwrap();
    }
    let to = phone.call("g");
    assert_eq!(phone.bye("g", &to).map(|t| status(&t)), Some(200));
}

#[test]
fn two_hundred_calls_between_two_nodes() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (one, two) = (node(|_| {}, Answers::Never), node(|_| {}, Answers::AtOnce));
        let name = transport.name().to_ascii_lowercase();
        for _ in 0..200 {
            one.dial(to(format!("sip:x@{};transport={name}", two.at(transport))));
        }
        let mut answered = 0;
        one.wait(|leg, event| {
            if matches!(event, LegEvent::Answered { .. }) {
                answered += 1;
                one.handle.send(*leg, LegCommand::Hangup { ask: 9, reason: None });
            }
            (answered == 200).then_some(())
        });
        assert_eq!(answered, 200, "{name}");
        let mut ended = 0;
        two.wait(|_, event| {
            ended += usize::from(matches!(event, LegEvent::Ended(_)));
            (ended == 200).then_some(())
        });
        assert_eq!(ended, 200, "{name}");
    }
}

#[test]
fn slow_sender_is_cut_off() {
    let node = node(|c| c.message_within = Duration::from_millis(500), Answers::AtOnce);
    let mut line = Tcp::new(node.at(Transport::Tcp));
    line.say("INVITE sip:a@b SIP/2.0\r\n");
    assert!(line.hear().is_none());
    let mut b = [0; 1];
    assert!(matches!(line.stream.read(&mut b), Ok(0) | Err(_)));
}

/// Config says: "a connection WITHOUT A CALL that sends nothing for so long is closed".
#[test]
fn a_connection_with_a_call_is_not_closed_for_idleness() {
    let node = node(|c| c.idle = Duration::from_millis(700), Answers::AtOnce);
    let mut line = Tcp::new(node.at(Transport::Tcp));
    line.call("idle");
    let leg = node.wait(|leg, e| matches!(e, LegEvent::Confirmed { .. }).then_some(*leg)).unwrap();
    std::thread::sleep(Duration::from_millis(2_000));
    node.handle.send(leg, LegCommand::Hangup { ask: 5, reason: None });
    let heard = line.hear();
    assert!(heard.as_deref().is_some_and(|t| t.starts_with("BYE ")), "the phone never hears the BYE: {heard:?}");
}

/// A source over its rate must still be able to end its calls.
#[test]
fn bye_passes_under_flood() {
    let node = node(|c| c.requests_per_s_per_source = 20, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
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

/// Retransmissions are answered from the table first.
#[test]
fn retransmission_is_answered_under_flood() {
    let node = node(|c| c.requests_per_s_per_source = 20, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
    let to = phone.call("r");
    assert_eq!(phone.bye("r", &to).map(|t| status(&t)), Some(200));
    for n in 0..400 {
        phone.say(&message("UDP", "OPTIONS", phone.me, &format!("o{n}"), &format!("o{n}"), TO, 1, ""));
    }
    phone.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    // Without its transaction it would be one for no call: 481.
    assert_eq!(phone.bye("r", &to).map(|t| status(&t)), Some(200), "dropped as flood");
}

/// Over its rate a source is told with an INVITE, and with nothing else.
#[test]
fn options_over_the_rate_are_not_answered() {
    let node = node(|c| c.requests_per_s_per_source = 20, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
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

/// RFC 7339: whoever understands it is told what share to keep to itself.
#[test]
fn who_calls_too_often_is_told_how_much_less_it_should() {
    let node = node(|c| c.requests_per_s_per_source = 20, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
    let mut seen = Vec::new();
    for n in 0..55 {
        let id = format!("oc{n}");
        let invite = message("UDP", "INVITE", phone.me, &id, &id, TO, 1, "offer");
        phone.say(&invite.replacen(";rport", ";rport;oc;oc-algo=\"loss\"", 1));
    }
    phone.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    while let Some(text) = phone.hear() {
        if status(&text) == 503 {
            assert_eq!(header(&text, "Retry-After"), "2");
            seen.push(header(&text, "Via"));
        }
    }
    let share = |via: &String| via.split(';').find_map(|part| part.strip_prefix("oc=")?.parse::<u32>().ok());
    assert!(!seen.is_empty());
    assert!(seen.iter().filter_map(share).any(|percent| (1..100).contains(&percent)), "{seen:?}");
}

/// 8.1.3.1: a refused connection is a 503, not "408 no answer".
#[test]
fn connection_refused() {
    let node = node(|_| {}, Answers::Never);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let leg = node.dial(to(format!("sip:x@{nobody};transport=tcp")));
    let outcome = node.outcome(leg);
    assert!(matches!(&outcome, Outcome::Ended(cause) if cause.status == 503), "{outcome:?}");
}

/// The first dial after the start is not lost to an unready socket.
#[test]
fn first_dial_leaves_at_once() {
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let callee = UdpSocket::bind("127.0.0.1:0").unwrap();
        callee.set_read_timeout(Some(LONG)).unwrap();
        let node = node(|_| {}, Answers::Never);
        let began = Instant::now();
        node.dial(to(format!("sip:x@{}", callee.local_addr().unwrap())));
        callee.recv_from(&mut [0; 65536]).unwrap();
        worst = worst.max(began.elapsed());
    }
    assert!(worst < Duration::from_millis(450), "{worst:?}: it was lost, and sent again by timer A");
}

/// Stop with a leg up: its user hears of the end.
#[test]
fn stop_ends_legs() {
    let mut node = node(|_| {}, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
    phone.call("up");
    node.wait(|_, e| matches!(e, LegEvent::Confirmed { .. }).then_some(()));
    node.stop();
    assert!(
        node.wait_within(Duration::from_secs(2), |_, e| matches!(e, LegEvent::Ended(_)).then_some(())).is_some(),
        "no Ended"
    );
}

/// What a stopped service is told is answered Gone.
#[test]
fn commands_after_stop() {
    let mut node = node(|_| {}, Answers::AtOnce);
    node.stop();
    node.handle.send(LegKey::new(1, 1), LegCommand::Hangup { ask: 3, reason: None });
    let r = node.wait_within(Duration::from_secs(2), |_, e| {
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
#[ignore = "a measurement"]
fn cpu_per_call() {
    let node = node(|config| config.requests_per_s_per_source = 1_000_000, Answers::AtOnce);
    let mut phone = Udp::new(node.at(Transport::Udp));
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
        println!("{:?} a call", (signal_cpu() - began) / 500);
    }
}
