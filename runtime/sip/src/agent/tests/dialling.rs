//! Calls of ours: places in turn, forks, challenges, size, transports.

use std::time::Duration;

use crate::agent::{Command, Credentials, Dial, Event, No, Peer, Transport};
use crate::write::Writer;
use crate::{Message, Name};

use super::net::{CALLEE, CALLER, LEG, Net, Weather};
use super::phone::{alone, answer, inside};

fn dial(net: &mut Net, change: impl FnOnce(&mut Dial)) {
    let mut dial = net.to_callee();
    change(&mut dial);
    net.command(CALLER, Command::Dial(Box::new(dial)));
}

fn remotes(net: &Net, start: &str) -> Vec<String> {
    let sent = net.wire[CALLER].iter().filter(|(_, bytes)| bytes.starts_with(start.as_bytes()));
    sent.map(|(peer, _)| peer.remote.to_string()).collect()
}

#[test]
fn the_next_place_has_its_turn_when_one_is_silent() {
    let mut net = Net::calm();
    let to = vec![net.nowhere(8), net.nowhere(9), net.peer(CALLER)];
    dial(&mut net, |dial| dial.to = to);
    net.pass_ms(9_100);
    assert_eq!(net.doors.offers.len(), 1);
    assert_eq!(
        remotes(&net, "INVITE"),
        [vec!["192.0.2.8:5060"; 4], vec!["192.0.2.9:5060"; 4], vec!["192.0.2.2:5060"]].concat()
    );
    net.answer();
    net.pass_ms(10);
    assert_eq!(net.bodies(CALLER), [("answered", "answer".to_owned())]);
    assert!(net.text(CALLER, "ACK").contains("CSeq: 3 ACK"));
    net.pass_ms(1_000);
    net.hang_up(CALLER);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn one_that_answers_late_is_cancelled_or_hung_up_on() {
    let mut net = alone();
    let to = vec![net.nowhere(8), net.peer(CALLER)];
    dial(&mut net, |dial| dial.to = to);
    let first = net.last(CALLER, "INVITE");
    net.pass_ms(4_600);
    let second = net.last(CALLER, "INVITE");
    assert_ne!(first.bytes(), second.bytes());
    assert_eq!(first.call_id(), second.call_id());
    answer(&mut net, &first, 180, "late", &[], "");
    answer(&mut net, &first, 180, "late", &[], "");
    assert_eq!(net.sent(CALLER, "CANCEL"), 1);
    answer(&mut net, &second, 180, "t", &[], "");
    answer(&mut net, &first, 200, "late", &[], "too late");
    answer(&mut net, &first, 200, "late", &[], "too late");
    assert_eq!((net.sent(CALLER, "ACK sip:late"), net.sent(CALLER, "BYE sip:late")), (2, 1));
    answer(&mut net, &second, 200, "t", &[], "answer");
    assert_eq!(net.bodies(CALLER), [("answered", "answer".to_owned())]);
}

#[test]
fn a_place_that_is_out_of_order_or_cannot_be_reached_gives_way() {
    let mut net = alone();
    let unopened = Peer { transport: Transport::Tls, connection: 0, ..net.nowhere(8) };
    let to = vec![unopened, net.nowhere(9), net.peer(CALLER)];
    dial(&mut net, |dial| dial.to = to);
    assert!(net.text(CALLER, "INVITE").contains("Contact: <sip:192.0.2.1:5060;transport=tls>\r\n"));
    net.with_agent(CALLER, |agent, now, out| agent.unreachable(now, &unopened, out));
    let second = net.last(CALLER, "INVITE");
    let text = format!("{second:?}");
    assert!(text.contains("Contact: <sip:192.0.2.1:5060>\r\n") && text.contains("SIP/2.0/UDP"), "{text}");
    answer(&mut net, &second, 503, "x", &[], "");
    let third = net.last(CALLER, "INVITE");
    assert_eq!(remotes(&net, "INVITE"), ["192.0.2.8:5060", "192.0.2.9:5060", "192.0.2.2:5060"]);
    answer(&mut net, &third, 503, "x", &[], "");
    assert_eq!(net.end(CALLER), (503, true));
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn where_there_is_no_place_nothing_goes() {
    let mut net = alone();
    dial(&mut net, |dial| dial.to.clear());
    dial(&mut net, |dial| dial.target = "http://example".to_owned());
    dial(&mut net, |dial| dial.caller = "nobody".to_owned());
    dial(&mut net, |dial| dial.body.clear());
    dial(&mut net, |dial| dial.headers = vec![("Via".to_owned(), "x".to_owned())]);
    dial(&mut net, |dial| dial.routes = vec!["<sip:a;lr>\r\nX: y".to_owned()]);
    assert_eq!(net.told[CALLER].len(), 6);
    assert!(net.told[CALLER].iter().all(|event| matches!(event, Event::Reply { result: Err(No::Invalid(_)), .. })));
    assert!(net.is_empty() && net.sent[CALLER].is_empty());
}

#[test]
fn of_a_fork_one_wins_and_the_others_are_hung_up_on() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    for tag in ["t1", "t2", "t3"] {
        answer(&mut net, &invite, 183, tag, &[], &format!("early {tag}"));
    }
    answer(&mut net, &invite, 200, "t2", &[("X-Who", "two")], "two");
    answer(&mut net, &invite, 200, "t3", &[], "three");
    answer(&mut net, &invite, 200, "t2", &[], "two");
    answer(&mut net, &invite, 200, "t3", &[], "three");
    let bodies = net.bodies(CALLER);
    assert_eq!(bodies.iter().filter(|(what, _)| *what == "ringing").count(), 3);
    assert_eq!(bodies.last(), Some(&("answered", "two".to_owned())));
    let headers = net.told[CALLER].iter().find_map(|event| match event {
        Event::Answered { headers, peer, .. } => Some((headers.clone(), *peer)),
        _ => None,
    });
    assert_eq!(headers.unwrap(), (vec![("X-Who".to_owned(), "two".to_owned())], "192.0.2.2".parse().unwrap()));
    assert_eq!((net.sent(CALLER, "ACK sip:t2"), net.sent(CALLER, "ACK sip:t3")), (2, 2));
    assert_eq!((net.sent(CALLER, "BYE sip:t2"), net.sent(CALLER, "BYE sip:t3")), (0, 1));
    // Only the winner is in the call.
    inside(&mut net, &invite, "BYE", "t3", 1, "\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 481"), 1);
    inside(&mut net, &invite, "BYE", "t2", 1, "\n");
    assert_eq!(net.end(CALLER), (0, true));
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn who_names_no_contact_is_reached_as_before() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    let source = "192.0.2.1:5060".parse().unwrap();
    for tag in ["t1", "t2"] {
        let writer = Writer::response_to(&invite, source, 200, "", Some(tag));
        net.deliver(CALLER, writer.empty().unwrap());
    }
    assert_eq!(net.sent(CALLER, "ACK sip:bob@192.0.2.2 SIP/2.0"), 2);
    assert_eq!(net.sent(CALLER, "BYE sip:bob@192.0.2.2 SIP/2.0"), 1, "to the one that came late");
}

