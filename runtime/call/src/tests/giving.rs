//! Legs that go from call to call, and messages between calls.

use callbox_model::*;
use proptest::prelude::*;

use super::bridging::{bridge, two_legs};
use super::dialling::dial;
use super::drivers::{Dialog, Manners};
use super::flows::{failed_argument, failed_state, gather, gathered, play, tone};
use super::world::{LEG, OFFER, TENANT, World, application, offered};
use crate::{GuestEnd, Output};

fn give(leg: LegNumber, to: CallId) -> Step {
    Step::Give { leg, to: to.to_string() }
}

/// The main call with two legs, and another call of the tenant.
fn two_calls() -> (World, CallId) {
    let mut world = two_legs(1);
    let other = world.offer(TENANT, offered(Some(OFFER)));
    assert_eq!(world.ask_of(other, Step::Answer { headers: vec![] }), Some(Outcome::Done));
    (world, other)
}

#[test]
fn a_leg_is_given_with_all_that_it_is() {
    let (mut world, other) = two_calls();
    world.ask(bridge(1, 2));
    let music = PlayOptions { leg: Some(2), ..PlayOptions::default() };
    world.ask(Step::Play { sources: tone(60_000), options: music, wait: false });
    let key = world.dialog(2);
    world.far_end(key, LegEvent::Reoffered { body: Some(format!("{OFFER}a=sendonly\r\n").into_bytes()) });
    world.pass_ms(5);
    assert_eq!(world.ask_and_wait(give(2, other)), Some(Outcome::Done));
    assert_eq!(world.event_of(other), GuestEvent::Given(2));
    let Some(Outcome::Legs(legs)) = world.ask_of(other, Step::Legs) else { panic!() };
    assert_eq!((legs[1].address.as_str(), &legs[1].state), ("ok", &LegState::Held));
    assert!(world.text().contains(&format!("LegGiven {{ leg: 2, to: {other} }}")));
    assert!(world.text_of(other).contains("LegAdopted { leg: 2, from: call_"));
    assert!(failed_state(world.ask(Step::Hold { leg: 2 })).contains("given to another call"));
    assert_eq!(world.hears_whom(LEG), None, "its bridge is parted, what played has ended");
    assert_eq!(world.text().matches("StepStarted").count(), world.text().matches("StepEnded").count());

    world.far_end(key, LegEvent::Reoffered { body: Some(OFFER.as_bytes().to_vec()) });
    assert!(matches!(world.event_of(other), GuestEvent::Leg(LegChange { leg: 2, state: LegState::Answered })));
    assert_eq!(world.ask_of(other, bridge(1, 2)), Some(Outcome::Done));
    let port = world.port_of(other, 2);
    let options = GatherOptions { leg: Some(2), max: Some(1), ..GatherOptions::default() };
    world.ask_of(other, gather(options));
    world.press_on(port, '5');
    assert_eq!(world.take(), gathered("5", GatheredBy::Max));
    // The giver's end is not the leg's.
    world.bye();
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(20);
    assert!(world.is_over() && world.dialogs[&key] == Dialog::Standing);
}

#[test]
fn leg_1_given_away_leaves_a_call_that_lives_on_its_other_legs() {
    let (mut world, other) = two_calls();
    assert_eq!(world.ask_and_wait(give(1, other)), Some(Outcome::Done));
    assert!(failed_state(world.ask(play(tone(1)))).contains("leg 1 was given"));
    let Some(Outcome::Info(info)) = world.ask(Step::Info) else { panic!() };
    assert!(info.answered && info.headers.len() == 2);
    world.pass_ms(1_000);
    assert_eq!(world.ask_and_wait(give(2, other)), Some(Outcome::Done));
    assert!(!world.call().is_live(), "no leg is left");
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(20);
    assert!(world.is_over());
    super::flows::tiles(&world);
    let Some(Outcome::Legs(legs)) = world.ask_of(other, Step::Legs) else { panic!() };
    assert_eq!(legs.len(), 3);
}

