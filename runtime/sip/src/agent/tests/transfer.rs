//! REFER both ways, and Replaces.

use std::time::Duration;

use crate::agent::{Command, Event, No, ReferTo};
use crate::{Name, Uri};

use super::net::{CALLEE, CALLER, LEG, Net};
use super::phone::{alone, answer, inside, request, session, tag_of};

fn up() -> Net {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.answer();
    net.pass_ms(10);
    net
}

fn refer(to: ReferTo) -> Command {
    Command::Refer { to, timeout: Duration::from_secs(60) }
}

fn progress(net: &Net, who: usize) -> Vec<(u16, bool)> {
    let told = net.told[who].iter().filter_map(|event| match event {
        Event::ReferProgress { status, is_final } => Some((*status, *is_final)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_blind_transfer_is_accepted_and_told_of_to_its_end() {
    let mut net = up();
    net.command(CALLER, refer(ReferTo::Address("sip:carol@192.0.2.3".to_owned())));
    net.pass_ms(10);
    assert!(net.told[CALLEE].contains(&Event::Referred {
        to: "sip:carol@192.0.2.3".to_owned(),
        by: Some("\"Alice\" <sip:alice@192.0.2.1>".to_owned()),
        replaces: None,
    }));
    assert!(!matches!(net.told[CALLER].last(), Some(Event::Reply { .. })), "not before its answer");
    net.command(CALLEE, Command::AnswerRefer { status: 202 });
    net.pass_ms(10);
    assert_eq!(net.last_reply(CALLER), &Ok(()));
    assert_eq!(progress(&net, CALLER), [(100, false)]);
    let notify = net.text(CALLEE, "NOTIFY");
    assert!(
        notify.contains("Event: refer\r\n") && notify.contains("Subscription-State: active;expires=180"),
        "{notify}"
    );
    assert!(notify.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"), "{notify}");
    net.command(CALLEE, Command::NotifyRefer { status: 180 });
    net.pass_ms(10);
    net.command(CALLEE, Command::NotifyRefer { status: 200 });
    net.pass_ms(10);
    assert_eq!(progress(&net, CALLER), [(100, false), (180, false), (200, true)]);
    assert!(net.text(CALLEE, "NOTIFY").contains("Subscription-State: terminated;reason=noresource"));
    net.command(CALLEE, Command::NotifyRefer { status: 200 });
    assert_eq!(net.last_reply(CALLEE), &Err(No::State("told of no transfer")));
    // A second one has an id.
    net.command(CALLER, refer(ReferTo::Address("sip:dave@192.0.2.3".to_owned())));
    net.pass_ms(10);
    net.command(CALLEE, Command::AnswerRefer { status: 200 });
    assert!(net.text(CALLEE, "NOTIFY").contains("Event: refer;id="));
    net.hang_up(CALLER);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn a_transfer_that_is_declined_or_that_nobody_decides_about() {
    let mut net = up();
    net.command(CALLER, refer(ReferTo::Address("sip:carol@192.0.2.3".to_owned())));
    net.pass_ms(10);
    net.command(CALLEE, Command::AnswerRefer { status: 100 });
    assert!(matches!(net.last_reply(CALLEE), Err(No::Invalid(_))));
    net.command(CALLEE, Command::AnswerRefer { status: 403 });
    net.pass_ms(10);
    assert_eq!(net.last_reply(CALLER), &Err(No::Answered { status: 403, reason: "Forbidden".to_owned() }));
    net.command(CALLER, refer(ReferTo::Address("sip:carol@192.0.2.3".to_owned())));
    net.pass_ms(5_100);
    assert_eq!(net.last_reply(CALLER), &Err(No::Answered { status: 603, reason: "Decline".to_owned() }));
    net.command(CALLEE, Command::AnswerRefer { status: 202 });
    assert_eq!(net.last_reply(CALLEE), &Err(No::State("asked for no transfer")));
}

#[test]
fn what_is_not_told_in_time_is_over() {
    let mut net = up();
    net.command(CALLER, refer(ReferTo::Address("sip:carol@192.0.2.3".to_owned())));
    net.command(CALLER, refer(ReferTo::Address("sip:carol@192.0.2.3".to_owned())));
    assert_eq!(net.last_reply(CALLER), &Err(No::State("referred already")));
    net.pass_ms(10);
    net.command(CALLEE, Command::AnswerRefer { status: 202 });
    net.pass_ms(61_000);
    assert_eq!(progress(&net, CALLER), [(100, false), (408, true)]);
    net.pass_ms(121_000);
    assert!(net.text(CALLEE, "NOTIFY").contains("terminated;reason=timeout"));
    assert_eq!(net.sent(CALLER, "SIP/2.0 481"), 1, "nobody waits for that");
    assert!(!net.has_ended(CALLER) && !net.has_ended(CALLEE));
}

#[test]
fn an_attended_transfer_names_the_dialog_as_its_far_end_sees_it() {
    let mut net = Net::calm();
    // Two calls between the same two: 7 to be transferred, 8 to be replaced.
    for leg in [LEG, 8] {
        net.doors.decision = Ok(leg);
        let dial = net.to_callee();
        net.command_of(CALLER, leg, Command::Dial(Box::new(dial)));
        net.pass_ms(10);
        if leg == 8 {
            net.command(CALLER, refer(ReferTo::Leg(8)));
            assert!(matches!(net.last_reply(CALLER), Err(No::Invalid(_))), "it is not answered yet");
        }
        net.command_of(CALLEE, leg, Command::Answer { body: b"answer".to_vec(), headers: vec![] });
        net.pass_ms(10);
    }
    net.command(CALLER, refer(ReferTo::Leg(LEG)));
    assert!(matches!(net.last_reply(CALLER), Err(No::Invalid(_))));
    net.command(CALLER, refer(ReferTo::Leg(8)));
    net.pass_ms(10);
    let Some(Event::Referred { to, replaces, .. }) = net.told[CALLEE].last() else { panic!("{:?}", net.told[CALLEE]) };
    assert_eq!(*replaces, Some(8), "the callee has the other end of it");
    assert!(Uri::read(to.as_bytes()).unwrap().headers.unwrap().starts_with("Replaces="), "{to}");
    // Whoever is sent there takes the leg's place.
    let mut dial = net.to_callee();
    dial.target = to.clone();
    net.doors.decision = Ok(9);
    net.command_of(CALLER, 9, Command::Dial(Box::new(dial)));
    let invite = net.text(CALLER, "INVITE");
    assert!(invite.contains("\r\nReplaces: ") && !invite.contains("?Replaces"), "{invite}");
    net.pass_ms(10);
    assert_eq!(net.doors.offers.last().unwrap().replaces, Some(8));
    for leg in [LEG, 8, 9] {
        net.command_of(CALLER, leg, Command::Hangup { reason: None });
        net.command_of(CALLEE, leg, Command::Hangup { reason: None });
    }
    net.pass_ms(200_000);
    assert!(net.is_empty());
}

#[test]
fn what_may_be_replaced_and_what_not() {
    let mut net = Net::calm();
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &session("offer")));
    let tag = tag_of(&net);
    let mut number = 1;
    let mut replaced = |net: &mut Net, replaces: &str| {
        number += 1;
        net.doors.offers.clear();
        let more = format!("{}Require: replaces\n\n", replaces.replace("{}", &tag));
        let text = request("INVITE", &format!("r{number}"), "", number, &more).replace("by-hand", "another");
        net.deliver_text(CALLEE, &(text.replace("another;to", "by-hand;to")));
        let status = net.sent[CALLEE].last().unwrap()[8..11].to_owned();
        (status, net.doors.offers.last().and_then(|invite| invite.replaces))
    };
    let whole = "Replaces: another;to-tag={};from-tag=ft\n";
    assert_eq!(replaced(&mut net, whole).0, "481", "a call that rings here is picked up otherwise");
    net.answer();
    net.doors.decision =
        Err(crate::Refusal { status: 486, reason: String::new(), retry_after_s: None, headers: vec![] });
    assert_eq!(replaced(&mut net, whole), ("486".to_owned(), Some(LEG)), "the door's own word");
    for (replaces, status) in [
        ("Replaces: another;to-tag=x;from-tag=ft\n", "481"),
        ("Replaces: another;to-tag={};from-tag=other\n", "481"),
        ("Replaces: another;to-tag={};from-tag=ft;early-only\n", "486"),
        ("Replaces: another\n", "400"),
        ("Replaces: another;to-tag=1;from-tag=2\nReplaces: another;to-tag={};from-tag=ft\n", "400"),
    ] {
        assert_eq!(replaced(&mut net, replaces), (status.to_owned(), None), "{replaces}");
    }
    net.deliver_text(CALLEE, &request("ACK", "a", &tag, 1, "\n"));
    net.hang_up(CALLEE);
    assert_eq!(replaced(&mut net, whole).0, "603");
}

#[test]
fn refers_that_are_none() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t", &[], "answer");
    inside(&mut net, &invite, "REFER", "t", 1, "\n");
    inside(&mut net, &invite, "REFER", "t", 2, "Refer-To: <sip:a@b>, <sip:c@d>\n\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 400"), 2);
    // RFC 4488: it wants to hear nothing.
    inside(&mut net, &invite, "REFER", "t", 3, "Refer-To: <sip:a@b>\nRefer-Sub: false\nRequire: norefersub\n\n");
    inside(&mut net, &invite, "REFER", "t", 4, "Refer-To: <sip:a@b>\n\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 491"), 1, "one at a time");
    net.command(CALLER, Command::AnswerRefer { status: 202 });
    assert!(net.text(CALLER, "SIP/2.0 202").contains("Refer-Sub: false\r\n"));
    net.command(CALLER, Command::NotifyRefer { status: 200 });
    assert_eq!(net.sent(CALLER, "NOTIFY"), 0);
    // A NOTIFY that nobody waits for, and a subscription to nothing.
    inside(&mut net, &invite, "NOTIFY", "t", 5, "Event: refer\nSubscription-State: active\n\n");
    inside(&mut net, &invite, "SUBSCRIBE", "t", 6, "Event: refer\n\n");
    assert_eq!(net.sent(CALLER, "SIP/2.0 481"), 2);
    inside(&mut net, &invite, "SUBSCRIBE", "t", 7, "Event: presence\n\n");
    assert!(net.text(CALLER, "SIP/2.0 489").contains("Allow-Events: refer\r\n"));
}

#[test]
fn a_subscription_is_prolonged_and_ended_by_who_has_it() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 200, "t", &[], "answer");
    inside(&mut net, &invite, "REFER", "t", 1, "Refer-To: <sip:a@b>\n\n");
    net.command(CALLER, Command::AnswerRefer { status: 202 });
    let first = net.last(CALLER, "NOTIFY");
    answer(&mut net, &first, 200, "t", &[], "");
    net.pass_ms(100_000);
    inside(&mut net, &invite, "SUBSCRIBE", "t", 2, "Event: refer\nExpires: 600\n\n");
    assert!(net.text(CALLER, "SIP/2.0 200").contains("Expires: 180\r\n"));
    assert_eq!(net.sent(CALLER, "NOTIFY"), 2);
    let second = net.last(CALLER, "NOTIFY");
    answer(&mut net, &second, 200, "t", &[], "");
    inside(&mut net, &invite, "SUBSCRIBE", "t", 3, "Event: refer\nExpires: 0\n\n");
    assert!(net.text(CALLER, "NOTIFY").contains("terminated;reason=timeout"));
    // One that wants no more says so by its answer.
    inside(&mut net, &invite, "REFER", "t", 4, "Refer-To: <sip:a@b>\n\n");
    net.command(CALLER, Command::AnswerRefer { status: 202 });
    let notify = net.last(CALLER, "NOTIFY");
    assert_eq!(notify.text(Name::Event).as_deref(), Some("refer;id=4"));
    answer(&mut net, &notify, 481, "t", &[], "");
    net.command(CALLER, Command::NotifyRefer { status: 180 });
    assert!(matches!(net.last_reply(CALLER), Err(No::State(_))));
}