#[test]
fn a_branch_that_hangs_up_early_is_not_the_end() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 180, "t1", &[], "");
    inside(&mut net, &invite, "BYE", "t1", 1, "\n");
    assert!(!net.has_ended(CALLER));
    answer(&mut net, &invite, 302, "x", &[("Contact", "<sip:elsewhere@x>")], "");
    assert_eq!(net.end(CALLER), (302, true), "where to go then is not ours to say");
}

#[test]
fn no_more_branches_are_kept_than_may_be() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    for tag in 0..100 {
        let headers = [("Require", "100rel"), ("RSeq", "1")];
        answer(&mut net, &invite, 183, &format!("t{tag}"), &headers, "early");
    }
    assert_eq!(net.sent(CALLER, "PRACK"), 16);
    for tag in 0..100 {
        answer(&mut net, &invite, 200, &format!("t{tag}"), &[], "answer");
    }
    assert_eq!((net.sent(CALLER, "ACK"), net.sent(CALLER, "BYE")), (16, 15));
    net.hang_up(CALLER);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

fn credentials(realm: Option<&str>) -> Option<Credentials> {
    Some(Credentials { realm: realm.map(str::to_owned), username: "us".to_owned(), password: "secret".to_owned() })
}

const CHALLENGE: &str = "Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";

#[test]
fn a_trunks_challenge_is_answered_in_every_request_that_it_challenges() {
    let mut net = alone();
    dial(&mut net, |dial| dial.credentials = credentials(Some("carrier")));
    let first = net.last(CALLER, "INVITE");
    assert_eq!(first.count(Name::ProxyAuthorization), 0);
    answer(&mut net, &first, 407, "c", &[("Proxy-Authenticate", CHALLENGE)], "");
    assert_eq!(net.sent(CALLER, "ACK"), 1);
    let second = net.last(CALLER, "INVITE");
    let said = second.text(Name::ProxyAuthorization).unwrap();
    assert!(said.contains("algorithm=SHA-256") && said.contains("uri=\"sip:bob@192.0.2.2\""), "{said}");
    assert!(!format!("{second:?}").contains("secret"));
    assert_eq!((second.cseq().unwrap().0, second.body()), (2, &b"offer"[..]));
    answer(&mut net, &second, 200, "t", &[], "answer");
    let ack = net.last(CALLER, "ACK sip:t@");
    assert_eq!((ack.cseq().unwrap().0, ack.text(Name::ProxyAuthorization)), (2, Some(said)), "RFC 3261 22.3");
    net.hang_up(CALLER);
    let bye = net.last(CALLER, "BYE");
    answer(&mut net, &bye, 407, "t", &[("Proxy-Authenticate", CHALLENGE)], "");
    let again = net.last(CALLER, "BYE");
    assert_eq!((again.cseq().unwrap().0, again.count(Name::ProxyAuthorization)), (4, 1));
    assert!(!net.has_ended(CALLER));
    answer(&mut net, &again, 200, "t", &[], "");
    assert_eq!(net.end(CALLER), (0, false));
}