#[test]
fn a_leg_on_offer_is_frozen_and_what_came_meanwhile_goes_along() {
    let (mut world, other) = two_calls();
    world.delays_ms = vec![50];
    let run = world.guest().run;
    world.ask_as(run, give(2, other));
    world.pass_ms(10);
    let (key, port) = (world.dialog(2), world.port(2));
    world.press_on(port, '8');
    let third = world.takes_place(key, offered(Some(OFFER)));
    world.pass_ms(200);
    assert_eq!(world.event_of(other), GuestEvent::Given(2));
    assert!(matches!(world.event_of(other), GuestEvent::Digit(Digit { leg: 2, digit: '8', .. })));
    assert_eq!(world.dialog_of(other, 2), third, "who wanted its place has it, there");
    assert!(world.outputs.iter().any(|output| matches!(output, Output::Pass { .. })));
    assert_eq!(world.owner(third), Some(other));
}

#[test]
fn a_successor_learns_that_a_leg_went() {
    let mut world = two_legs(2);
    let other = world.offer(TENANT, offered(Some(OFFER)));
    let run = world.guest().run;
    world.ask_as(run, give(2, other));
    world.trap();
    assert_eq!(world.guest().info.predecessor.as_ref().unwrap().legs.len(), 2);
    world.pass_ms(10);
    let GuestEvent::Leg(LegChange { leg: 2, state: LegState::Ended(cause) }) = world.event() else { panic!() };
    assert_eq!(cause.reason, "given to another call");
}

#[test]
fn a_leg_that_is_declined_is_ours_again() {
    let (mut world, _) = two_calls();
    let stranger = world.offer(TenantId::from_u128(77), offered(Some(OFFER)));
    for (to, why) in [(stranger, "no such call"), (CallId::from_u128(99), "no such call")] {
        let run = world.guest().run;
        world.ask_as(run, give(2, to));
        world.pass_ms(2);
        let port = world.port(2);
        world.press_on(port, '3');
        world.pass_ms(20);
        assert!(matches!(world.take(), Some(Outcome::Failed(StepError::Unavailable(words))) if words.contains(why)));
        assert!(matches!(world.event(), GuestEvent::Digit(Digit { leg: 2, digit: '3', .. })), "what came waited");
    }
    assert_eq!(world.ask(bridge(1, 2)), Some(Outcome::Done));
    assert!(!world.text().contains("LegGiven"));

    // One that is full, and one that is ending.
    let (mut world, other) = two_calls();
    for _ in 0..15 {
        world.ask_of(other, dial(&["never"]));
    }
    assert!(
        matches!(world.ask_and_wait(give(2, other)), Some(Outcome::Failed(StepError::Unavailable(why))) if why.contains("legs_per_call"))
    );
    world.ask_of(other, Step::Hangup { leg: None, reason: None });
    assert!(
        matches!(world.ask_and_wait(give(2, other)), Some(Outcome::Failed(StepError::Unavailable(why))) if why.contains("ending"))
    );
}

#[test]
fn what_cannot_be_given_is_refused() {
    let (mut world, other) = two_calls();
    let main = world.main;
    assert!(failed_argument(world.ask(Step::Give { leg: 2, to: "bob".to_owned() })).contains("`bob`"));
    assert!(failed_argument(world.ask(give(2, main))).contains("this call's already"));
    world.ask(dial(&["never"]));
    assert!(failed_state(world.ask(give(3, other))).contains("not answered"));
    let run = world.guest().run;
    world.ask_as(run, Step::SendDigits { leg: 2, digits: "123456".to_owned() });
    world.trap();
    assert!(!world.is_over());

    let mut world = World::new(1);
    assert!(failed_state(world.ask(give(1, CallId::from_u128(9)))).contains("not answered"));
}

