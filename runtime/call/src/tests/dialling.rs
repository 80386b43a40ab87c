//! Dialling: targets, rounds, what the module is told, what is left standing.

use callbox_model::*;

use super::drivers::{Dialog, Manners};
use super::flows::{failed_argument, failed_state};
use super::world::{LEG, OFFER, World, application, header, offered};
use crate::Input;

pub(super) fn dial(targets: &[&str]) -> Step {
    dial_with(targets, DialOptions::default())
}

fn dial_with(targets: &[&str], options: DialOptions) -> Step {
    Step::Dial { targets: targets.iter().map(|&target| target.to_owned()).collect(), options }
}

fn one_by_one(timeout: u32) -> DialOptions {
    DialOptions { order: Some(DialOrder::OneByOne), timeout: Some(timeout), ..DialOptions::default() }
}

/// The leg's end, and its status.
fn ended(world: &mut World, leg: LegNumber) -> EndCause {
    match world.event() {
        GuestEvent::Leg(LegChange { leg: of, state: LegState::Ended(cause) }) if of == leg => cause,
        other => panic!("{other:?}"),
    }
}

fn dialled(world: &World) -> Vec<String> {
    let targets = world.sent.iter().filter_map(|(_, command)| match command {
        LegCommand::Dial { way, .. } => Some(way.target.clone()),
        _ => None,
    });
    targets.collect()
}

#[test]
fn a_leg_is_dialled_answered_and_ended() {
    let mut world = World::answered(1);
    assert_eq!(world.ask(dial(&["ok"])), Some(Outcome::Dialling(2)));
    let Some(Outcome::Legs(legs)) = world.ask(Step::Legs) else { panic!() };
    assert_eq!(legs[1], Leg { id: 2, address: "ok".to_owned(), state: LegState::Trying });
    world.pass_ms(10);
    world.expect(2, LegState::Ringing(180));
    assert!(failed_state(world.ask(Step::Hold { leg: 2 })).contains("not answered"));
    world.pass_ms(100);
    world.expect(2, LegState::Answered);
    let Some(Outcome::Headers(headers)) = world.ask(Step::LegHeaders { leg: 2 }) else { panic!() };
    assert_eq!(headers, [header("X-Agent", "7")], "the allow-list holds");
    let remote = world.media_commands.iter().rev().find_map(|command| match command {
        MediaCommand::Update(plan) => Some((plan.peer, plan.remote.clone().unwrap().rtp)),
        _ => None,
    });
    assert_eq!(remote, Some(("192.0.2.20".parse().unwrap(), "192.0.2.9:7078".parse().unwrap())));

    world.far_end_leaves(world.dialog(2));
    assert!(ended(&mut world, 2).remote);
    assert!(matches!(world.ask(Step::Part { leg: 2 }), Some(Outcome::Failed(StepError::Ended(_)))));
    assert!(failed_state(world.ask(Step::Part { leg: 9 })).contains("no leg 9"));
    assert!(world.text().contains("LegStarted { leg: 2") && world.text().contains("LegAnswered { leg: 2"));
    world.bye();
    world.end_guest(crate::GuestEnd::Ok);
    world.pass_ms(10);
    assert!(world.is_over());
}

#[test]
fn the_first_to_answer_wins_and_the_others_are_hung_up() {
    let mut world = World::answered(1);
    assert_eq!(world.ask(dial(&["slow", "ok", "early+never"])), Some(Outcome::Dialling(2)));
    world.pass_ms(200);
    assert_eq!(dialled(&world).len(), 4, "a user with two phones is rung on both");
    let hung_up = world.leg_commands.iter().filter(|command| matches!(command, LegCommand::Hangup { .. })).count();
    assert_eq!(hung_up, 3);
    world.pass_ms(3_000);
    let standing: Vec<_> = world.dialogs.iter().filter(|(_, dialog)| **dialog != Dialog::Ended).collect();
    assert_eq!(standing.len(), 2, "{standing:?}");
    assert_eq!(world.call().legs.get(2).unwrap().line.address, "ok");
    assert_eq!(world.event(), GuestEvent::Leg(LegChange { leg: 2, state: LegState::Answered }), "the newest state");
}

