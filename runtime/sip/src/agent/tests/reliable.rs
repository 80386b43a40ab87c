//! Reliable provisional answers (RFC 3262), from both sides.

use crate::Name;
use crate::agent::{Command, Event, No, Transport};

use super::net::{CALLEE, CALLER, Net, Weather};
use super::phone::{alone, answer, inside, request, session, tag_of};

fn ring(body: &str) -> Command {
    let body = (!body.is_empty()).then(|| body.as_bytes().to_vec());
    Command::Ring { status: 183, body }
}

fn ringings(net: &Net) -> usize {
    net.told[CALLER].iter().filter(|event| matches!(event, Event::Ringing { .. })).count()
}

#[test]
fn early_media_is_acknowledged_and_the_answer_waits_for_that() {
    for loss in [0, 40] {
        for seed in 0..20 {
            let mut net = Net::new(Transport::Udp, Weather { loss, twice: loss / 2, jitter_ms: 50 }, seed);
            net.dial();
            net.pass_ms(10_000);
            if net.doors.offers.is_empty() {
                continue;
            }
            net.command(CALLEE, ring("early"));
            net.answer();
            assert_eq!(net.last_reply(CALLEE), &Ok(()));
            assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 0, "RFC 3262 3: it waits for the PRACK");
            net.pass_ms(25_000);
            if net.has_ended(CALLEE) {
                continue;
            }
            assert!(net.bodies(CALLER).contains(&("answered", "early".to_owned())), "{:?}", net.told);
            assert!(net.sent(CALLER, "PRACK") >= 1);
            assert_eq!(ringings(&net), 1, "repetitions are not told: {:?}", net.told[CALLER]);
            net.hang_up(CALLER);
            net.pass_ms(300_000);
            assert!(net.is_empty(), "{:?}", net.agents.each_ref().map(|agent| agent.counts()));
        }
    }
}

#[test]
fn a_caller_that_does_not_know_it_is_rung_as_ever() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &session("offer")));
    net.command(CALLEE, ring("early"));
    assert!(!net.text(CALLEE, "SIP/2.0 183").contains("RSeq"));
    net.answer();
    assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 1);
}