#[test]
fn a_branch_that_lost_is_hung_up_on_with_credentials_too() {
    let mut net = alone();
    dial(&mut net, |dial| dial.credentials = credentials(None));
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t1", &[], "one");
    answer(&mut net, &invite, 200, "t2", &[], "two");
    let bye = net.last(CALLER, "BYE sip:t2");
    answer(&mut net, &bye, 407, "t2", &[("Proxy-Authenticate", CHALLENGE)], "");
    let again = net.last(CALLER, "BYE sip:t2");
    assert_eq!(again.cseq().unwrap().0, bye.cseq().unwrap().0 + 1);
    assert_eq!(again.count(Name::ProxyAuthorization), 1);
    assert!(!net.has_ended(CALLER));
}

#[test]
fn what_we_were_not_given_is_not_said() {
    for given in [None, credentials(Some("another"))] {
        let mut net = alone();
        dial(&mut net, |dial| dial.credentials = given);
        let first = net.last(CALLER, "INVITE");
        answer(&mut net, &first, 401, "c", &[("WWW-Authenticate", CHALLENGE)], "");
        assert_eq!((net.end(CALLER), net.sent(CALLER, "INVITE")), ((401, true), 1));
    }
    // A wrong password is a no, not a reason to go on.
    let mut net = alone();
    dial(&mut net, |dial| dial.credentials = credentials(None));
    for _ in 0..2 {
        let invite = net.last(CALLER, "INVITE");
        answer(&mut net, &invite, 401, "c", &[("WWW-Authenticate", CHALLENGE)], "");
    }
    assert_eq!((net.end(CALLER), net.sent(CALLER, "INVITE")), ((401, true), 2));
}

#[test]
fn a_caller_who_hangs_up_is_not_called_again() {
    let mut net = alone();
    let to = vec![net.nowhere(8), net.peer(CALLER)];
    dial(&mut net, |dial| {
        dial.to = to;
        dial.credentials = credentials(None);
    });
    let first = net.last(CALLER, "INVITE");
    net.hang_up(CALLER);
    answer(&mut net, &first, 401, "c", &[("WWW-Authenticate", CHALLENGE)], "");
    assert_eq!((net.end(CALLER), net.sent(CALLER, "INVITE")), ((401, true), 1));
}

#[test]
fn what_is_too_long_for_a_datagram_goes_by_a_stream_and_back_again() {
    let mut net = alone();
    dial(&mut net, |dial| dial.body = vec![b'x'; 1_400]);
    let (peer, bytes) = net.wire[CALLER].last().unwrap().clone();
    assert_eq!((peer.transport, peer.connection), (Transport::Tcp, 0));
    let branch = |bytes: &[u8]| {
        let message = Message::parse_datagram(bytes.to_vec().into(), &crate::Limits::default()).unwrap();
        let via = message.top_via().unwrap();
        (via.transport.clone(), via.branch())
    };
    assert_eq!(branch(&bytes).0, "TCP");
    net.with_agent(CALLER, |agent, now, out| agent.unreachable(now, &peer, out));
    let (back, again) = net.wire[CALLER].last().unwrap().clone();
    assert_eq!((back.transport, branch(&again).0), (Transport::Udp, "UDP".to_owned()));
    assert_eq!(branch(&bytes).1, branch(&again).1);
    net.pass_ms(600);
    assert_eq!(net.sent(CALLER, "INVITE"), 3, "as a datagram it is sent again");
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t", &[], "answer");
    assert!(matches!(net.told[CALLER].last(), Some(Event::Answered { .. })));
    // Nobody waits for the refusal again, for ten minutes.
    let transports = |net: &Net| net.wire[CALLER].iter().map(|(peer, _)| peer.transport).collect::<Vec<_>>();
    net.command(CALLER, Command::Reoffer { body: vec![b'x'; 1_400] });
    assert_eq!(transports(&net).last(), Some(&Transport::Udp));
    let reinvite = net.last(CALLER, "INVITE");
    answer(&mut net, &reinvite, 200, "t", &[], "answer");
    net.pass(Duration::from_secs(601));
    net.command(CALLER, Command::Reoffer { body: vec![b'x'; 1_400] });
    assert_eq!(transports(&net).last(), Some(&Transport::Tcp));
}

