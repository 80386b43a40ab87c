//! Bridges, hold and resume, digits that are sent.

use callbox_model::*;

use super::dialling::dial;
use super::drivers::{Dialog, Manners};
use super::flows::{failed_argument, failed_state, gather, gathered, play, tone};
use super::world::{LEG, OFFER, World, application, offered};

/// Leg 1 and an answered leg 2; what was told of it is taken.
pub(super) fn two_legs(handlers: usize) -> World {
    let mut world = World::answered(handlers);
    assert_eq!(world.ask(dial(&["ok"])), Some(Outcome::Dialling(2)));
    world.pass_ms(200);
    world.expect(2, LegState::Answered);
    world
}

pub(super) fn bridge(a: LegNumber, b: LegNumber) -> Step {
    Step::Bridge { a, b, digits: BridgeDigits::Pass }
}

/// The digits of the last bridge.
fn digits(world: &World) -> BridgeDigits {
    let last = world.media_commands.iter().rev().find_map(|command| match command {
        MediaCommand::Bridge { digits, .. } => Some(*digits),
        _ => None,
    });
    last.unwrap()
}

#[test]
fn two_legs_are_joined_and_parted() {
    let mut world = two_legs(1);
    assert_eq!(world.ask(bridge(1, 2)), Some(Outcome::Done));
    assert_eq!(world.hears_whom(LEG), Some(world.port(2)));
    assert_eq!(world.hears_whom(world.port(2)), Some(LEG));
    assert_eq!(world.ask(Step::Part { leg: 2 }), Some(Outcome::Done));
    assert_eq!(world.hears_whom(LEG), None);
    assert!(failed_state(world.ask(Step::Part { leg: 1 })).contains("not bridged"));
    assert!(failed_argument(world.ask(bridge(2, 2))).contains("itself"));
    let text = world.text();
    assert!(text.contains("LegBridged { leg: 1, with: 2 }") && text.contains("LegParted { leg: 2 }"), "{text}");
}

#[test]
fn a_leg_that_ends_parts_its_bridge_and_a_new_bridge_parts_the_old() {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    world.ask(dial(&["ok"]));
    world.pass_ms(200);
    world.expect(3, LegState::Answered);
    assert_eq!(world.ask(bridge(3, 1)), Some(Outcome::Done));
    assert_eq!(world.hears_whom(LEG), Some(world.port(3)));
    assert_eq!(world.hears_whom(world.port(2)), None);
    world.far_end_leaves(world.dialog(3));
    world.pass_ms(10);
    assert_eq!(world.hears_whom(LEG), None);
    assert_eq!(world.text().matches("LegParted").count(), 2);
    assert!(!world.call().legs.get(1).unwrap().is_joined());
    assert_eq!(world.ask(bridge(1, 2)), Some(Outcome::Done), "it is free again");
}

#[test]
fn media_that_cannot_join_says_so() {
    let mut world = two_legs(1);
    world.manners = Manners { refuse_bridge: true, ..Manners::default() };
    assert!(matches!(world.ask(bridge(1, 2)), Some(Outcome::Failed(StepError::Unavailable(_)))));
    assert!(!world.call().legs.get(1).unwrap().is_joined() && !world.text().contains("LegBridged"));
}

#[test]
fn a_leg_that_ends_while_it_is_joined_ends_the_step() {
    let mut world = two_legs(1);
    let run = world.guest().run;
    world.ask_as(run, bridge(1, 2));
    world.far_end_leaves(world.dialog(2));
    assert!(matches!(world.take(), Some(Outcome::Failed(StepError::Ended(_)))));
    world.pass_ms(5);
    assert!(!world.call().legs.get(1).unwrap().is_joined());
}

#[test]
fn digits_that_are_gathered_do_not_cross_the_bridge() {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    assert_eq!(digits(&world), BridgeDigits::Pass);
    let options = GatherOptions { leg: Some(2), max: Some(1), ..GatherOptions::default() };
    world.ask(gather(options));
    assert_eq!(digits(&world), BridgeDigits::Keep);
    let port = world.port(2);
    world.press_on(LEG, '7');
    assert_eq!(world.take(), None, "a digit of another leg");
    world.press_on(port, '4');
    assert_eq!(world.take(), gathered("4", GatheredBy::Max));
    assert_eq!(digits(&world), BridgeDigits::Pass);
    assert!(matches!(world.event(), GuestEvent::Digit(Digit { leg: 1, digit: '7', .. })));
    assert_eq!(world.hears_whom(LEG), Some(port), "they hear each other all the while");
    assert_eq!(world.text().matches("LegBridged").count(), 1);
}