#[test]
fn a_call_that_ends_while_a_leg_is_on_offer_waits_for_the_answer() {
    for is_taken in [true, false] {
        let (mut world, other) = two_calls();
        world.delays_ms = vec![100];
        let to = if is_taken { other } else { CallId::from_u128(99) };
        let run = world.guest().run;
        world.ask_as(run, give(2, to));
        world.pass_ms(5);
        let key = world.dialog(2);
        world.bye();
        world.end_guest(GuestEnd::Ok);
        world.pass_ms(50);
        assert!(!world.is_over(), "the leg is still its own");
        world.pass_ms(300);
        assert!(world.is_over());
        assert_eq!(world.dialogs[&key] == Dialog::Standing, is_taken);
        super::flows::tiles(&world);
    }
}

#[test]
fn frames_of_a_given_leg_are_counted_once_by_two_calls() {
    let (mut world, other) = two_calls();
    world.pass_ms(1_000);
    world.ask(give(2, other));
    world.pass_ms(1_000);
    for call in [world.main, other] {
        world.hang_up(call);
    }
    world.pass_ms(6_000);
    assert!(world.all_over());
    let counted: u64 = world.books.values().flat_map(|book| book.rows.values()).map(|row| row.usage.frames_sent).sum();
    assert_eq!(counted, world.frames_sent());
}

#[test]
fn messages_go_from_call_to_call() {
    let (mut world, other) = two_calls();
    let send = |to: CallId, body: &str| Step::Send { to: to.to_string(), body: body.to_owned() };
    assert_eq!(world.ask(send(other, "{}")), Some(Outcome::Done));
    let main = world.main.to_string();
    assert_eq!(world.event_of(other), GuestEvent::Message(Message { sender: main, body: "{}".to_owned() }));
    let stranger = world.offer(TenantId::from_u128(77), offered(Some(OFFER)));
    for nobody in [stranger, CallId::from_u128(99)] {
        let outcome = world.ask(send(nobody, "{}"));
        assert_eq!(outcome, Some(Outcome::Failed(StepError::Unavailable("there is no such call".to_owned()))));
    }
    assert!(failed_argument(world.ask(send(other, &"x".repeat(70_000)))).contains("65536"));
    for _ in 0..256 {
        assert_eq!(world.ask(send(other, "{}")), Some(Outcome::Done));
    }
    assert!(
        matches!(world.ask(send(other, "{}")), Some(Outcome::Failed(StepError::Unavailable(why))) if why.contains("too many"))
    );
}

// One owner of a leg at every moment. The world watches it with every input.