#[test]
fn contacts_say_by_what_we_are_reached() {
    for (transport, target, contact) in [
        (Transport::Udp, "sip:b@192.0.2.2", "<sip:192.0.2.1:5060>"),
        (Transport::Tcp, "sip:b@192.0.2.2", "<sip:192.0.2.1:5060;transport=tcp>"),
        (Transport::Tls, "sip:b@192.0.2.2", "<sip:192.0.2.1:5060;transport=tls>"),
        (Transport::Tls, "sips:b@192.0.2.2", "<sips:192.0.2.1:5060>"),
        (Transport::Ws, "sip:b@192.0.2.2", "<sip:192.0.2.1:5060;transport=ws>"),
        (Transport::Wss, "sip:b@192.0.2.2", "<sip:192.0.2.1:5060;transport=ws>"),
        (Transport::Wss, "sips:b@192.0.2.2", "<sips:192.0.2.1:5060;transport=ws>"),
    ] {
        let mut net = Net::new(transport, Weather::default(), 1);
        dial(&mut net, |dial| dial.target = target.to_owned());
        let invite = net.last(CALLER, "INVITE");
        assert_eq!(invite.text(Name::Contact).as_deref(), Some(contact));
        assert_eq!(invite.top_via().unwrap().transport, transport.name());
        net.pass_ms(10);
        net.answer();
        net.pass_ms(10);
        let theirs = contact.replace("192.0.2.1", "192.0.2.2");
        assert_eq!(net.last(CALLEE, "SIP/2.0 200").text(Name::Contact), Some(theirs));
        net.pass_ms(1_000);
        assert_eq!((net.sent(CALLER, "INVITE"), net.sent(CALLER, "ACK")), (1, 1));
        net.hang_up(CALLEE);
        net.pass_ms(100_000);
        assert!(net.is_empty());
    }
}

#[test]
fn routes_are_gone_by_and_the_answer_gives_new_ones() {
    let mut net = alone();
    dial(&mut net, |dial| dial.routes = vec!["<sip:proxy.example;lr>".to_owned()]);
    let invite = net.last(CALLER, "INVITE sip:bob@192.0.2.2");
    assert_eq!(invite.list(Name::Route), ["<sip:proxy.example;lr>"]);
    answer(&mut net, &invite, 180, "t", &[], "");
    net.hang_up(CALLER);
    let cancel = net.last(CALLER, "CANCEL");
    assert_eq!(cancel.list(Name::Route), ["<sip:proxy.example;lr>"]);
    assert!(cancel.text(Name::Reason).unwrap().starts_with("SIP;cause=487"));
    let routes = [("Record-Route", "<sip:p1.example;lr>, <sip:p2.example;lr>")];
    answer(&mut net, &invite, 200, "t", &routes, "answer");
    let ack = net.last(CALLER, "ACK sip:t@192.0.2.2");
    assert_eq!(ack.list(Name::Route), ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]);
    assert_eq!(net.sent(CALLER, "BYE"), 1, "it was answered before it was cancelled");
}

#[test]
fn reasons_go_out_whole_or_in_words() {
    for (reason, header) in [
        ("enough \"said\"", "Q.850;cause=16;text=\"enough said\""),
        ("SIP;cause=200;text=\"Call completed elsewhere\"", "SIP;cause=200;text=\"Call completed elsewhere\""),
        ("Q.850 ; cause=17", "Q.850 ; cause=17"),
    ] {
        let mut net = alone();
        net.dial();
        let invite = net.last(CALLER, "INVITE");
        answer(&mut net, &invite, 200, "t", &[], "answer");
        net.command_of(CALLER, LEG, Command::Hangup { reason: Some(reason.to_owned()) });
        assert_eq!(net.last(CALLER, "BYE").text(Name::Reason).as_deref(), Some(header));
    }
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t", &[], "answer");
    inside(&mut net, &invite, "BYE", "t", 1, "Reason: Q.850;cause=31\n\n");
    assert!(matches!(net.told[CALLER].last(), Some(Event::Ended { reason, .. }) if reason == "Q.850 31"));
}

#[test]
fn a_call_that_nobody_answers_is_given_up() {
    let mut net = Net::calm();
    dial(&mut net, |dial| dial.timeout = Duration::from_secs(20));
    net.pass_ms(20_100);
    assert_eq!(net.end(CALLER), (487, false));
    assert_eq!(net.end(CALLEE), (487, true));
    net.pass_ms(100_000);
    assert!(net.is_empty());
}