#[test]
fn a_gather_that_ends_while_they_are_being_joined() {
    for leg in [1, 2] {
        let mut world = two_legs(1);
        let options = GatherOptions { leg: Some(leg), max: Some(1), ..GatherOptions::default() };
        let gather = Step::Gather { prompt: vec![], options, wait: false };
        assert!(matches!(world.ask(gather), Some(Outcome::Started(_))));
        let run = world.guest().run;
        world.ask_as(run, bridge(1, 2));
        assert_eq!(digits(&world), BridgeDigits::Keep);
        let port = world.port(leg);
        world.now_or_in_transit(super::world::Due::Media(port, MediaEvent::DigitBegan { digit: '5' }));
        let asked: Vec<_> = world
            .outputs_to_media
            .iter()
            .filter(|(_, command)| matches!(command, MediaCommand::Bridge { .. }))
            .map(|(key, _)| *key)
            .collect();
        assert_eq!(asked, [LEG, LEG], "by the one who was asked first, so that the order is kept");
        // Media parts what it was about to join, and says so.
        let parted = MediaFault::Node("it was parted before the other leg was there".to_owned());
        world.input(crate::Input::Media(LEG, MediaEvent::Bridged { result: Err(parted) }));
        assert_eq!(world.take(), None, "the second answer counts");
        world.pass_ms(2);
        assert_eq!((world.take(), digits(&world)), (Some(Outcome::Done), BridgeDigits::Pass));
    }
}

#[test]
fn sounds_and_recordings_are_of_their_own_leg() {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    let on_two = PlayOptions { leg: Some(2), ..PlayOptions::default() };
    let Some(Outcome::Started(second)) =
        world.ask(Step::Play { sources: tone(10_000), options: on_two.clone(), wait: false })
    else {
        panic!()
    };
    let Some(Outcome::Started(first)) =
        world.ask(Step::Play { sources: tone(10_000), options: PlayOptions::default(), wait: false })
    else {
        panic!()
    };
    let record =
        |leg| Step::Record { options: RecordOptions { leg: Some(leg), ..RecordOptions::default() }, wait: false };
    assert!(matches!(world.ask(record(1)), Some(Outcome::Started(_))));
    assert!(matches!(world.ask(record(2)), Some(Outcome::Started(_))));
    assert!(failed_state(world.ask(record(2))).contains("leg 2 is being recorded"));
    world.far_end_leaves(world.dialog(2));
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(world.event());
    }
    let stopped = ends.iter().find_map(|event| match event {
        GuestEvent::Done(done) if done.step == second => Some(&*done.outcome),
        _ => None,
    });
    assert!(matches!(stopped, Some(Outcome::Failed(StepError::Ended(_)))), "{ends:?}");
    assert_eq!(world.ask(Step::Stop { step: first }), Some(Outcome::Done), "leg 1 plays on");
    assert!(matches!(
        world.ask(Step::Play { sources: tone(1), options: on_two, wait: true }),
        Some(Outcome::Failed(StepError::Ended(_)))
    ));
    assert!(world.ask(play(tone(10))).is_none());
}

#[test]
fn hold_and_resume_of_ours() {
    let mut world = two_legs(1);
    let state = |world: &World| world.call().legs.get(2).unwrap().state();
    let sends = |world: &World| {
        let last = world.media_commands.iter().rev().find_map(|command| match command {
            MediaCommand::Update(plan) => plan.remote.clone(),
            _ => None,
        });
        last.map(|remote| (remote.send, remote.receive)).unwrap()
    };
    let offers = |world: &World| {
        let bodies = world.leg_commands.iter().filter_map(|command| match command {
            LegCommand::Reoffer { body, .. } => String::from_utf8_lossy(body).lines().last().map(str::to_owned),
            _ => None,
        });
        bodies.collect::<Vec<_>>()
    };
    assert_eq!(world.ask(Step::Hold { leg: 2 }), Some(Outcome::Done));
    assert_eq!((state(&world), sends(&world)), (LegState::Held, (true, false)));
    assert_eq!(world.ask(Step::Hold { leg: 2 }), Some(Outcome::Done), "it is held");
    assert_eq!(world.ask(Step::Resume { leg: 2 }), Some(Outcome::Done));
    assert_eq!((state(&world), sends(&world)), (LegState::Answered, (true, true)));
    assert_eq!(offers(&world), ["a=sendonly", "a=sendrecv"]);

    // They hold us, and we them: nothing flows, and it is held until both let go.
    let key = world.dialog(2);
    world.far_end(key, LegEvent::Reoffered { body: Some(format!("{OFFER}a=sendonly\r\n").into_bytes()) });
    world.expect(2, LegState::Held);
    assert_eq!(world.ask(Step::Hold { leg: 2 }), Some(Outcome::Done));
    assert_eq!((offers(&world).last().unwrap().as_str(), sends(&world)), ("a=inactive", (false, false)));
    world.far_end(key, LegEvent::Reoffered { body: Some(OFFER.as_bytes().to_vec()) });
    assert_eq!(state(&world), LegState::Held, "by us");
    assert_eq!(world.ask(Step::Resume { leg: 2 }), Some(Outcome::Done));
    assert_eq!(state(&world), LegState::Answered);
    assert_eq!(world.text().matches("LegHeld { leg: 2, held: true }").count(), 2);
    assert_eq!(world.text().matches("LegHeld { leg: 2, held: false }").count(), 2);
}

