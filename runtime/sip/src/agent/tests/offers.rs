//! Offers within a call, both ways, and at once.

use crate::agent::{Command, Event, No, Transport};

use super::net::{CALLEE, CALLER, Net, Weather};
use super::phone::{alone, answer, inside, session};

fn reoffer(body: &str) -> Command {
    Command::Reoffer { body: body.as_bytes().to_vec() }
}

fn up() -> Net {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.answer();
    net.pass_ms(10);
    net
}

/// Up, with a phone by hand that has the tag `t`.
fn up_alone() -> (Net, crate::Message) {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t", &[("Allow", "INVITE, UPDATE")], "answer");
    (net, invite)
}

#[test]
fn hold_and_resume_by_either_side() {
    for who in [CALLER, CALLEE] {
        let mut net = up();
        net.command(who, reoffer("hold"));
        net.pass_ms(10);
        assert_eq!(net.bodies(1 - who).last(), Some(&("reoffered", "hold".to_owned())));
        assert!(!matches!(net.told[who].last(), Some(Event::Reply { .. })), "not before its answer");
        net.command(1 - who, Command::AnswerReoffer { body: b"held".to_vec() });
        net.pass_ms(10);
        assert_eq!(net.told[who][net.told[who].len() - 2], Event::Reanswered { body: Some(b"held".to_vec()) });
        assert_eq!(net.last_reply(who), &Ok(()));
        net.command(who, reoffer("resume"));
        net.pass_ms(10);
        net.command(1 - who, Command::RefuseReoffer { status: 488 });
        net.pass_ms(10);
        let no = No::Answered { status: 488, reason: "Not Acceptable Here".to_owned() };
        assert_eq!(net.last_reply(who), &Err(no));
        net.hang_up(who);
        net.pass_ms(100_000);
        assert!(net.is_empty());
    }
}

#[test]
fn what_nobody_decides_is_refused_and_the_call_goes_on() {
    let mut net = up();
    net.command(CALLER, reoffer("hold"));
    net.pass_ms(12_000);
    assert!(matches!(net.last_reply(CALLER), Err(No::Answered { status: 500, .. })));
    assert!(!net.has_ended(CALLER) && !net.has_ended(CALLEE));
    net.hang_up(CALLER);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn both_at_once_meet_and_both_get_through() {
    for seed in 0..30 {
        let mut net = Net::new(Transport::Udp, Weather { loss: 0, twice: 20, jitter_ms: 30 }, seed);
        net.dial();
        net.pass_ms(100);
        net.answer();
        net.pass_ms(200);
        net.command(CALLER, reoffer("from the caller"));
        net.command(CALLEE, reoffer("from the callee"));
        for _ in 0..200 {
            net.pass_ms(100);
            for who in [CALLER, CALLEE] {
                if net.agents[who].legs.values().any(|leg| leg.reoffer.is_some()) {
                    net.command(who, Command::AnswerReoffer { body: b"yes".to_vec() });
                }
            }
        }
        assert!(net.sent(CALLER, "SIP/2.0 491") + net.sent(CALLEE, "SIP/2.0 491") > 0);
        for who in [CALLER, CALLEE] {
            assert!(
                net.is_told(who, &Event::Reanswered { body: Some(b"yes".to_vec()) }),
                "{seed}: {:?}",
                net.told[who]
            );
        }
    }
}

#[test]
fn glare_is_waited_out_as_the_rfc_says_and_given_up_in_the_end() {
    let (mut net, _) = up_alone();
    net.command(CALLER, reoffer("hold"));
    let mut tries = 0;
    while !matches!(net.told[CALLER].last(), Some(Event::Reply { result: Err(_), .. })) {
        tries += 1;
        let invite = net.last(CALLER, "INVITE");
        answer(&mut net, &invite, 491, "t", &[], "");
        assert_eq!(net.sent(CALLER, "ACK"), 1 + tries, "each refusal has its ACK");
        if matches!(net.told[CALLER].last(), Some(Event::Reply { result: Err(_), .. })) {
            break;
        }
        let before = net.sent(CALLER, "INVITE");
        net.pass_ms(2_000);
        assert_eq!(net.sent(CALLER, "INVITE"), before, "2.1 s at least: the Call-ID is ours");
        net.pass_ms(2_100);
        assert!(net.sent(CALLER, "INVITE") > before);
    }
    assert_eq!(tries, 5);
    assert!(matches!(net.last_reply(CALLER), Err(No::Answered { status: 491, .. })));
}

#[test]
fn a_far_end_that_is_busy_is_asked_again_when_it_says() {
    let (mut net, _) = up_alone();
    net.command(CALLER, reoffer("hold"));
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 500, "t", &[("Retry-After", "3 (soon)")], "");
    net.pass_ms(2_900);
    assert_eq!(net.sent(CALLER, "INVITE"), 2);
    net.pass_ms(200);
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t", &[], "held");
    answer(&mut net, &invite, 200, "t", &[], "held");
    assert_eq!(net.sent(CALLER, "ACK"), 4, "of the call, of the 500, and of each 200");
    assert_eq!(net.last_reply(CALLER), &Ok(()));
}