#[derive(Clone, Debug)]
enum Act {
    Give { from: usize, leg: u32, to: usize },
    Dial(usize, bool),
    Bridge(usize, u32, u32),
    Digit(usize, u32),
    Leave(usize, u32),
    TakePlace(usize, u32),
    Transfer { from: usize, leg: u32, of: usize, replaced: u32 },
    End(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let (call, leg) = (0usize..3, 1u32..5);
    prop_oneof![
        6 => (call.clone(), leg.clone(), call.clone()).prop_map(|(from, leg, to)| Act::Give { from, leg, to }),
        2 => (call.clone(), any::<bool>()).prop_map(|(call, answers)| Act::Dial(call, answers)),
        2 => (call.clone(), leg.clone(), leg.clone()).prop_map(|(call, a, b)| Act::Bridge(call, a, b)),
        2 => (call.clone(), leg.clone()).prop_map(|(call, leg)| Act::Digit(call, leg)),
        1 => (call.clone(), leg.clone()).prop_map(|(call, leg)| Act::Leave(call, leg)),
        1 => (call.clone(), leg.clone()).prop_map(|(call, leg)| Act::TakePlace(call, leg)),
        2 => (call.clone(), leg.clone(), call.clone(), leg).prop_map(|(from, leg, of, replaced)| Act::Transfer { from, leg, of, replaced }),
        1 => call.prop_map(Act::End),
        8 => (0u64..80).prop_map(Act::Pass),
    ]
}

fn live(world: &mut World, calls: &[CallId], act: Act) {
    let is_there = |world: &World, call: usize| world.live_calls().contains(&calls[call]);
    let ask = |world: &mut World, call: usize, step: Step| {
        if let Some(guest) = world.guest_of(calls[call]).cloned()
            && world.open_asks.iter().all(|(asking, _)| *asking != guest.run)
        {
            world.ask_as(guest.run, step);
        }
    };
    match act {
        Act::Give { from, leg, to } => ask(world, from, give(leg, calls[to])),
        Act::Dial(call, answers) => ask(world, call, dial(&[if answers { "ok" } else { "never" }])),
        Act::Bridge(call, a, b) => ask(world, call, bridge(a, b)),
        Act::Pass(ms) => world.pass_ms(ms),
        Act::End(call) => world.hang_up(calls[call]),
        Act::Digit(call, leg) if is_there(world, call) => {
            if let Some(key) = world.keys_of(calls[call], leg).map(|(port, _)| port) {
                world.press_on(key, '1');
            }
        }
        Act::Leave(call, leg) if is_there(world, call) => {
            if let Some((_, key)) = world.keys_of(calls[call], leg) {
                world.far_end_leaves(key);
            }
        }
        Act::TakePlace(call, leg) if is_there(world, call) => {
            if let Some((_, key)) = world.keys_of(calls[call], leg).filter(|(_, key)| world.owner(*key).is_some()) {
                world.takes_place(key, offered(Some(OFFER)));
            }
        }
        Act::Transfer { from, leg, of, replaced } if is_there(world, from) && is_there(world, of) => {
            let referrer = world.keys_of(calls[from], leg);
            let replaced = world.keys_of(calls[of], replaced);
            if let (Some((_, referrer)), Some((_, replaced))) = (referrer, replaced) {
                let to = "sip:q@example.org".to_owned();
                world.far_end(referrer, LegEvent::Referred { to: to.clone(), by: None, replaces: Some(replaced) });
                ask(world, from, Step::AnswerRefer { leg, status: 202 });
                world.pass_ms(3);
                ask(world, from, dial(&[&to]));
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2_048), ..ProptestConfig::default() })]

    #[test]
    fn a_leg_has_one_owner_at_every_moment(
        delays in proptest::collection::vec(0u64..60, 1..6),
        acts in proptest::collection::vec(act(), 0..60),
    ) {
        let mut world = World::empty(application(2), Manners::default());
        let calls: Vec<_> = (0..3).map(|_| world.offer(TENANT, offered(Some(OFFER)))).collect();
        for call in &calls {
            world.ask_of(*call, Step::Answer { headers: vec![] });
            world.ask_of(*call, dial(&["ok"]));
        }
        world.pass_ms(150);
        world.delays_ms = delays;
        for act in acts {
            live(&mut world, &calls, act);
        }
        for call in &calls {
            world.hang_up(*call);
        }
        world.pass_ms(200_000);
        prop_assert!(world.all_over(), "calls that never end: {:?}", world.live_calls());
        prop_assert!(world.open_asks.is_empty(), "never answered: {:?}", world.open_asks);
        prop_assert!(world.dialogs.values().all(|dialog| *dialog == Dialog::Ended), "{:?}", world.dialogs);
        let counted: u64 = world.books.values().flat_map(|book| book.rows.values()).map(|row| row.usage.frames_sent).sum();
        prop_assert!(counted <= world.frames_sent(), "{} frames of {} were counted", counted, world.frames_sent());
        for call in &calls {
            super::flows::tiles_of(&world, *call);
            let text = world.text_of(*call);
            prop_assert_eq!(text.matches("StepStarted").count(), text.matches("StepEnded").count());
            let begun = text.matches("LegStarted").count() + text.matches("LegAdopted").count();
            let gone = text.matches("LegEnded").count() + text.matches("LegGiven").count();
            // A leg that comes in the place of one that was dialled has begun twice.
            let taken = text.matches("LegAdopted").count();
            prop_assert!(begun >= gone && begun - gone <= taken, "{}", text);
        }
    }
}
