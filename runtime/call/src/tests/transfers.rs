//! Transfers: REFER that is sent, REFER that comes, a far end that takes another's place.

use callbox_model::*;

use super::bridging::{bridge, two_legs};
use super::dialling::dial;
use super::drivers::Dialog;
use super::flows::{failed_argument, failed_state, play, tone};
use super::world::{LEG, OFFER, TENANT, World, header, offered};
use crate::{GuestEnd, Output, PeerMessage};

fn refer(leg: LegNumber, to: &str) -> Step {
    Step::Refer { leg, to: ReferTarget::Address(to.to_owned()), timeout: Some(2_000) }
}

fn referred(to: &str, replaces: Option<LegKey>) -> LegEvent {
    LegEvent::Referred { to: to.to_owned(), by: Some("<sip:t@example.org>".to_owned()), replaces }
}

fn notified(world: &World) -> Vec<u16> {
    let statuses = world.leg_commands.iter().filter_map(|command| match command {
        LegCommand::NotifyRefer { status, .. } => Some(*status),
        _ => None,
    });
    statuses.collect()
}

#[test]
fn a_far_end_is_sent_elsewhere() {
    let mut world = World::answered(1);
    assert_eq!(world.ask(refer(1, "sip:bob@example.org")), None);
    world.pass_ms(600);
    assert_eq!(world.take(), Some(Outcome::Status(200)));
    world.ask(refer(1, "busy"));
    world.pass_ms(600);
    assert_eq!(world.take(), Some(Outcome::Status(486)));
    let tos: Vec<_> = world
        .leg_commands
        .iter()
        .filter_map(|command| match command {
            LegCommand::Refer { to: ReferTo::Address(to), .. } => Some(to.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(tos, ["sip:bob@example.org", "sip:busy@carrier.example"], "a name stands for a URI");
    assert_eq!(world.ask(refer(1, "sip:refuse@example.org")), Some(Outcome::Status(603)));
    assert!(matches!(world.ask(refer(1, "sip:evil@example.org")), Some(Outcome::Failed(StepError::Denied(_)))));
    assert!(matches!(world.ask(refer(1, "nobody")), Some(Outcome::Failed(StepError::Unavailable(_)))));
    world.ask(refer(1, "sip:never@example.org"));
    world.pass_ms(2_100);
    assert_eq!(world.take(), Some(Outcome::Failed(StepError::Timeout)));
    assert!(
        world.text().contains("LegReferred { leg: 1, to: \"sip:busy@carrier.example\"")
            || world.text().contains("status: 486, remote: false")
    );
    world.ask(refer(1, "sip:never@example.org"));
    world.bye();
    assert!(matches!(world.take(), Some(Outcome::Failed(StepError::Ended(_)))));
}

#[test]
fn a_far_end_is_sent_to_take_over_another_leg() {
    let mut world = two_legs(1);
    let to = |leg| Step::Refer { leg: 1, to: ReferTarget::Leg(leg), timeout: None };
    assert!(failed_argument(world.ask(to(1))).contains("itself"));
    assert!(failed_state(world.ask(to(5))).contains("no leg 5"));
    assert_eq!(world.ask(to(2)), None);
    let key = world.dialog(2);
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::Refer { to: ReferTo::Leg(leg), .. }) if *leg == key));
    world.pass_ms(600);
    assert_eq!(world.take(), Some(Outcome::Status(200)));
}

#[test]
fn a_transfer_that_is_asked_for_is_carried_out_and_told_of() {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    let key = world.dialog(2);
    world.far_end(key, referred("ok", None));
    assert_eq!(world.event(), GuestEvent::Refer(ReferRequest { leg: 2, to: "ok".to_owned() }));
    assert!(failed_argument(world.ask(Step::AnswerRefer { leg: 2, status: 100 })).contains("200 to 699"));
    assert!(failed_state(world.ask(Step::AnswerRefer { leg: 1, status: 202 })).contains("no transfer"));
    assert_eq!(world.ask(Step::AnswerRefer { leg: 2, status: 200 }), Some(Outcome::Done));
    assert!(world.leg_commands.iter().any(|command| matches!(command, LegCommand::AnswerRefer { status: 202, .. })));
    assert_eq!(world.ask(dial(&["ok"])), Some(Outcome::Dialling(3)));
    world.pass_ms(200);
    assert_eq!(notified(&world), [100, 180, 200]);
    let by = header("Referred-By", "<sip:t@example.org>");
    let told = |command: &LegCommand| matches!(command, LegCommand::Dial { headers, .. } if headers.contains(&by));
    assert_eq!(world.leg_commands.iter().filter(|command| told(command)).count(), 1);
    assert!(world.sent.iter().all(|(leg, command)| !matches!(command, LegCommand::NotifyRefer { .. }) || *leg == key));
    assert_eq!(world.ask(bridge(1, 3)), Some(Outcome::Done));
    world.far_end_leaves(key);
    world.pass_ms(5);
    assert_eq!(world.hears_whom(LEG), Some(world.port(3)), "they talk on");
}