#[test]
fn while_ours_is_open_theirs_is_refused() {
    let (mut net, invite) = up_alone();
    net.command(CALLER, reoffer("hold"));
    inside(&mut net, &invite, "INVITE", "t", 1, &session("theirs"));
    inside(&mut net, &invite, "UPDATE", "t", 2, &session("theirs"));
    assert_eq!(net.sent(CALLER, "SIP/2.0 491"), 2);
    inside(&mut net, &invite, "UPDATE", "t", 3, "\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 200"), 1, "which offers nothing");
    net.command(CALLER, reoffer("again"));
    assert_eq!(net.last_reply(CALLER), &Err(No::State("offering already")));
}

#[test]
fn ours_waits_until_theirs_is_answered() {
    let (mut net, invite) = up_alone();
    inside(&mut net, &invite, "INVITE", "t", 1, &session("theirs"));
    net.command(CALLER, reoffer("ours"));
    inside(&mut net, &invite, "INVITE", "t", 2, &session("more"));
    let text = net.text(CALLER, "SIP/2.0 500");
    assert!(text.contains("Retry-After: "), "{text}");
    assert_eq!(net.sent(CALLER, "INVITE"), 1);
    net.command(CALLER, Command::AnswerReoffer { body: b"yes".to_vec() });
    assert_eq!(net.sent(CALLER, "INVITE"), 1, "nor before its ACK");
    inside(&mut net, &invite, "ACK", "t", 1, "\n");
    net.pass_ms(1);
    assert_eq!(net.sent(CALLER, "INVITE"), 2);
    // Nobody there any more: the call is over, and the command is answered first.
    net.pass_ms(33_000);
    assert!(matches!(net.last_reply(CALLER), Err(No::Answered { status: 408, .. })));
    assert!(net.sent(CALLER, "BYE") > 0);
    net.pass_ms(100_000);
    assert_eq!(net.end(CALLER), (0, false));
    assert!(net.is_empty());
}

#[test]
fn a_re_invite_that_only_rings_is_cancelled() {
    let (mut net, _) = up_alone();
    net.command(CALLER, reoffer("hold"));
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 180, "t", &[], "");
    net.pass_ms(33_000);
    assert!(net.sent(CALLER, "CANCEL") > 0);
    answer(&mut net, &invite, 487, "t", &[], "");
    assert!(matches!(net.last_reply(CALLER), Err(No::Answered { status: 487, .. })));
    assert!(!net.has_ended(CALLER));
}

#[test]
fn hanging_up_answers_what_was_still_asked() {
    let (mut net, _) = up_alone();
    net.command(CALLER, reoffer("hold"));
    net.hang_up(CALLER);
    let gone = net.told[CALLER].iter().filter(|event| matches!(event, Event::Reply { result: Err(No::Gone), .. }));
    assert_eq!(gone.count(), 1);
    net.pass_ms(200_000);
    assert!(net.is_empty());
}

#[test]
fn a_re_invite_without_an_offer_has_ours_and_its_answer_in_the_ack() {
    let (mut net, invite) = up_alone();
    inside(&mut net, &invite, "INVITE", "t", 1, "\n");
    net.command(CALLER, Command::AnswerReoffer { body: b"ours".to_vec() });
    inside(&mut net, &invite, "UPDATE", "t", 2, &session("glare"));
    assert_eq!(net.sent(CALLER, "SIP/2.0 491"), 1, "our offer is open until the ACK");
    inside(&mut net, &invite, "ACK", "t", 1, &session("theirs"));
    assert_eq!(net.bodies(CALLER).last(), Some(&("reconfirmed", "theirs".to_owned())));
    // Cancelled while our user thinks.
    inside(&mut net, &invite, "INVITE", "t", 3, &session("x"));
    inside(&mut net, &invite, "BYE", "t", 4, "\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 487"), 1);
    assert_eq!(net.end(CALLER), (0, true));
}

#[test]
fn digits_go_and_come_by_info() {
    let mut net = up();
    net.command(CALLER, Command::Info { digit: '#', length_ms: 200 });
    net.pass_ms(10);
    assert!(net.is_told(CALLEE, &Event::Digit { digit: '#', length_ms: 200 }));
    net.command(CALLER, Command::Info { digit: 'x', length_ms: 200 });
    assert!(matches!(net.last_reply(CALLER), Err(No::Invalid(_))));
    net.hang_up(CALLER);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}
