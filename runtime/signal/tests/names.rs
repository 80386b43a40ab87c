//! Names and rules: where calls go by DNS, and where they may not go.

mod support;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callbox_model::{Egress, LegCommand, LegEvent, LegKey, Refused, Way};
use callbox_signal::Transport;
use support::dns::{Dns, Record};
use support::papers::Papers;
use support::phone::{Line, TO, Udp, header, message, status};
use support::{Answers, Node, Outcome, listen, node, open, to};

fn address(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

fn asking(dns: &Dns) -> Node {
    node(
        |config| {
            config.dns = vec![dns.at];
            config.dns_within = Duration::from_millis(1_500);
        },
        Answers::Never,
    )
}

fn by(egress: Egress, target: impl Into<String>) -> Way {
    Way { egress: Arc::new(egress), ..to(target) }
}

/// A socket that counts what reaches it.
fn ear() -> UdpSocket {
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    ear.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    ear
}

fn must_be_denied(caller: &Node, way: Way, why: &str) {
    let target = way.target.clone();
    let leg = caller.dial(way);
    match caller.outcome(leg) {
        Outcome::Refused(Refused::Denied(text)) => assert!(text.contains(why), "{target}: {text}"),
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn what_the_operator_has_not_opened_is_denied_and_no_packet_leaves() {
    let dns = Dns::start();
    dns.set("inside.example", vec![address("127.0.0.1")]);
    dns.set("metadata.example", vec![address("169.254.169.254")]);
    dns.set("mapped.example", vec![address("::ffff:127.0.0.1")]);
    dns.set(
        "_sip._udp.service.example",
        vec![Record::Srv { priority: 1, weight: 1, port: 5_060, target: "inside.example" }],
    );
    let caller = asking(&dns);
    let ear = ear();
    let port = ear.local_addr().unwrap().port();
    let closed = Egress::default;
    for target in [
        format!("sip:x@127.0.0.1:{port}"),
        format!("sip:x@[::ffff:127.0.0.1]:{port}"),
        format!("sip:x@localhost:{port}"),
        format!("sip:x@inside.example:{port}"),
        format!("sip:x@127.0.0.1:{port};transport=tcp"),
        "sip:x@service.example".to_owned(),
    ] {
        must_be_denied(&caller, by(closed(), target), "a loopback address, which the operator has not opened");
    }
    for target in ["sip:x@169.254.169.254:80", "sip:x@metadata.example:80"] {
        must_be_denied(&caller, by(closed(), target), "a link-local address");
    }
    // What routes or `maddr` say is held against the same rules.
    let route = Way { routes: vec![format!("<sip:127.0.0.1:{port};lr>")], ..by(closed(), "sip:x@8.8.8.8") };
    must_be_denied(&caller, route, "a loopback address");
    must_be_denied(&caller, by(closed(), format!("sip:x@8.8.8.8:{port};maddr=127.0.0.1")), "a loopback address");
    assert!(ear.recv_from(&mut [0; 2_000]).is_err(), "a packet left");
}

#[test]
fn the_nodes_own_sockets_are_denied_even_where_the_network_is_open() {
    let caller = node(|_| {}, Answers::Never);
    let own = Egress { own: caller.handle.listening().iter().map(|(_, at)| *at).collect(), ..open() };
    for (transport, at) in caller.handle.listening() {
        let name = transport.name().to_ascii_lowercase();
        must_be_denied(&caller, by(own.clone(), format!("sip:x@{at};transport={name}")), "an address of this node");
    }
    // And where the rules forgot them, nothing is sent.
    for transport in [Transport::Udp, Transport::Tcp] {
        let name = transport.name().to_ascii_lowercase();
        let leg = caller.dial(to(format!("sip:x@{};transport={name}", caller.at(transport))));
        let outcome = caller.outcome(leg);
        assert!(matches!(&outcome, Outcome::Ended(cause) if cause.status == 503), "{outcome:?}");
    }
    let offered = caller.wait_within(Duration::from_secs(1), |_, event| match event {
        LegEvent::Offered(_) => Some(()),
        _ => None,
    });
    assert_eq!(offered, None, "it called itself");
}

/// In a dialog the far end names a port of its host: it may be one that the node needs.
#[test]
fn a_far_end_cannot_aim_a_dialog_at_what_the_node_needs() {
    let database = ear();
    let at = database.local_addr().unwrap();
    let callee = node(|config| config.own = vec![at], Answers::AtOnce);
    let mut phone = Udp::new(callee.at(Transport::Udp));
    let invite = message("UDP", "INVITE", phone.me, "aim", "aim", TO, 1, "offer");
    phone.say(&invite.replace(&format!("<sip:a@{}>", phone.me), &format!("<sip:a@{at}>")));
    let ok = phone.until(|text| status(text) == 200).unwrap();
    phone.say(&message("UDP", "ACK", phone.me, "aim", "aimack", &header(&ok, "To"), 1, ""));
    let leg = callee.wait(|leg, event| matches!(event, LegEvent::Confirmed { .. }).then_some(*leg)).unwrap();
    callee.handle.send(leg, LegCommand::Hangup { ask: 2, reason: None });
    assert!(callee.wait(|_, event| matches!(event, LegEvent::Ended(_)).then_some(())).is_some());
    assert!(database.recv_from(&mut [0; 2_000]).is_err(), "the BYE went there");
}

#[test]
fn named_networks_leave_nothing_else() {
    let caller = node(|_| {}, Answers::Never);
    let only = Egress { only: Arc::new(["127.0.0.2/32".parse().unwrap()]), ..open() };
    let ear = ear();
    must_be_denied(&caller, by(only, format!("sip:x@{}", ear.local_addr().unwrap())), "in none of the networks");
}

#[test]
fn a_name_is_called_where_its_records_lead() {
    let dns = Dns::start();
    let callee = node(|_| {}, Answers::AtOnce);
    let (udp, tcp) = (callee.at(Transport::Udp).port(), callee.at(Transport::Tcp).port());
    dns.set("host.example", vec![address("127.0.0.1")]);
    dns.set("_sip._udp.srv.example", vec![Record::Srv { priority: 1, weight: 1, port: udp, target: "host.example" }]);
    dns.set(
        "naptr.example",
        vec![Record::Naptr { order: 1, service: "SIP+D2T", replacement: "_sip._tcp.other.example" }],
    );
    dns.set("_sip._tcp.other.example", vec![Record::Srv { priority: 1, weight: 1, port: tcp, target: "host.example" }]);
    let caller = asking(&dns);
    caller.must_reach(to(format!("sip:x@host.example:{udp}")));
    caller.must_reach(to(format!("sip:x@HOST.example.:{tcp};transport=tcp")));
    caller.must_reach(to("sip:x@srv.example"));
    caller.must_reach(to("sip:x@naptr.example"));
    // By a route, which alone is looked up.
    caller.must_reach(Way { routes: vec!["<sip:srv.example;lr>".to_owned()], ..to("sip:x@nowhere.example") });
    // The same again, from memory.
    let asked = dns.asked.load(Ordering::Relaxed);
    caller.must_reach(to("sip:x@naptr.example"));
    assert_eq!(dns.asked.load(Ordering::Relaxed), asked);
}

/// RFC 3263 4.3: the first of the two cannot be reached, or does not answer.
#[test]
fn srv_fails_over() {
    let dns = Dns::start();
    let callee = node(|_| {}, Answers::AtOnce);
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    dns.set("host.example", vec![address("127.0.0.1")]);
    let two = |first: u16, second: u16| {
        vec![
            Record::Srv { priority: 1, weight: 1, port: first, target: "host.example" },
            Record::Srv { priority: 2, weight: 1, port: second, target: "host.example" },
        ]
    };
    dns.set("_sip._tcp.tcp.example", two(refusing, callee.at(Transport::Tcp).port()));
    let silent = ear();
    dns.set("_sip._udp.udp.example", two(silent.local_addr().unwrap().port(), callee.at(Transport::Udp).port()));
    let caller = asking(&dns);
    caller.must_reach(to("sip:x@tcp.example;transport=tcp"));
    caller.must_reach(to("sip:x@udp.example"));
}

/// The rules are asked of each address: what is denied is left out, what is not is called.
#[test]
fn of_several_addresses_those_that_may_be_called_are() {
    let dns = Dns::start();
    let callee = node(|_| {}, Answers::AtOnce);
    dns.set("both.example", vec![address("10.9.9.9"), address("127.0.0.1")]);
    let caller = asking(&dns);
    caller.must_reach(to(format!("sip:x@both.example:{}", callee.at(Transport::Udp).port())));
}

#[test]
fn a_name_that_leads_nowhere_is_unavailable() {
    let dns = Dns::start();
    dns.set("empty.example", Vec::new());
    let caller = asking(&dns);
    for (target, why) in [("sip:x@nowhere.example", "has no address"), ("sip:x@empty.example", "has no address")] {
        let leg = caller.dial(to(target));
        match caller.outcome(leg) {
            Outcome::Refused(Refused::Unavailable(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    dns.silence();
    let leg = caller.dial(to("sip:x@silent.example"));
    match caller.outcome(leg) {
        Outcome::Refused(Refused::Unavailable(text)) => assert!(text.contains("DNS does not answer"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// RFC 8767
#[test]
fn an_old_answer_is_used_while_nobody_gives_a_new_one() {
    let dns = Dns::start();
    let callee = node(|_| {}, Answers::AtOnce);
    let target = format!("sip:x@old.example:{}", callee.at(Transport::Udp).port());
    dns.set("old.example", vec![address("127.0.0.1")]);
    let caller = asking(&dns);
    caller.must_reach(to(target.clone()));
    dns.silence();
    // One second is what the record says, and five are the least that is believed.
    std::thread::sleep(Duration::from_millis(5_300));
    let asked = dns.asked.load(Ordering::Relaxed);
    caller.must_reach(to(target));
    assert!(dns.asked.load(Ordering::Relaxed) > asked, "it was asked again, in vain");
}

/// The thread goes on while a name is looked up, and a leg that waits for one can be hung up.
#[test]
fn a_slow_name_holds_nobody_up() {
    let dns = Dns::start();
    dns.silence();
    let caller = asking(&dns);
    let callee = node(|_| {}, Answers::AtOnce);
    let slow = caller.dial(to("sip:x@slow.example"));
    caller.must_reach(to(format!("sip:x@{}", callee.at(Transport::Udp))));

    let other = caller.dial(to("sip:x@slower.example"));
    caller.handle.send(other, LegCommand::Reoffer { ask: 20, body: Vec::new() });
    caller.handle.send(other, LegCommand::Hangup { ask: 21, reason: Some("enough".to_owned()) });
    let mut told = Vec::new();
    caller.wait(|leg, event| {
        if *leg != other {
            return None;
        }
        told.push(event.clone());
        matches!(event, LegEvent::Ended(_)).then_some(())
    });
    let reply = |ask, result| LegEvent::Reply { ask, result };
    assert_eq!(told[..3], [reply(20, Err(Refused::State("being dialled"))), reply(7, Ok(())), reply(21, Ok(()))]);
    assert!(matches!(&told[3], LegEvent::Ended(cause) if cause.status == 487 && cause.reason == "enough"), "{told:?}");

    assert!(matches!(caller.outcome(slow), Outcome::Refused(Refused::Unavailable(_))));
    let late = caller.wait_within(Duration::from_secs(2), |leg, _| (*leg == other).then_some(()));
    assert_eq!(late, None, "Ended is the last");
}

#[test]
fn questions_at_once_are_bounded() {
    let dns = Dns::start();
    dns.silence();
    let caller = node(
        |config| {
            config.dns = vec![dns.at];
            config.dns_questions = 2;
            config.dns_within = Duration::from_secs(3);
        },
        Answers::Never,
    );
    let legs: Vec<LegKey> = (0..20).map(|n| caller.dial(to(format!("sip:x@n{n}.example:5060")))).collect();
    let mut refused = Vec::new();
    let began = std::time::Instant::now();
    caller.wait(|leg, event| {
        if matches!(event, LegEvent::Reply { result: Err(Refused::Unavailable(_)), .. }) {
            refused.push((*leg, began.elapsed()));
        }
        (refused.len() == legs.len()).then_some(())
    });
    let at_once = refused.iter().filter(|(_, after)| *after < Duration::from_secs(1)).count();
    assert!(at_once >= 18, "{refused:?}");
}

/// RFC 5922: the certificate names the domain that is called, not the host that DNS leads to.
#[test]
fn over_tls_the_domain_is_proved() {
    let (dns, papers) = (Dns::start(), Papers::new());
    let callee = node(
        |config| {
            config.listen = vec![listen(Transport::Tls, "127.0.0.1:0")];
            config.tls = papers.tls("callee", &["carrier.example"]);
        },
        Answers::AtOnce,
    );
    let at: SocketAddr = callee.at(Transport::Tls);
    dns.set("host.elsewhere.example", vec![Record::Address(IpAddr::from([127, 0, 0, 1]))]);
    let service = vec![Record::Srv { priority: 1, weight: 1, port: at.port(), target: "host.elsewhere.example" }];
    dns.set("_sips._tcp.carrier.example", service.clone());
    dns.set("_sips._tcp.impostor.example", service);
    let caller = node(
        |config| {
            config.dns = vec![dns.at];
            config.tls.authorities = Some(papers.authority.clone());
        },
        Answers::Never,
    );
    caller.must_reach(to("sip:x@carrier.example;transport=tls"));
    let leg = caller.dial(to("sip:x@impostor.example;transport=tls"));
    let outcome = caller.outcome(leg);
    assert!(matches!(&outcome, Outcome::Ended(cause) if cause.status == 503), "{outcome:?}");
}