#[test]
fn a_transfer_that_fails_or_is_not_dialled_is_told_of_too() {
    let mut world = two_legs(1);
    let key = world.dialog(2);
    world.far_end(key, referred("busy", None));
    world.event();
    world.ask(Step::AnswerRefer { leg: 2, status: 202 });
    world.ask(dial(&["busy"]));
    world.pass_ms(100);
    assert_eq!(notified(&world), [100, 486]);

    world.far_end(key, referred("ok", None));
    world.ask(Step::Next { timeout: Some(1) });
    world.event();
    world.ask(Step::AnswerRefer { leg: 2, status: 202 });
    world.pass_ms(61_000);
    assert_eq!(notified(&world), [100, 486, 408]);

    world.far_end(key, referred("ok", None));
    world.event();
    world.ask(Step::AnswerRefer { leg: 2, status: 202 });
    world.ask(Step::Hangup { leg: Some(2), reason: None });
    assert_eq!(notified(&world).last(), Some(&487), "before the good-bye");
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::Hangup { .. })));
}

#[test]
fn a_transfer_is_refused_by_the_module_by_time_or_by_another_that_is_under_way() {
    let mut world = two_legs(1);
    let key = world.dialog(2);
    world.far_end(key, referred("a", None));
    world.far_end(key, referred("b", None));
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::AnswerRefer { status: 491, .. })));
    world.event();
    assert_eq!(world.ask(Step::AnswerRefer { leg: 2, status: 603 }), Some(Outcome::Done));
    world.far_end(key, referred("c", None));
    world.pass_ms(5_100);
    world.event();
    assert!(failed_state(world.ask(Step::AnswerRefer { leg: 2, status: 202 })).contains("no transfer"));
    assert!(world.text().contains("to: \"c\", status: 603, remote: true"));
    assert!(notified(&world).is_empty());
    // callbox itself decides nothing.
    world.trap();
    world.far_end(key, referred("d", None));
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::AnswerRefer { status: 603, .. })));
}

#[test]
fn a_caller_may_transfer_itself_out_and_the_others_talk_on() {
    let mut world = two_legs(1);
    world.far_end(LEG, referred("ok", None));
    world.event();
    world.ask(Step::AnswerRefer { leg: 1, status: 202 });
    world.ask(dial(&["ok"]));
    // As many phones do it: they leave once it is accepted.
    world.bye();
    world.pass_ms(200);
    assert!(world.call().is_live());
    assert_eq!(world.ask(bridge(2, 3)), Some(Outcome::Done));
    assert!(matches!(world.ask(play(tone(1))), Some(Outcome::Failed(StepError::Ended(_)))), "leg 1 is over");
    let Some(Outcome::Info(info)) = world.ask(Step::Info) else { panic!() };
    assert!(info.answered && info.headers.len() == 2);
    world.pass_ms(1_000);
    for leg in [2, 3] {
        world.far_end_leaves(world.dialog(leg));
    }
    assert!(!world.call().is_live());
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(20);
    assert!(world.is_over());
    super::flows::tiles(&world);

    // It came to nothing, and the caller is still there: the call is the caller's again.
    let mut world = two_legs(1);
    world.far_end(LEG, referred("busy", None));
    world.event();
    world.ask(Step::AnswerRefer { leg: 1, status: 202 });
    world.ask(dial(&["busy"]));
    world.pass_ms(100);
    world.bye();
    world.pass_ms(10);
    assert!(world.dialogs.values().all(|dialog| *dialog == Dialog::Ended));
}

#[test]
fn the_last_handler_s_end_hangs_up_what_leg_1_left_behind() {
    let mut world = two_legs(1);
    world.far_end(LEG, referred("ok", None));
    world.event();
    world.ask(Step::AnswerRefer { leg: 1, status: 202 });
    world.bye();
    world.pass_ms(5);
    world.trap();
    world.pass_ms(20);
    assert!(world.is_over());
    super::flows::tiles(&world);
}

// Replaces.

