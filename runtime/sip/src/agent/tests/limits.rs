//! Far ends that vanish, hurry, repeat themselves, or ask for too much.

use std::time::Duration;

use super::net::{CALLEE, CALLER, Net};
use super::phone::{request, tag_of};
use crate::agent::{Command, Dial, Effect, Event, Refusal};
use crate::{Limits, Message};

/// rings, then vanishes; the caller hangs up / times out. Everything must be empty in the end.
#[test]
fn vanishing_callee_leaves_no_client_transaction() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.weather.loss = 100;
    net.hang_up(CALLER);
    net.pass(Duration::from_secs(3_600));
    assert!(net.has_ended(CALLER), "leg ended");
    assert_eq!(net.agents[CALLER].counts(), (0, 0, 0));
}

/// 9.1, 64*T1 after the CANCEL the leg is over, whatever the dial timeout.
#[test]
fn hangup_ends_a_dialled_leg_in_32_s_plus() {
    let mut net = Net::calm();
    let dial = Dial { timeout: Duration::from_secs(3_600), ..net.to_callee() };
    net.command(CALLER, Command::Dial(Box::new(dial)));
    net.pass_ms(10);
    net.weather.loss = 100;
    net.hang_up(CALLER);
    net.pass(Duration::from_secs(120));
    assert!(net.has_ended(CALLER), "two minutes after the hang-up the leg still stands");
}

/// an INFO before the answer must not unmatch the ACK.
#[test]
fn info_in_the_early_dialog_then_answer() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
    net.command(CALLEE, Command::Ring { status: 183, body: Some(b"early".to_vec()) });
    let tag = tag_of(&net);
    net.deliver_text(CALLEE, &request("INFO", "2", &tag, 2, "Content-Type: application/dtmf\nContent-Length: 1\n\n5"));
    net.answer();
    net.deliver_text(CALLEE, &request("ACK", "3", &tag, 1, "\n"));
    assert!(net.is_told(CALLEE, &Event::Confirmed { body: None }), "{:?}", net.told[CALLEE]);
}

/// a status that is none, for a re-offer.
#[test]
fn refuse_reoffer_with_a_provisional_or_success_status_is_invalid() {
    for status in [0, 100, 183, 200] {
        let mut net = Net::calm();
        net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
        net.answer();
        let tag = tag_of(&net);
        net.deliver_text(CALLEE, &request("ACK", "2", &tag, 1, "\n"));
        net.deliver_text(
            CALLEE,
            &request("INVITE", "3", &tag, 2, "Content-Type: application/sdp\nContent-Length: 4\n\nhold"),
        );
        net.command(CALLEE, Command::RefuseReoffer { status });
        let last = format!("{:?}", net.told[CALLEE].last());
        net.deliver_text(CALLEE, &request("BYE", "4", &tag, 3, "\n"));
        net.pass(Duration::from_secs(200));
        assert_eq!(net.agents[CALLEE].counts(), (0, 0, 0), "status {status}");
        assert!(last.contains("Err"), "status {status}: {last}");
    }
}

/// headers of the protocol's own working may not be given.
#[test]
fn protocol_headers_given_by_the_user_are_refused() {
    for name in ["Content-Length", "Via", "CSeq", "To", "l", "Content-Type"] {
        let mut net = Net::calm();
        net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
        net.command(CALLEE, Command::Answer { body: b"answer".to_vec(), headers: vec![(name.into(), "1".into())] });
        let last = format!("{:?}", net.told[CALLEE].last());
        assert!(last.contains("Invalid"), "{name}: {last}");
    }
}

/// 13.3.1: a caller says how long the invitation holds.
#[test]
fn an_invitation_expires() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "Expires: 30\n\n"));
    net.command(CALLEE, Command::Ring { status: 180, body: None });
    net.pass(Duration::from_secs(29));
    assert!(!net.has_ended(CALLEE));
    net.pass(Duration::from_secs(2));
    assert_eq!(net.end(CALLEE), (487, true));
    assert!(net.sent(CALLEE, "SIP/2.0 487") > 0);
    net.pass(Duration::from_secs(60));
    assert!(net.is_empty());
    // One that was answered is a call.
    net.told[CALLEE].clear();
    net.deliver_text(CALLEE, &request("INVITE", "2", "", 2, "Expires: 5\n\n"));
    net.answer();
    net.deliver_text(CALLEE, &request("ACK", "3", &tag_of(&net), 2, "\n"));
    net.pass(Duration::from_secs(20));
    assert!(!net.has_ended(CALLEE));
}

/// one refused INVITE: how many datagrams go out to a source that may be forged?
#[test]
fn refused_invite_amplification() {
    let mut net = Net::calm();
    net.doors.decision = Err(Refusal { status: 503, reason: "over".into(), retry_after_s: Some(2), headers: vec![] });
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
    net.pass(Duration::from_secs(60));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 503"), 1);
}

/// how much is kept for refused requests.
#[test]
fn server_transactions_are_bounded() {
    let mut net = Net::calm();
    for n in 0..70_000 {
        net.deliver_text(CALLEE, &request("OPTIONS", &format!("b{n}"), "", 1, "\n"));
        net.sent[CALLEE].clear();
    }
    let (_, servers, _) = net.agents[CALLEE].counts();
    assert!(servers <= crate::agent::serving::MOST_SERVERS, "{servers}");
}