#[test]
fn a_hold_that_is_refused_changes_nothing() {
    let mut world = two_legs(1);
    world.manners.deaf = true;
    let run = world.guest().run;
    world.ask_as(run, Step::Hold { leg: 2 });
    let (key, LegCommand::Reoffer { ask, .. }) = world.sent.last().cloned().unwrap() else { panic!() };
    let refused = Refused::Answered { status: 488, reason: "Not Acceptable Here".to_owned() };
    world.far_end(key, LegEvent::Reply { ask, result: Err(refused) });
    assert!(failed_state(world.take()).contains("488 Not Acceptable Here"));
    assert_eq!(world.call().legs.get(2).unwrap().state(), LegState::Answered);

    world.ask_as(run, Step::Hold { leg: 2 });
    world.far_end(key, LegEvent::Reanswered { body: Some(b"nonsense".to_vec()) });
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::Hangup { .. })), "what flows is not known any more");
}

#[test]
fn digits_are_sent_as_events_or_by_info() {
    let mut world = two_legs(1);
    let send = |digits: &str| Step::SendDigits { leg: 2, digits: digits.to_owned() };
    assert_eq!(world.ask(send("12#")), None);
    world.pass_ms(300);
    assert_eq!(world.take(), Some(Outcome::Done));
    assert!(world.media_commands.contains(&MediaCommand::SendDigits { digits: "12#".to_owned() }));
    assert!(failed_argument(world.ask(send("1!"))).contains("'!'"));
    assert!(failed_argument(world.ask(send(""))).contains("none"));

    world.ask(dial(&["plain"]));
    world.pass_ms(200);
    assert_eq!(world.ask(Step::SendDigits { leg: 3, digits: "5w6".to_owned() }), None);
    world.pass_ms(600);
    assert_eq!(world.take(), Some(Outcome::Done));
    let infos = world.leg_commands.iter().filter(|command| matches!(command, LegCommand::Info { .. })).count();
    assert_eq!(infos, 2);

    world.ask(send("123456789"));
    world.far_end_leaves(world.dialog(2));
    assert!(matches!(world.take(), Some(Outcome::Failed(StepError::Ended(_)))));
}

#[test]
fn one_leg_or_the_whole_call_is_hung_up() {
    let mut world = two_legs(1);
    world.ask(bridge(1, 2));
    assert_eq!(world.ask(Step::Hangup { leg: Some(2), reason: Some("enough".to_owned()) }), Some(Outcome::Done));
    world.pass_ms(5);
    assert!(matches!(world.event(), GuestEvent::Leg(LegChange { leg: 2, state: LegState::Ended(_) })));
    assert!(world.call().is_live());
    world.ask(dial(&["ok"]));
    world.pass_ms(200);
    assert_eq!(world.ask(Step::Hangup { leg: None, reason: None }), Some(Outcome::Done));
    world.pass_ms(10);
    assert!(world.dialogs.values().all(|dialog| *dialog == Dialog::Ended));
}

#[test]
fn a_bridge_outlives_its_module_and_not_the_last_handler() {
    let mut world = two_legs(2);
    world.ask(bridge(1, 2));
    let media = world.media_commands.len();
    world.trap();
    let touched = world.media_commands[media..].iter().any(|command| !matches!(command, MediaCommand::Count { .. }));
    assert!(!touched, "they talk on");
    assert_eq!(world.guest().info.predecessor.as_ref().unwrap().legs.len(), 2);
    world.trap();
    world.pass_ms(2_100);
    assert!(world.is_over(), "after the apology all are hung up");
    super::flows::tiles(&world);
}

#[test]
fn frames_of_all_legs_are_counted_once() {
    let mut world = two_legs(2);
    world.pass_ms(1_000);
    world.trap();
    world.pass_ms(1_000);
    world.ask(dial(&["ok"]));
    world.pass_ms(1_000);
    world.bye();
    world.end_guest(crate::GuestEnd::Ok);
    world.pass_ms(50);
    assert!(world.is_over());
    let counted: u64 = world.rows().values().map(|row| row.usage.frames_sent).sum();
    assert_eq!(counted, world.frames_sent(), "{:?}", world.rows());
    assert!(world.rows().values().filter(|row| row.usage.frames_sent > 90).count() == 2);
}

#[test]
fn a_late_offer_call_can_be_held_too() {
    let manners = Manners { late_answer: Some(OFFER.as_bytes().to_vec()), ..Manners::default() };
    let mut world = World::with(application(1), offered(None), manners);
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
    assert_eq!(world.ask(Step::Hold { leg: 1 }), Some(Outcome::Done));
    let Some(Outcome::Legs(legs)) = world.ask(Step::Legs) else { panic!() };
    assert_eq!(legs[0].state, LegState::Held);
}