#[test]
fn another_far_end_takes_a_leg_s_place() {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    let (port, old) = (world.port(2), world.dialog(2));
    let Some(Outcome::Started(playing)) = world.ask(Step::Play {
        sources: tone(60_000),
        options: PlayOptions { leg: Some(2), ..PlayOptions::default() },
        wait: false,
    }) else {
        panic!()
    };
    let media = world.media_commands.len();
    let new = world.takes_place(old, offered(Some(OFFER)));
    world.pass_ms(10);
    assert_eq!((world.dialog(2), world.port(2)), (new, port));
    assert_eq!(world.hears_whom(LEG), Some(port), "the bridge stands");
    let touched: Vec<_> = world.media_commands[media..].iter().collect();
    assert!(
        matches!(touched[..], [MediaCommand::Update(plan)] if plan.peer.to_string() == "192.0.2.7" && plan.local.to_string() == "192.0.2.1"),
        "the port goes on: {touched:?}"
    );
    assert_eq!(world.dialogs[&old], Dialog::Ended, "the old one is hung up");
    assert!(world.text().contains("LegReplaced { leg: 2, address: \"sip:carol@192.0.2.7\" }"));
    assert_eq!(world.ask(Step::Stop { step: playing }), Some(Outcome::Done), "what plays goes on");
    assert_eq!(world.ask(Step::Hold { leg: 2 }), Some(Outcome::Done), "the new one is asked");
    let said = |command: &LegCommand| match command {
        LegCommand::Answer { body, .. } | LegCommand::Reoffer { body, .. } => {
            String::from_utf8_lossy(body).lines().nth(1).map(str::to_owned)
        }
        _ => None,
    };
    let to_new: Vec<_> =
        world.sent.iter().filter(|(leg, _)| *leg == new).filter_map(|(_, command)| said(command)).collect();
    let word = |line: usize, place: usize| to_new[line].split(' ').nth(place).unwrap();
    assert_eq!(to_new.len(), 2, "{to_new:?}");
    assert_eq!(word(0, 1), word(1, 1), "one session with the new far end");
    assert_eq!((word(0, 2), word(1, 2)), ("1", "2"));

    // Leg 1 too, whose port has the key of its first dialog; the call goes on.
    world.manners.late_answer = Some(OFFER.as_bytes().to_vec());
    let first = world.takes_place(LEG, offered(None));
    world.pass_ms(10);
    assert_eq!((world.dialog(1), world.port(1)), (first, LEG));
    assert!(world.call().is_live());
    let Some(Outcome::Info(info)) = world.ask(Step::Info) else { panic!() };
    assert_eq!(info.headers.len(), 2, "those the call began with");
    world.far_end_leaves(first);
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(50);
    assert!(world.is_over());
    super::flows::tiles(&world);
}

#[test]
fn a_place_that_cannot_be_taken_is_refused() {
    let mut world = World::new(1);
    let unanswered = world.takes_place(LEG, offered(Some(OFFER)));
    assert!(matches!(world.sent.last(), Some((leg, LegCommand::Reject { status: 481, .. })) if *leg == unanswered));
    let mut world = World::answered(1);
    let wrong = world.takes_place(LEG, offered(Some(&OFFER.replace("RTP/AVP 0", "RTP/AVP 18"))));
    assert!(matches!(world.sent.last(), Some((leg, LegCommand::Reject { status: 488, .. })) if *leg == wrong));
    world.pass_ms(5);
    assert_eq!(world.dialog(1), LEG);
    // A late offer whose answer does not come.
    world.takes_place(LEG, offered(None));
    world.pass_ms(10);
    assert_eq!(world.dialog(1), LEG);
    assert_eq!(world.dialogs.values().filter(|dialog| **dialog == Dialog::Standing).count(), 1);
    assert!(world.call().husks.is_empty());
    // One that gives up before it is answered.
    world.manners.deaf = true;
    let new = world.takes_place(LEG, offered(Some(OFFER)));
    world.far_end_leaves(new);
    assert_eq!(world.dialog(1), LEG);
    assert!(world.call().legs.get(1).unwrap().replacing.is_none());
}

// An attended transfer between two calls.

/// The main call with leg 2 bridged, and another call with leg 2 bridged, on another lane.
fn two_calls() -> (World, CallId) {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    let other = world.offer(TENANT, offered(Some(OFFER)));
    assert_eq!(world.ask_of(other, Step::Answer { headers: vec![] }), Some(Outcome::Done));
    assert_eq!(world.ask_of(other, dial(&["ok"])), Some(Outcome::Dialling(2)));
    world.pass_ms(200);
    assert!(matches!(world.event_of(other), GuestEvent::Leg(LegChange { leg: 2, state: LegState::Answered })));
    assert_eq!(world.ask_of(other, bridge(1, 2)), Some(Outcome::Done));
    (world, other)
}