#[test]
fn one_by_one_goes_on_when_one_fails_or_does_not_answer() {
    let mut world = World::answered(1);
    assert_eq!(
        world.ask(dial_with(&["busy", "nobody", "never", "ok"], one_by_one(40_000))),
        Some(Outcome::Dialling(2))
    );
    assert_eq!(dialled(&world).len(), 1);
    world.pass_ms(60);
    assert_eq!(dialled(&world).len(), 2, "who has no phone is passed over");
    world.pass_ms(9_900);
    assert_eq!(dialled(&world).len(), 2);
    world.pass_ms(200);
    assert_eq!(dialled(&world).len(), 3, "a target has its share of the time");
    world.pass_ms(5);
    let told = world.text().matches("LegRinging { leg: 2, status: 180 }").count();
    assert_eq!(told, 2, "each that rings is told of");
    world.pass_ms(100);
    world.expect(2, LegState::Answered);
}

#[test]
fn why_nobody_came_is_told_by_the_best_of_all_answers() {
    for (targets, options, status) in [
        (&["busy", "decline", "gone"][..], DialOptions::default(), 603),
        (&["busy", "overload"], DialOptions::default(), 486),
        (&["never", "gone"], DialOptions { timeout: Some(1_000), ..DialOptions::default() }, 404),
        (&["never"], DialOptions { timeout: Some(1_000), ..DialOptions::default() }, 408),
        (&["nobody"], DialOptions::default(), 480),
        (&["unresolvable"], DialOptions::default(), 503),
        (&["mute"], DialOptions::default(), 488),
        (&["overload", "busy"], one_by_one(10_000), 486),
    ] {
        let mut world = World::answered(1);
        assert_eq!(world.ask(dial_with(targets, options)), Some(Outcome::Dialling(2)));
        world.pass_ms(1_100);
        // What came before is in line.
        let mut events = Vec::new();
        while let Some(Outcome::Event(Some(event))) = world.ask(Step::Next { timeout: Some(2) }) {
            events.push(event);
        }
        let Some(GuestEvent::Leg(LegChange { leg: 2, state: LegState::Ended(cause) })) = events.last() else {
            panic!("{targets:?}: {events:?}")
        };
        assert_eq!(cause.status, status, "{targets:?}");
        assert_eq!(world.call().legs.all.len(), 1, "{targets:?}: nothing is left of it");
        assert!(world.dialogs.values().filter(|dialog| **dialog != Dialog::Ended).count() == 1, "{targets:?}");
    }
}

#[test]
fn a_decline_speaks_for_all_phones_of_its_target_and_for_no_other() {
    let mut world = World::answered(1);
    world.ask(dial(&["decline+slow", "slow2"]));
    world.pass_ms(100);
    let hung_up = world.sent.iter().filter(|(_, command)| matches!(command, LegCommand::Hangup { .. })).count();
    assert_eq!(hung_up, 1, "the other phone of who declined");
    world.pass_ms(3_000);
    assert_eq!(world.event(), GuestEvent::Leg(LegChange { leg: 2, state: LegState::Answered }));
}

#[test]
fn a_200_that_crosses_our_good_bye_is_hung_up_too() {
    let mut world = World::answered(1);
    world.ask(dial(&["never"]));
    world.pass_ms(20);
    world.expect(2, LegState::Ringing(180));
    let key = world
        .sent
        .iter()
        .find_map(|(key, command)| matches!(command, LegCommand::Dial { .. }).then_some(*key))
        .unwrap();
    assert_eq!(world.ask(Step::Hangup { leg: Some(2), reason: None }), Some(Outcome::Done));
    let cause = ended(&mut world, 2);
    assert_eq!((cause.status, cause.remote), (487, false));
    let before = world.leg_commands.len();
    let peer = "192.0.2.20".parse().unwrap();
    let late = LegEvent::Answered { body: Some(OFFER.as_bytes().to_vec()), headers: vec![], peer };
    world.input(Input::Leg(key, late.clone()));
    assert_eq!(world.leg_commands.len(), before, "that one had ended already");

    world.manners.deaf = true;
    world.ask(dial(&["never"]));
    world.ask(Step::Hangup { leg: Some(3), reason: None });
    let key = world.sent.last().unwrap().0;
    let before = world.leg_commands.len();
    world.input(Input::Leg(key, late));
    assert!(matches!(world.leg_commands[before..], [LegCommand::Hangup { .. }]));
}