#[test]
fn a_caller_that_demands_it_has_every_ringing_acknowledged_one_by_one() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &format!("Require: 100rel\n{}", session("offer"))));
    net.command(CALLEE, Command::Ring { status: 180, body: None });
    net.command(CALLEE, ring("early"));
    net.command(CALLEE, ring("again"));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 183"), 0, "not before the PRACK of the 180");
    let tag = tag_of(&net);
    let rseq: u32 = net.last(CALLEE, "SIP/2.0 180").text(Name::RSeq).unwrap().parse().unwrap();
    net.deliver_text(CALLEE, &request("PRACK", "2", &tag, 2, &format!("RAck: {} 1 INVITE\n\n", rseq + 1)));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 481"), 1, "of none that is known");
    net.deliver_text(CALLEE, &request("PRACK", "3", &tag, 3, &format!("RAck: {rseq} 1 INVITE\n\n")));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 1);
    assert!(net.text(CALLEE, "SIP/2.0 183").contains(&format!("RSeq: {}\r\n", rseq + 1)));
    net.deliver_text(CALLEE, &request("PRACK", "4", &tag, 4, &format!("RAck: {} 1 INVITE\n\n", rseq + 1)));
    assert!(!net.text(CALLEE, "SIP/2.0 183").contains("again"), "the session is described once");
    net.deliver_text(CALLEE, &request("PRACK", "5", &tag, 5, "RAck: one\n\n"));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 400"), 1);
    // A 200 need not wait for a PRACK of what describes nothing.
    net.answer();
    assert_eq!(net.last(CALLEE, "SIP/2.0 200").cseq().unwrap().0, 1);
    // A PRACK that was on its way is no stranger's.
    net.deliver_text(CALLEE, &request("PRACK", "6", &tag, 6, &format!("RAck: {} 1 INVITE\n\n", rseq + 2)));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 4);
    net.deliver_text(CALLEE, &request("ACK", "7", &tag, 1, "\n"));
    net.deliver_text(CALLEE, &request("BYE", "8", &tag, 7, "\n"));
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn without_a_prack_the_call_is_refused() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &format!("Supported: 100rel\n{}", session("offer"))));
    net.command(CALLEE, ring("early"));
    net.answer();
    net.pass_ms(31_900);
    let again = net.sent(CALLEE, "SIP/2.0 183");
    assert!((6..=8).contains(&again), "T1, doubling: {again}");
    net.pass_ms(200);
    assert_eq!(net.end(CALLEE), (504, false));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 504"), 1);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &format!("Supported: 100rel\n{}", session("offer"))));
    net.command(CALLEE, ring("early"));
    let tag = tag_of(&net);
    let rack = format!("RAck: {} 1 INVITE\n", net.last(CALLEE, "SIP/2.0 183").text(Name::RSeq).unwrap());
    net.answer();
    net.deliver_text(CALLEE, &request("PRACK", "2", &tag, 2, &(rack + &session("more"))));
    assert_eq!(net.bodies(CALLEE), [("reoffered", "more".to_owned())]);
    assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 0, "neither the PRACK's nor the INVITE's");
    net.command(CALLEE, Command::AnswerReoffer { body: b"settled".to_vec() });
    let answers: Vec<_> = net.wire[CALLEE]
        .iter()
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
        .filter(|text| text.starts_with("SIP/2.0 200"))
        .collect();
    assert_eq!(answers.len(), 2);
    assert!(answers[0].contains("CSeq: 2 PRACK") && answers[0].ends_with("settled"), "{}", answers[0]);
    assert!(answers[1].contains("CSeq: 1 INVITE"));
    net.deliver_text(CALLEE, &request("ACK", "3", &tag, 1, "\n"));
    assert!(net.is_told(CALLEE, &Event::Confirmed { body: None }));
    // Then UPDATE, in both directions, as in any call.
    net.deliver_text(CALLEE, &request("UPDATE", "4", &tag, 3, &session("later")));
    assert!(net.bodies(CALLEE).contains(&("reoffered", "later".to_owned())));
}

#[test]
fn our_offer_in_a_reliable_answer_is_answered_by_its_prack() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "Supported: 100rel\n\n"));
    net.command(CALLEE, ring("ours"));
    let tag = tag_of(&net);
    // Our offer is open: theirs has to wait.
    net.deliver_text(CALLEE, &request("UPDATE", "2", &tag, 2, &session("glare")));
    assert_eq!(net.sent(CALLEE, "SIP/2.0 491"), 1);
    let rack = format!("RAck: {} 1 INVITE\n", net.last(CALLEE, "SIP/2.0 183").text(Name::RSeq).unwrap());
    net.deliver_text(CALLEE, &request("PRACK", "3", &tag, 3, &(rack + &session("theirs"))));
    net.answer();
    assert!(net.last(CALLEE, "SIP/2.0 200").body().is_empty(), "no second offer in the 200");
    net.deliver_text(CALLEE, &request("ACK", "4", &tag, 1, "\n"));
    assert_eq!(net.bodies(CALLEE), [("confirmed", "theirs".to_owned())]);
}