/// TCP: the phone came back over a new connection; our BYE goes to the newest one.
#[test]
fn bye_follows_a_reconnected_phone() {
    let mut net = Net::new(crate::agent::Transport::Tcp, Default::default(), 1);
    let tcp = |text: String| text.replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    net.deliver_text(CALLEE, &tcp(request("INVITE", "1", "", 1, "Content-Length: 0\n\n")));
    net.answer();
    let tag = tag_of(&net);
    net.deliver_text(CALLEE, &tcp(request("ACK", "2", &tag, 1, "Content-Length: 0\n\n")));
    let mut out = Vec::new();
    net.agents[CALLEE].disconnected(net.now, 1, &mut out);
    let peer = crate::agent::Peer { connection: 2, ..net.peer(CALLEE) };
    let info = tcp(request("INFO", "3", &tag, 2, "Content-Length: 0\n\n")).replace('\n', "\r\n");
    let message = Message::parse_datagram(info.into(), &Limits::default());
    net.agents[CALLEE].receive(net.now, peer, message, &mut net.doors, &mut out);
    out.clear();
    net.agents[CALLEE].command(net.now, super::net::LEG, 99, Command::Hangup { reason: None }, &mut out);
    let to: Vec<_> = out
        .iter()
        .filter_map(|e| match e {
            Effect::Send { peer, .. } => Some(peer.connection),
            _ => None,
        })
        .collect();
    assert_eq!(to, [2], "the BYE goes to a connection that is gone");
}

/// strict routing (12.2.1.1): a first route without `lr` becomes the Request-URI.
#[test]
fn strict_route() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "Record-Route: <sip:192.0.2.1:5070>\n\n"));
    net.answer();
    let tag = tag_of(&net);
    net.deliver_text(CALLEE, &request("ACK", "2", &tag, 1, "\n"));
    net.hang_up(CALLEE);
    let bye = net.sent[CALLEE].iter().find(|line| line.starts_with("BYE")).unwrap();
    assert_eq!(bye, "BYE sip:192.0.2.1:5070 SIP/2.0");
}

/// 8.2.2.3 holds for every method but CANCEL and ACK.
#[test]
fn require_on_options_is_420() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("OPTIONS", "1", "", 1, "Require: foo\n\n"));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 420"), 1, "{:?}", net.sent[CALLEE]);
}

/// 8.2.7: stateless answers to the same request carry the same tag.
#[test]
fn stateless_answers_have_one_tag() {
    let mut net = Net::calm();
    let mut tags = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let text = request("INVITE", "1", "", 1, "\n")
            .replace("INVITE sip:bob@192.0.2.2", "INVITE http://x")
            .replace('\n', "\r\n");
        let message = Message::parse_datagram(text.into(), &Limits::default());
        let mut out = Vec::new();
        let peer = net.peer(CALLEE);
        net.agents[CALLEE].receive(net.now, peer, message, &mut net.doors, &mut out);
        let Effect::Send { bytes, .. } = &out[0] else { panic!() };
        let answer = Message::parse_datagram(bytes.clone(), &Limits::default()).unwrap();
        tags.insert((answer.status(), answer.to().unwrap().tag()));
    }
    assert_eq!(tags.len(), 1, "{tags:?}");
}

/// 9.2: the 200 to a CANCEL and the 487 carry the same To tag.
#[test]
fn cancel_and_487_share_the_tag() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "\n"));
    let tag = tag_of(&net);
    let mut out = Vec::new();
    let text = request("CANCEL", "1", "", 1, "\n").replace('\n', "\r\n");
    let message = Message::parse_datagram(text.into(), &Limits::default());
    let peer = net.peer(CALLEE);
    net.agents[CALLEE].receive(net.now, peer, message, &mut net.doors, &mut out);
    for effect in &out {
        if let Effect::Send { bytes, .. } = effect {
            let answer = Message::parse_datagram(bytes.clone(), &Limits::default()).unwrap();
            assert_eq!(answer.to().unwrap().tag().as_deref(), Some(tag.as_str()), "{:?}", answer.status());
        }
    }
}

/// Every header that a request is read by, broken: it is refused in words that name it, or, when
/// there is no way back to who sent it, dropped.
#[test]
fn a_broken_header_is_named() {
    let whole = request("INVITE", "1", "", 1, "Content-Type: application/sdp\nContent-Length: 1\n\n5");
    for (header, broken, status) in [
        ("To", "To: <sip:bob@192.0.2.2", "400"),
        ("To", "To: ", "400"),
        ("From", "From: \"a <sip:a@192.0.2.1>;tag=ft", "400"),
        ("Call-ID", "Call-ID: ", "400"),
        ("CSeq", "CSeq: one INVITE", "400"),
        ("CSeq", "CSeq: 4294967296 INVITE", "400"),
        ("CSeq", "CSeq: 1 BYE", "400"),
        ("Max-Forwards", "Max-Forwards: many", "400"),
        ("Contact", "Contact: <sip:a@", "400"),
        ("Content-Length", "Content-Length: -1", "400"),
        ("Content-Length", "Content-Length: 900", "400"),
        ("Content-Type", "Content-Type: text/html", "415"),
        ("Require", "Require: teleportation", "420"),
        ("Via", "Via: SIP/2.0/UDP", ""),
    ] {
        let line = whole.lines().find(|line| line.starts_with(&format!("{header}:")));
        let text = match line {
            Some(line) => whole.replacen(line, broken, 1),
            None => whole.replacen("Content-Type", &format!("{broken}\nContent-Type"), 1),
        };
        let mut net = Net::calm();
        net.deliver_text(CALLEE, &text);
        assert!(net.doors.offers.is_empty(), "{broken} became a call");
        let answers = &net.sent[CALLEE];
        if status.is_empty() {
            assert!(answers.is_empty(), "{broken}: {answers:?}");
            continue;
        }
        let answer = answers.first().unwrap_or_else(|| panic!("{broken}: no answer"));
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{broken}: {answer}");
        assert!(status != "400" || answer.contains(header), "{broken} is not named: {answer}");
    }
}