#[test]
fn a_branch_may_not_change_what_it_has_not_answered() {
    let mut world = World::answered(1);
    world.ask(dial(&["never"]));
    let key = world.sent.last().unwrap().0;
    world.input(Input::Leg(key, LegEvent::Reoffered { body: Some(OFFER.as_bytes().to_vec()) }));
    assert!(matches!(world.sent.last(), Some((leg, LegCommand::RefuseReoffer { status: 491, .. })) if *leg == key));
    world.pass_ms(5);
    assert_eq!(world.dialogs[&key], Dialog::Dialled, "it rings on");
}

#[test]
fn ways_by_another_address_have_their_turn_after_the_others() {
    let mut world = World::answered(1);
    assert_eq!(world.ask(dial(&["busy", "six"])), Some(Outcome::Dialling(2)));
    assert_eq!(dialled(&world).len(), 1);
    let first = world.port(2);
    world.pass_ms(60);
    assert_eq!(dialled(&world).len(), 2);
    assert_ne!(world.port(2), first, "another address, another port");
    let Some((_, LegCommand::Dial { body, .. })) =
        world.sent.iter().rev().find(|(_, command)| matches!(command, LegCommand::Dial { .. }))
    else {
        panic!()
    };
    assert!(String::from_utf8_lossy(body).contains("c=IN IP6 2001:db8::1"));
    world.pass_ms(200);
    assert!(world.call().husks.is_empty(), "the first port is closed and forgotten");
}

#[test]
fn early_media_is_heard_by_leg_1_until_the_answer() {
    let mut world = World::answered(1);
    let options = DialOptions { early_media: Some(true), ..DialOptions::default() };
    world.ask(dial_with(&["early_slow"], options));
    world.pass_ms(20);
    assert_eq!(world.hears_whom(LEG), Some(world.port(2)));
    world.pass_ms(3_000);
    assert_eq!(world.hears_whom(LEG), None, "what is heard after the answer is the module's to say");
    let bridges = world.text().matches("LegBridged").count();
    assert_eq!((bridges, world.text().matches("LegParted").count()), (1, 1));

    let mut world = World::answered(1);
    world.ask(dial(&["early_slow"]));
    world.pass_ms(20);
    assert_eq!(world.hears_whom(LEG), None, "nobody asked for it");
}

#[test]
fn digits_after_the_answer_and_a_limit_of_time() {
    let mut world = World::answered(1);
    let options =
        DialOptions { send_digits: Some("1w2".to_owned()), time_limit: Some(5_000), ..DialOptions::default() };
    world.ask(dial_with(&["plain"], options));
    world.pass_ms(200);
    let infos =
        |world: &World| world.leg_commands.iter().filter(|command| matches!(command, LegCommand::Info { .. })).count();
    assert_eq!(infos(&world), 1, "no telephone-event there: by INFO, and `w` waits");
    world.pass_ms(500);
    assert_eq!(infos(&world), 2);
    world.pass_ms(4_500);
    assert!(world.text().contains("LegEnded { leg: 2"), "{}", world.text());
    assert!(
        matches!(world.leg_commands.last(), Some(LegCommand::Hangup { reason: Some(why), .. }) if why.contains("time"))
    );
}

#[test]
fn what_is_asked_is_held_against_its_bounds() {
    let mut world = World::answered(1);
    assert!(failed_argument(world.ask(dial(&[]))).contains("targets: 0"));
    assert!(failed_argument(world.ask(dial(&["a"; 11]))).contains("1 to 10"));
    assert!(failed_argument(world.ask(dial(&["a\r\nVia: evil"]))).contains("control"));
    for (options, words) in [
        (DialOptions { timeout: Some(999), ..DialOptions::default() }, "timeout: 999"),
        (DialOptions { send_digits: Some("1x".to_owned()), ..DialOptions::default() }, "'x'"),
        (DialOptions { time_limit: Some(1), ..DialOptions::default() }, "time-limit"),
    ] {
        assert!(failed_argument(world.ask(dial_with(&["a"], options))).contains(words));
    }
    let options = DialOptions { headers: vec![header("Via", "x")], ..DialOptions::default() };
    assert!(matches!(world.ask(dial_with(&["a"], options)), Some(Outcome::Failed(StepError::Denied(_)))));
    assert!(
        matches!(world.ask(dial(&["evil"])), Some(Outcome::Failed(StepError::Denied(why))) if why.contains("loopback"))
    );
    assert!(!world.text().contains("LegStarted { leg: 2"));
    for leg in 2..=16 {
        assert_eq!(world.ask(dial(&["never"])), Some(Outcome::Dialling(leg)));
    }
    assert!(matches!(world.ask(dial(&["ok"])), Some(Outcome::Failed(StepError::Quota(why))) if why.contains("16")));
}

