//! Calls as they go, on a calm network.

use crate::agent::{Command, Event, No, Refusal, Transport};

use super::net::{CALLEE, CALLER, Net, Weather};
use super::phone::{request, tag_of};

fn up() -> Net {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.answer();
    net.pass_ms(10);
    net
}

#[test]
fn a_call_is_answered_and_ended_by_either_side() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        for who in [CALLER, CALLEE] {
            let mut net = Net::new(transport, Weather::default(), 1);
            net.dial();
            net.pass_ms(10);
            assert_eq!(net.doors.offers[0].offer.as_deref(), Some(&b"offer"[..]));
            net.command(CALLEE, Command::Ring { status: 180, body: None });
            net.pass_ms(10);
            assert!(
                net.told[CALLER].iter().any(|event| matches!(event, Event::Ringing { status: 180, body: None, .. }))
            );
            net.answer();
            net.pass_ms(10);
            assert_eq!(net.bodies(CALLER), [("answered", "answer".to_owned())]);
            assert!(net.is_told(CALLEE, &Event::Confirmed { body: None }));
            net.pass_ms(60_000);
            net.hang_up(who);
            net.pass_ms(10);
            assert_eq!(net.end(who), (0, false));
            assert_eq!(net.end(1 - who), (0, true));
            net.pass_ms(70_000);
            assert!(net.is_empty(), "{:?}", net.agents.each_ref().map(|agent| agent.counts()));
            assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 2 - usize::from(who == CALLEE), "nothing was sent twice");
        }
    }
}

#[test]
fn a_refusal_is_acknowledged() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.command(CALLEE, Command::Reject { status: 486, reason: String::new(), headers: vec![] });
    net.pass_ms(10);
    assert_eq!(net.end(CALLER), (486, true));
    assert_eq!(net.end(CALLEE), (486, false));
    assert_eq!(net.sent(CALLER, "ACK"), 1);
    net.pass_ms(70_000);
    assert!(net.is_empty());
}

#[test]
fn admission_refuses_with_its_words() {
    let mut net = Net::calm();
    net.doors.decision =
        Err(Refusal { status: 503, reason: "tenant_calls".to_owned(), retry_after_s: Some(5), headers: vec![] });
    net.dial();
    net.pass_ms(10);
    assert!(net.sent[CALLEE].iter().any(|line| line == "SIP/2.0 503 tenant_calls"), "{:?}", net.sent);
    assert_eq!(net.end(CALLER), (503, true));
    assert!(net.told[CALLEE].is_empty());
    net.pass_ms(70_000);
    assert!(net.is_empty());
}

#[test]
fn a_caller_changes_their_mind() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.hang_up(CALLER);
    net.pass_ms(10);
    assert_eq!(net.end(CALLER), (487, false));
    assert_eq!(net.end(CALLEE), (487, true));
    net.pass_ms(70_000);
    assert!(net.is_empty());
}

#[test]
fn an_answer_and_a_cancel_that_cross() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.answer();
    net.hang_up(CALLER);
    net.pass_ms(100);
    assert_eq!(net.end(CALLER), (0, false));
    assert_eq!(net.end(CALLEE), (0, true));
    assert_eq!(net.sent(CALLER, "BYE"), 1);
    net.pass_ms(70_000);
    assert!(net.is_empty());
}

#[test]
fn nobody_is_there() {
    let mut net = Net::new(Transport::Udp, Weather { loss: 100, ..Weather::default() }, 1);
    net.dial();
    net.pass_ms(40_000);
    assert_eq!(net.end(CALLER), (408, false));
    assert_eq!(net.sent(CALLER, "INVITE"), 7);
    net.pass_ms(70_000);
    assert!(net.is_empty());
}

#[test]
fn an_answer_that_is_never_acknowledged_ends_the_call() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.weather.loss = 100;
    net.answer();
    net.pass_ms(31_000);
    assert!(net.sent(CALLEE, "SIP/2.0 200") > 5, "the 200 is sent again and again");
    assert!(!net.has_ended(CALLEE));
    net.pass_ms(40_000);
    assert_eq!(net.end(CALLEE), (0, false));
}

#[test]
fn hanging_up_waits_for_the_ack() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.answer();
    net.hang_up(CALLEE);
    assert_eq!(net.sent(CALLEE, "BYE"), 0, "RFC 3261 15");
    net.pass_ms(10);
    assert_eq!(net.sent(CALLEE, "BYE"), 1);
    assert_eq!(net.end(CALLER), (0, true));
}

#[test]
fn commands_out_of_place_are_refused_by_name() {
    let mut net = up();
    net.command(CALLEE, Command::Ring { status: 180, body: None });
    assert!(matches!(net.told[CALLEE].last(), Some(Event::Reply { result: Err(No::State("answered")), .. })));
    net.command(CALLEE, Command::AnswerReoffer { body: vec![] });
    assert!(matches!(net.told[CALLEE].last(), Some(Event::Reply { result: Err(No::State(_)), .. })));
    let evil = vec![("X-A".to_owned(), "1\r\nVia: evil".to_owned())];
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.command(CALLEE, Command::Answer { body: vec![], headers: evil });
    assert!(matches!(net.told[CALLEE].last(), Some(Event::Reply { result: Err(No::Invalid(_)), .. })));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 0);
}