#[test]
fn hanging_up_while_the_answer_waits_ends_the_call_when_it_is_set_up() {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.command(CALLEE, ring("early"));
    net.answer();
    net.hang_up(CALLEE);
    net.command(CALLEE, Command::Ring { status: 180, body: None });
    assert_eq!(net.last_reply(CALLEE), &Err(No::State("answered")));
    net.pass_ms(100);
    assert_eq!(net.end(CALLER), (0, true));
    assert_eq!(net.end(CALLEE), (0, false));
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn as_a_caller_reliable_answers_are_taken_in_their_order() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    let reliable = |rseq: &'static str| [("Require", "100rel"), ("RSeq", rseq)];
    answer(&mut net, &invite, 183, "t1", &reliable("7"), "first");
    let prack = net.text(CALLER, "PRACK sip:t1@192.0.2.2:5060");
    assert!(prack.contains("RAck: 7 1 INVITE\r\n") && prack.contains("CSeq: 2 PRACK"), "{prack}");
    answer(&mut net, &invite, 183, "t1", &reliable("7"), "first");
    answer(&mut net, &invite, 180, "t1", &reliable("9"), "");
    answer(&mut net, &invite, 183, "t1", &reliable("x"), "first");
    assert_eq!((net.sent(CALLER, "PRACK"), ringings(&net)), (1, 1), "neither a repetition nor one too early");
    answer(&mut net, &invite, 180, "t1", &reliable("8"), "");
    assert_eq!((net.sent(CALLER, "PRACK"), ringings(&net)), (2, 2));
    // Another branch of the fork counts by itself.
    answer(&mut net, &invite, 180, "t2", &reliable("100"), "");
    assert_eq!(net.sent(CALLER, "PRACK sip:t2"), 1);
    answer(&mut net, &invite, 200, "t1", &[], "ignored");
    assert_eq!(net.bodies(CALLER).last(), Some(&("answered", "first".to_owned())), "the first one counts");
    assert!(net.text(CALLER, "ACK").contains("CSeq: 1 ACK"));
}

#[test]
fn as_a_caller_an_update_in_the_early_dialog_is_answered_once_ours_is() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 180, "t1", &[], "");
    inside(&mut net, &invite, "UPDATE", "t1", 1, &session("too early"));
    assert_eq!(net.sent(CALLER, "SIP/2.0 491"), 1);
    answer(&mut net, &invite, 183, "t1", &[("Require", "100rel"), ("RSeq", "1")], "first");
    inside(&mut net, &invite, "UPDATE", "t1", 2, &session("moved"));
    net.command(CALLER, Command::AnswerReoffer { body: b"followed".to_vec() });
    assert!(net.text(CALLER, "SIP/2.0 200").ends_with("followed"));
    answer(&mut net, &invite, 200, "t1", &[], "");
    assert_eq!(net.bodies(CALLER).last(), Some(&("answered", "moved".to_owned())), "what it said last");
    inside(&mut net, &invite, "UPDATE", "t9", 3, &session("stranger"));
    assert_eq!(net.sent(CALLER, "SIP/2.0 481"), 1);
    inside(&mut net, &invite, "INFO", "t1", 2, "\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 500"), 1, "the early dialog's numbers go on");
}

#[test]
fn a_cancel_while_an_offer_is_thought_about_ends_it_all() {
    for method in ["CANCEL", "BYE"] {
        let mut net = Net::calm();
        net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &format!("Supported: 100rel\n{}", session("offer"))));
        net.command(CALLEE, ring("early"));
        let tag = tag_of(&net);
        let rack = format!("RAck: {} 1 INVITE\n", net.last(CALLEE, "SIP/2.0 183").text(Name::RSeq).unwrap());
        net.answer();
        net.deliver_text(CALLEE, &request("PRACK", "2", &tag, 2, &(rack + &session("more"))));
        match method {
            "CANCEL" => net.deliver_text(CALLEE, &request(method, "1", "", 1, "\n")),
            _ => net.deliver_text(CALLEE, &request(method, "3", &tag, 3, "\n")),
        }
        assert_eq!(net.sent(CALLEE, "SIP/2.0 487"), 2, "of the PRACK, and of the INVITE");
        assert_eq!(net.sent(CALLEE, "SIP/2.0 200"), 1, "of the {method}");
        assert!(net.has_ended(CALLEE));
        net.pass_ms(100_000);
        assert!(net.is_empty());
    }
}

#[test]
fn the_end_of_the_driver_answers_what_waits() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &session("offer")));
    net.with_agent(CALLEE, |agent, now, out| agent.close(now, out));
    assert_eq!((net.sent(CALLEE, "SIP/2.0 503"), net.end(CALLEE)), (1, (503, false)));
    net.pass_ms(100_000);
    assert!(net.is_empty());
}
