//! Requests of the driver's own, REGISTER through the door, overload, and what is said of us.

use std::time::Duration;

use crate::agent::{Answered, Credentials, Effect, Peer, Transport};
use crate::message::Method;
use crate::{Limits, Message, Name};

use super::net::{CALLEE, CALLER, Net, Weather};
use super::phone::{alone, answer, request};

fn trunk() -> Credentials {
    Credentials { realm: Some("carrier".to_owned()), username: "us".to_owned(), password: "secret".to_owned() }
}

fn send(net: &mut Net, id: u64, to: Vec<Peer>, method: Method, headers: &[(&str, &str)]) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    net.with_agent(CALLER, |agent, now, out| {
        agent.request(now, id, to, method, "sip:192.0.2.2", &[], &headers, b"", Some(trunk()), out);
    });
}

fn statuses(net: &Net) -> Vec<(u64, Result<u16, u16>)> {
    let status = |result: &Result<Message, u16>| match result {
        Ok(message) => Ok(message.status().unwrap()),
        Err(status) => Err(*status),
    };
    net.responses[CALLER].iter().map(|(id, result)| (*id, status(result))).collect()
}

#[test]
fn options_finds_out_whether_somebody_is_there() {
    let mut net = Net::calm();
    let to = net.peer(CALLER);
    send(&mut net, 1, vec![to], Method::Options, &[]);
    net.pass_ms(10);
    assert_eq!(statuses(&net), [(1, Ok(200))]);
    let text = net.text(CALLEE, "SIP/2.0 200");
    for header in [
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK",
        "Supported: 100rel, timer, replaces",
        "Accept: application/sdp",
    ] {
        assert!(text.contains(header), "{header}: {text}");
    }
    let nowhere = net.nowhere(9);
    send(&mut net, 2, vec![nowhere], Method::Options, &[]);
    send(&mut net, 3, vec![], Method::Options, &[]);
    send(&mut net, 4, vec![to], Method::Options, &[("X-Evil", "a\r\nb")]);
    send(&mut net, 6, vec![to], Method::Invite, &[]);
    net.pass_ms(33_000);
    assert_eq!(statuses(&net)[1..], [(3, Err(503)), (4, Err(400)), (6, Err(405)), (2, Err(408))]);
    // Two places: the second one has its turn.
    send(&mut net, 5, vec![nowhere, to], Method::Options, &[]);
    net.pass_ms(33_000);
    assert_eq!(statuses(&net).last(), Some(&(5, Ok(200))));
    net.pass_ms(33_000);
    assert!(net.is_empty());
}

#[test]
fn a_trunk_is_registered_at_with_its_challenge_answered_once() {
    let mut net = alone();
    let to = net.peer(CALLER);
    let own = [
        ("From", "<sip:us@carrier>;tag=1"),
        ("To", "<sip:us@carrier>"),
        ("Call-ID", "reg-1"),
        ("CSeq", "7"),
        ("Contact", "<sip:us@192.0.2.1>"),
        ("Expires", "600"),
    ];
    send(&mut net, 1, vec![to], Method::Register, &own);
    let first = net.last(CALLER, "REGISTER sip:192.0.2.2 SIP/2.0");
    assert_eq!((first.cseq().unwrap().0, first.count(Name::Contact)), (7, 1));
    let challenge =
        |nonce: &str, more: &str| format!("Digest realm=\"carrier\", nonce=\"{nonce}\", algorithm=MD5{more}");
    answer(&mut net, &first, 401, "r", &[("WWW-Authenticate", &challenge("n1", ", qop=\"auth\""))], "");
    let second = net.last(CALLER, "REGISTER");
    let text = second.text(Name::Authorization).unwrap();
    assert!(text.starts_with("Digest ") && text.contains("nonce=\"n1\"") && text.contains("username=\"us\""), "{text}");
    assert_eq!((second.cseq().unwrap().0, second.call_id().as_deref()), (8, Some("reg-1")));
    // A nonce that was merely old is no reason to give up; a wrong answer is.
    answer(&mut net, &second, 401, "r", &[("WWW-Authenticate", &challenge("n2", ", stale=TRUE"))], "");
    let third = net.last(CALLER, "REGISTER");
    assert_eq!((third.cseq().unwrap().0, third.count(Name::Authorization)), (9, 1));
    answer(&mut net, &third, 401, "r", &[("WWW-Authenticate", &challenge("n3", ""))], "");
    assert_eq!(statuses(&net), [(1, Ok(401))]);
    net.pass_ms(33_000);
    assert!(net.is_empty());
}

#[test]
fn other_realms_are_told_nothing() {
    for challenge in ["Digest realm=\"other\", nonce=\"n\"", "Basic realm=\"carrier\"", "Digest"] {
        let mut net = alone();
        let to = net.peer(CALLER);
        send(&mut net, 1, vec![to], Method::Register, &[]);
        let first = net.last(CALLER, "REGISTER");
        answer(&mut net, &first, 401, "r", &[("WWW-Authenticate", challenge)], "");
        assert_eq!(statuses(&net), [(1, Ok(401))], "{challenge}");
        assert_eq!(net.sent(CALLER, "REGISTER"), 1);
    }
}