#[test]
fn no_port_ends_the_leg_and_a_fault_leaves_it_to_the_successor() {
    let manners = Manners { refuse_open: true, ..Manners::default() };
    let mut world = World::with(application(1), offered(Some(OFFER)), manners);
    world.ask(dial(&["ok"]));
    assert_eq!(ended(&mut world, 2).reason, "no RTP port is free");

    let mut world = World::answered(2);
    world.ask(dial(&["ok"]));
    world.trap();
    let legs = &world.guest().info.predecessor.as_ref().unwrap().legs;
    assert_eq!(legs.len(), 2);
    world.pass_ms(120);
    assert!(matches!(world.event(), GuestEvent::Leg(LegChange { leg: 2, state: LegState::Answered })));

    // A leg whose number nobody has is not begun.
    let mut world = World::answered(2);
    let run = world.guest().run;
    world.ask_as(run, dial(&["ok"]));
    world.trap();
    world.pass_ms(200);
    assert_eq!(world.call().legs.all.len(), 1);
}

#[test]
fn the_end_of_leg_1_ends_all_and_the_end_of_another_does_not() {
    let mut world = World::answered(1);
    for target in ["ok", "never", "slow"] {
        world.ask(dial(&[target]));
    }
    world.pass_ms(200);
    world.bye();
    world.pass_ms(10);
    assert!(world.dialogs.values().all(|dialog| *dialog == Dialog::Ended), "{:?}", world.dialogs);
    assert!(!world.is_over(), "the module writes its notes");
    world.end_guest(crate::GuestEnd::Ok);
    world.pass_ms(10);
    assert!(world.is_over());
    for leg in 1..=4 {
        assert_eq!(world.text().matches(&format!("LegEnded {{ leg: {leg},")).count(), 1);
    }
}

// Calls that begin by dialling.

#[test]
fn an_outbound_call_begins_its_handler_at_the_answer() {
    let mut world = World::dialled(1, &["ok"]);
    assert!(world.guests.is_empty());
    world.pass_ms(50);
    assert!(world.guests.is_empty() && world.text().contains("CallRinging { status: 180 }"));
    world.pass_ms(100);
    let info = world.guest().info.clone();
    assert_eq!((info.direction, info.answered), (Direction::Outbound, true));
    assert_eq!((info.caller.as_str(), info.called.as_str()), ("100", "ok"));
    assert_eq!(info.input.as_deref(), Some("{\"order\":1}"));
    assert_eq!(info.headers, [header("X-Agent", "7")]);
    assert!(matches!(&world.leg_commands[0], LegCommand::Dial { headers, .. } if headers[0].name == "X-Campaign"));
    assert!(
        failed_state(world.ask(Step::Reject { status: 486, reason: String::new(), headers: vec![] }))
            .contains("answered")
    );
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done), "it is answered");
    world.pass_ms(1_000);
    world.end_guest(crate::GuestEnd::Ok);
    world.pass_ms(20);
    assert!(world.is_over());
    assert_eq!(world.rows().len(), 3, "callbox, the module, callbox: {:?}", world.rows());
    super::flows::tiles(&world);
}

#[test]
fn an_outbound_call_that_nobody_answers_has_no_handler() {
    for (targets, status) in [(&["busy"][..], 486), (&["nobody"], 480), (&["never"], 408), (&["busy", "gone"], 404)] {
        let mut world = World::dialled(1, targets);
        world.pass_ms(21_000);
        assert!(world.is_over(), "{targets:?}");
        assert!(world.guests.is_empty());
        let Some(Change::CallEnded { cause, answered: false, .. }) = world.events().last().map(|event| &event.change)
        else {
            panic!()
        };
        assert_eq!(cause.status, status);
        super::flows::tiles(&world);
    }
    let mut world = World::dialled(1, &["never"]);
    world.pass_ms(100);
    world.input(Input::HangUp { by: "an operator".to_owned() });
    world.pass_ms(10);
    assert!(world.is_over() && world.text().contains("an operator"));
}