#[test]
fn what_is_not_spoken_is_answered_as_the_rfc_says() {
    for (method, more, status) in [
        ("OPTIONS", "\n", "200"),
        ("REGISTER", "\n", "403"),
        ("REFER", "\n", "403"),
        ("SUBSCRIBE", "\n", "489"),
        ("NOTIFY", "\n", "481"),
        ("PRACK", "\n", "481"),
        ("MESSAGE", "\n", "405"),
        ("BYE", "\n", "481"),
        ("UPDATE", "\n", "481"),
        ("CANCEL", "\n", "481"),
        ("NEWMETHOD", "\n", "501"),
        ("INVITE", "Require: 100rel, x\n\n", "420"),
        ("INVITE", "Content-Type: text/plain\nContent-Length: 4\n\nbody", "415"),
        ("INVITE", "Content-Type: application/sdp\nContent-Encoding: gzip\nContent-Length: 4\n\nbody", "415"),
    ] {
        let mut net = Net::calm();
        net.deliver_text(CALLEE, &request(method, "1", "", 1, more));
        assert_eq!(net.sent(CALLEE, &format!("SIP/2.0 {status}")), 1, "{method}: {:?}", net.sent[CALLEE]);
        assert!(net.doors.offers.is_empty());
        // The same again is answered from the transaction.
        net.deliver_text(CALLEE, &request(method, "1", "", 1, more));
        assert_eq!(net.sent(CALLEE, &format!("SIP/2.0 {status}")), 2, "{method}");
        net.pass_ms(70_000);
        assert!(net.is_empty(), "{method}");
    }
}

#[test]
fn broken_messages_are_answered_or_dropped() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "Content-Length: 99\n\n"));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 400 Content-Length says 99"), 1, "{:?}", net.sent);
    net.deliver_text(CALLEE, "hello\n\n");
    net.deliver_text(CALLEE, "SIP/2.0 200 OK\n\n");
    net.deliver_text(CALLEE, &request("ACK", "2", "", 1, "Content-Length: 99\n\n"));
    assert_eq!(net.sent[CALLEE].len(), 1);
    assert!(net.is_empty());
}

#[test]
fn the_same_invite_by_another_way_is_merged() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
    net.deliver_text(CALLEE, &request("INVITE", "2", "", 1, "\n"));
    assert_eq!(net.doors.offers.len(), 1);
    assert_eq!(net.sent(CALLEE, "SIP/2.0 482"), 1);
}

#[test]
fn hold_is_offered_to_the_user_and_answered_once() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
    net.answer();
    let tag = tag_of(&net);
    net.deliver_text(CALLEE, &request("ACK", "2", &tag, 1, "Content-Type: application/sdp\nContent-Length: 4\n\nlate"));
    assert!(net.is_told(CALLEE, &Event::Confirmed { body: Some(b"late".to_vec()) }), "a late offer's answer");

    let hold = "Content-Type: application/sdp\nContent-Length: 4\n\nhold";
    net.deliver_text(CALLEE, &request("INVITE", "3", &tag, 2, hold));
    assert!(net.is_told(CALLEE, &Event::Reoffered { body: Some(b"hold".to_vec()) }));
    net.deliver_text(CALLEE, &request("INVITE", "4", &tag, 3, hold));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 500"), 1, "one at a time");
    net.deliver_text(CALLEE, &request("ACK", "4", &tag, 3, "\n"));
    net.command(CALLEE, Command::AnswerReoffer { body: b"held".to_vec() });
    net.deliver_text(CALLEE, &request("ACK", "5", &tag, 2, "\n"));
    net.deliver_text(CALLEE, &request("INVITE", "6", &tag, 1, hold));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 500"), 2, "a number that was used");
    net.deliver_text(CALLEE, &request("ACK", "6", &tag, 1, "\n"));

    // RFC 3311, and one that nobody decides.
    net.deliver_text(CALLEE, &request("UPDATE", "7", &tag, 5, hold));
    net.pass_ms(11_000);
    assert_eq!(net.sent(CALLEE, "SIP/2.0 500"), 3);
    net.deliver_text(
        CALLEE,
        &request(
            "INFO",
            "8",
            &tag,
            6,
            "Content-Type: application/dtmf-relay\nContent-Length: 24\n\nSignal=5\nDuration= 250\n",
        ),
    );
    assert!(net.told[CALLEE].contains(&Event::Digit { digit: '5', length_ms: 250 }), "{:?}", net.told[CALLEE].last());

    net.deliver_text(CALLEE, &request("BYE", "9", &tag, 7, "Reason: Q.850;cause=16;text=\"Terminated\"\n\n"));
    assert_eq!(
        net.told[CALLEE].last(),
        Some(&Event::Ended { status: 0, reason: "Terminated".to_owned(), remote: true })
    );
}

#[test]
fn an_offer_is_found_in_a_multipart_body() {
    let body = "--b1\r\nContent-Type: text/plain\r\n\r\nx\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1--\r\n";
    let head = format!("Content-Type: multipart/mixed;boundary=b1\nContent-Length: {}\n\n", body.len());
    let mut net = Net::calm();
    let text = request("INVITE", "1", "", 1, &head).replace('\n', "\r\n") + body;
    net.deliver(CALLEE, bytes::Bytes::from(text));
    assert_eq!(net.doors.offers[0].offer.as_deref(), Some(&b"v=0\r\n"[..]));
}

#[test]
fn answers_carry_where_the_request_came_from() {
    let mut net = Net::calm();
    let mut seen = Vec::new();
    let text =
        request("OPTIONS", "1", "", 1, "\n").replace("192.0.2.1:5060;branch", "10.0.0.9;branch").replace('\n', "\r\n");
    let message = crate::Message::parse_datagram(bytes::Bytes::from(text), &crate::Limits::default());
    let peer = net.peer(CALLEE);
    net.agents[CALLEE].receive(net.now, peer, message, &mut net.doors, &mut seen);
    let crate::agent::Effect::Send { bytes, peer: to } = &seen[0] else { panic!() };
    let text = String::from_utf8_lossy(bytes);
    assert!(text.contains("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1;received=192.0.2.1;rport=5060\r\n"), "{text}");
    assert_eq!(to.remote, peer.remote);
}