#[test]
fn a_lost_connection_ends_what_was_asked_over_it() {
    let mut net = Net::new(Transport::Tls, Weather::default(), 1);
    net.is_alone = true;
    let to = net.peer(CALLER);
    send(&mut net, 1, vec![to], Method::Options, &[]);
    assert!(net.text(CALLER, "OPTIONS").contains("Via: SIP/2.0/TLS 192.0.2.1:5060;rport;branch="));
    net.with_agent(CALLER, |agent, now, out| agent.disconnected(now, 1, out));
    let unopened = Peer { connection: 0, ..to };
    send(&mut net, 2, vec![unopened], Method::Options, &[]);
    net.with_agent(CALLER, |agent, now, out| agent.unreachable(now, &unopened, out));
    assert_eq!(statuses(&net), [(1, Err(503)), (2, Err(503))]);
    send(&mut net, 3, vec![to], Method::Options, &[]);
    net.with_agent(CALLER, |agent, now, out| agent.close(now, out));
    assert_eq!(statuses(&net).last(), Some(&(3, Err(503))));
    net.pass_ms(33_000);
    assert!(net.is_empty());
}

#[test]
fn a_register_has_the_doors_answer_each_time_the_same() {
    let mut net = Net::calm();
    net.doors.registrar = Answered {
        status: 401,
        reason: "Who are you".to_owned(),
        headers: vec![
            ("WWW-Authenticate".to_owned(), "Digest realm=\"a\"".to_owned()),
            ("WWW-Authenticate".to_owned(), "Digest realm=\"b\"".to_owned()),
        ],
    };
    for _ in 0..2 {
        net.deliver_text(CALLEE, &request("REGISTER", "1", "", 1, "Require: path, gruu\n\n"));
    }
    assert_eq!((net.doors.registers, net.sent(CALLEE, "SIP/2.0 401 Who are you")), (1, 2));
    assert_eq!(net.last(CALLEE, "SIP/2.0 401").count(Name::WwwAuthenticate), 2);
    net.deliver_text(CALLEE, &request("REGISTER", "2", "", 1, "Require: path, pigeons\n\n"));
    assert!(net.text(CALLEE, "SIP/2.0 420").contains("Unsupported: pigeons\r\n"));
    net.deliver_text(CALLEE, &request("INVITE", "3", "", 1, "Require: path, timer, 100rel, replaces, norefersub\n\n"));
    assert!(net.text(CALLEE, "SIP/2.0 420").contains("Unsupported: path\r\n"));
}

#[test]
fn clients_that_ask_hear_of_our_load() {
    let mut net = Net::calm();
    let with_oc =
        |branch: &str| request("OPTIONS", branch, "", 1, "\n").replace(";rport", ";rport;oc;oc-algo=\"loss,A\"");
    net.deliver_text(CALLEE, &with_oc("1"));
    assert!(net.text(CALLEE, "SIP/2.0 200").contains(";oc;oc-algo="), "nothing was set: it comes back as it was");
    net.agents[CALLEE].set_overload(Some(20), Duration::from_millis(500));
    net.deliver_text(CALLEE, &with_oc("2"));
    let text = net.text(CALLEE, "SIP/2.0 200");
    assert!(text.contains(";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1.000\r\n"), "{text}");
    assert_eq!(text.matches("oc-algo").count(), 1);
    net.deliver_text(CALLEE, &request("OPTIONS", "3", "", 1, "\n"));
    assert!(!net.text(CALLEE, "SIP/2.0 200").contains("oc"), "who does not ask is told nothing");
}

#[test]
fn a_hop_too_many_is_one_for_calls_alone() {
    let mut net = Net::calm();
    for (method, status) in [("INVITE", "483"), ("OPTIONS", "200")] {
        net.deliver_text(CALLEE, &request(method, method, "", 1, "\n").replace("Max-Forwards: 70", "Max-Forwards: 0"));
        assert_eq!(net.sent(CALLEE, &format!("SIP/2.0 {status}")), 1);
    }
}

#[test]
fn a_refusal_brings_its_headers() {
    let mut net = Net::calm();
    net.doors.decision = Err(crate::Refusal {
        status: 401,
        reason: String::new(),
        retry_after_s: None,
        headers: vec![("WWW-Authenticate".to_owned(), "Digest realm=\"a\"".to_owned())],
    });
    let mut out = Vec::new();
    let text = request("INVITE", "1", "", 1, "\n").replace('\n', "\r\n");
    let peer = net.peer(CALLEE);
    let message = Message::parse_datagram(text.into(), &Limits::default());
    net.agents[CALLEE].receive(net.now, peer, message, &mut net.doors, &mut out);
    let Effect::Send { bytes, .. } = &out[0] else { panic!() };
    assert!(String::from_utf8_lossy(bytes).contains("WWW-Authenticate: Digest realm=\"a\"\r\n"));
}