#[test]
fn an_attended_transfer_brings_the_other_call_s_leg() {
    let (mut world, other) = two_calls();
    let replaced = world.dialog_of(other, 1);
    let partner = world.port_of(other, 2);
    world.far_end(LEG, referred("sip:q@example.org", Some(replaced)));
    world.event();
    world.ask(Step::AnswerRefer { leg: 1, status: 202 });
    assert_eq!(world.ask(dial(&["sip:q@example.org"])), Some(Outcome::Dialling(3)));
    world.pass_ms(20);
    world.expect(3, LegState::Answered);
    assert_eq!(world.port(3), partner, "it is that very leg");
    assert_eq!(world.owner(partner), Some(world.main));
    assert_eq!(notified(&world), [100, 200]);
    assert_eq!(world.ask(bridge(2, 3)), Some(Outcome::Done));
    assert_eq!(world.dialogs[&replaced], Dialog::Ended, "the transferor's second call is over");
    assert!(world.text_of(other).contains("LegGiven { leg: 2"));
    assert!(world.text().contains("LegAdopted { leg: 3"));
    assert!(
        !world
            .sent
            .iter()
            .any(|(_, command)| matches!(command, LegCommand::Dial { way, .. } if way.target.contains("q@")))
    );
    // The transferor leaves; the two talk on.
    world.bye();
    world.pass_ms(6_000);
    assert!(world.is_over_of(other));
    assert!(world.call().is_live());
    assert_eq!(world.hears_whom(partner), Some(world.port(2)));
}

#[test]
fn what_cannot_be_taken_ends_with_481() {
    let (mut world, other) = two_calls();
    assert_eq!(world.ask_of(other, Step::Part { leg: 1 }), Some(Outcome::Done));
    let replaced = world.dialog_of(other, 1);
    world.far_end(LEG, referred("sip:q@example.org", Some(replaced)));
    world.event();
    world.ask(Step::AnswerRefer { leg: 1, status: 202 });
    world.ask(dial(&["sip:q@example.org"]));
    world.pass_ms(20);
    assert!(matches!(
        world.event(),
        GuestEvent::Leg(LegChange { leg: 3, state: LegState::Ended(EndCause { status: 481, .. }) })
    ));
    assert_eq!(notified(&world), [100, 481]);

    // Another tenant's, and one that is nowhere.
    let mut world = two_legs(1);
    let stranger = world.offer(TenantId::from_u128(77), offered(Some(OFFER)));
    world.ask_of(stranger, Step::Answer { headers: vec![] });
    for replaced in [world.dialog_of(stranger, 1), LegKey(12_345)] {
        world.far_end(LEG, referred("sip:q@example.org", Some(replaced)));
        while !matches!(world.event(), GuestEvent::Refer(_)) {}
        world.ask(Step::AnswerRefer { leg: 1, status: 202 });
        world.ask(dial(&["sip:q@example.org"]));
        world.pass_ms(20);
        assert!(matches!(
            world.event(),
            GuestEvent::Leg(LegChange { state: LegState::Ended(EndCause { status: 481, .. }), .. })
        ));
    }
    assert!(world.outputs.iter().any(|output| matches!(output, Output::PeerOfLeg(_, PeerMessage::Take { .. }))));
}

#[test]
fn both_legs_of_an_attended_transfer_may_be_of_one_call() {
    let mut world = two_legs(1);
    world.ask(dial(&["ok"]));
    world.pass_ms(200);
    world.expect(3, LegState::Answered);
    // Leg 1 and leg 2 are the transferor's; leg 3 talks with leg 2.
    world.ask(bridge(2, 3));
    let (replaced, partner) = (world.dialog(2), world.port(3));
    world.far_end(LEG, referred("sip:q@example.org", Some(replaced)));
    world.event();
    world.ask(Step::AnswerRefer { leg: 1, status: 202 });
    assert_eq!(world.ask(dial(&["sip:q@example.org"])), Some(Outcome::Dialling(4)));
    world.pass_ms(20);
    assert_eq!(world.port(4), partner);
    assert!(world.call().legs.get(3).is_none() && world.dialogs[&replaced] == Dialog::Ended);
    assert_eq!(world.ask(bridge(1, 4)), Some(Outcome::Done));
}
