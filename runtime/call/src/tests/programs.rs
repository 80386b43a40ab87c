//! Random lives: whatever happens, in whatever order, what a call promises holds.

use callbox_model::*;
use proptest::prelude::*;

use super::drivers::{Dialog, Manners};
use super::world::{OFFER, TENANT, World, application, header, offered};
use crate::{GuestEnd, Input};

#[derive(Clone, Debug)]
enum Act {
    Ask(Step),
    /// A step of a module that is not in control.
    Stray(Step),
    Press(u32, char),
    Pass(u64),
    Trap,
    Return,
    ReturnError,
    Leave(u32),
    HangUp,
    Message,
    FarEnd(u32, LegEvent),
    TakePlace(u32, bool),
    Silent(u32),
    /// The second call gives a leg of its own, or ends.
    Given,
    OtherEnds,
    StrayReply(u32),
    StrayPlayed(u32),
    StrayAnswer,
}

/// Targets behave as their names say.
const TARGETS: &[&str] = &[
    "ok",
    "busy",
    "never",
    "slow",
    "early",
    "ok+never",
    "decline+ok",
    "plain",
    "evil",
    "nobody",
    "mute",
    "six",
    "early_slow",
    "unresolvable",
];

fn leg() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![4 => Just(1u32), 4 => Just(2), 2 => Just(3), 1 => 4u32..7]
}

fn target() -> impl Strategy<Value = String> + Clone {
    (0..TARGETS.len()).prop_map(|place| TARGETS[place].to_owned())
}

fn media_step() -> impl Strategy<Value = Step> {
    let sources = prop_oneof![
        Just(vec![]),
        (1u32..3_000).prop_map(|length| vec![Source::Tone { first: 440, second: None, length }]),
        Just(vec![Source::Text(Speech { text: "hello".to_owned(), voice: None, language: None })]),
    ];
    let digits = prop_oneof![Just(None), Just(Some("#".to_owned())), Just(Some("12".to_owned()))];
    let of = prop_oneof![Just(None), leg().prop_map(Some)];
    prop_oneof![
        (sources.clone(), digits.clone(), 0u32..3, any::<bool>(), of.clone()).prop_map(
            |(sources, stop_on, repeat, wait, leg)| {
                let options = PlayOptions { stop_on, repeat: Some(repeat), leg, ..PlayOptions::default() };
                Step::Play { sources, options, wait }
            }
        ),
        (sources, 0u32..4, any::<bool>(), any::<bool>(), of.clone()).prop_map(|(prompt, max, sensitive, wait, leg)| {
            let options = GatherOptions { max: Some(max), sensitive: Some(sensitive), leg, ..GatherOptions::default() };
            Step::Gather { prompt, options, wait }
        }),
        (digits, 1u32..5_000, any::<bool>(), of).prop_map(|(stop_on, max, wait, leg)| {
            let options = RecordOptions { stop_on, max: Some(max), leg, ..RecordOptions::default() };
            Step::Record { options, wait }
        }),
        (0u32..8).prop_map(|step| Step::Stop { step }),
        (0u32..8).prop_map(|step| Step::PauseRecord { step, silence: true }),
        (0u32..8).prop_map(|step| Step::ResumeRecord { step }),
    ]
}

fn leg_step() -> impl Strategy<Value = Step> {
    let digits = prop_oneof![Just(BridgeDigits::Pass), Just(BridgeDigits::Keep)];
    let options = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(in_turn, early_media, limited, digits)| DialOptions {
            order: in_turn.then_some(DialOrder::OneByOne),
            early_media: Some(early_media),
            timeout: Some(3_000),
            time_limit: limited.then_some(2_000),
            send_digits: digits.then(|| "1w2".to_owned()),
            headers: vec![header("X-A", "1")],
            caller_id: None,
        },
    );
    let to = prop_oneof![
        target().prop_map(ReferTarget::Address),
        Just(ReferTarget::Address("sip:refuse@example.org".to_owned())),
        leg().prop_map(ReferTarget::Leg)
    ];
    prop_oneof![
        6 => (proptest::collection::vec(target(), 1..4), options).prop_map(|(targets, options)| Step::Dial { targets, options }),
        // What a far end may have asked for.
        2 => Just(Step::Dial { targets: vec!["sip:ok@x".to_owned()], options: DialOptions::default() }),
        4 => (leg(), leg(), digits).prop_map(|(a, b, digits)| Step::Bridge { a, b, digits }),
        1 => leg().prop_map(|leg| Step::Part { leg }),
        2 => leg().prop_map(|leg| Step::Hold { leg }),
        1 => leg().prop_map(|leg| Step::Resume { leg }),
        2 => (leg(), to).prop_map(|(leg, to)| Step::Refer { leg, to, timeout: Some(1_000) }),
        3 => (leg(), 200u16..700).prop_map(|(leg, status)| Step::AnswerRefer { leg, status: if status < 500 { 202 } else { status } }),
        2 => (leg(), 2u128..4).prop_map(|(leg, to)| Step::Give { leg, to: CallId::from_u128(to).to_string() }),
        1 => (1u128..4).prop_map(|to| Step::Send { to: CallId::from_u128(to).to_string(), body: "{}".to_owned() }),
        2 => leg().prop_map(|leg| Step::SendDigits { leg, digits: "1w2".to_owned() }),
        1 => leg().prop_map(|leg| Step::Hangup { leg: Some(leg), reason: None }),
        1 => leg().prop_map(|leg| Step::LegHeaders { leg }),
        1 => Just(Step::Legs),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Info),
        1 => any::<bool>().prop_map(|early_media| Step::Ring { early_media }),
        3 => Just(Step::Answer { headers: vec![] }),
        1 => (200u16..700).prop_map(|status| Step::Reject { status, reason: String::new(), headers: vec![] }),
        1 => Just(Step::Hangup { leg: None, reason: None }),
        4 => media_step(),
        12 => leg_step(),
        4 => prop_oneof![Just(None), (0u32..2_000).prop_map(Some)].prop_map(|timeout| Step::Next { timeout }),
        1 => Just(Step::Checkpoint { state: vec![7] }),
    ]
}

fn far_event() -> impl Strategy<Value = LegEvent> {
    let body = |direction: &str| Some(format!("{OFFER}{direction}").into_bytes());
    prop_oneof![
        Just(LegEvent::Reoffered { body: body("a=sendonly\r\n") }),
        Just(LegEvent::Reoffered { body: body("") }),
        Just(LegEvent::Reoffered { body: None }),
        Just(LegEvent::Reconfirmed { body: OFFER.as_bytes().to_vec() }),
        Just(LegEvent::Reanswered { body: body("") }),
        Just(LegEvent::Digit { digit: '1', length_ms: 100 }),
        Just(LegEvent::Referred { to: "sip:ok@x".to_owned(), by: None, replaces: None }),
        Just(LegEvent::Referred { to: "sip:ok@x".to_owned(), by: None, replaces: Some(LegKey(9_999)) }),
        (100u16..700, any::<bool>()).prop_map(|(status, is_final)| LegEvent::ReferProgress { status, is_final }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => step().prop_map(Act::Ask),
        1 => step().prop_map(Act::Stray),
        4 => (leg(), prop_oneof![Just('1'), Just('2'), Just('#')]).prop_map(|(leg, digit)| Act::Press(leg, digit)),
        8 => (0u64..4_000).prop_map(Act::Pass),
        6 => (0u64..150).prop_map(Act::Pass),
        1 => Just(Act::Trap),
        1 => Just(Act::Return),
        1 => Just(Act::ReturnError),
        2 => leg().prop_map(Act::Leave),
        1 => Just(Act::HangUp),
        1 => Just(Act::Message),
        4 => (leg(), far_event()).prop_map(|(leg, event)| Act::FarEnd(leg, event)),
        2 => (leg(), any::<bool>()).prop_map(|(leg, has_offer)| Act::TakePlace(leg, has_offer)),
        1 => leg().prop_map(Act::Silent),
        1 => Just(Act::Given),
        1 => Just(Act::OtherEnds),
        1 => (0u32..8).prop_map(Act::StrayReply),
        1 => (0u32..8).prop_map(Act::StrayPlayed),
        1 => Just(Act::StrayAnswer),
    ]
}

fn live(world: &mut World, act: Act) {
    let runs = world.guest_of(world.main).is_some();
    let other = CallId::from_u128(2);
    let keys = |world: &World, leg: u32| world.keys_of(world.main, leg);
    match act {
        Act::Ask(step) if runs => {
            let run = world.guest().run;
            // A guest waits for its outcome before it asks again.
            if world.open_asks.iter().all(|(asking, _)| *asking != run) {
                world.ask_as(run, step);
            }
        }
        Act::Stray(step) => {
            let run = RunId::from_u128(99);
            world.input(Input::Step { run, ask: u64::MAX, step });
        }
        Act::Press(leg, digit) => {
            if let Some((port, _)) = keys(world, leg) {
                world.press_on(port, digit);
            }
        }
        Act::Pass(ms) => world.pass_ms(ms),
        Act::Trap if runs => world.trap(),
        Act::Return if runs => world.end_guest(GuestEnd::Ok),
        Act::ReturnError if runs => world.end_guest(GuestEnd::Err(StepError::Timeout)),
        Act::Leave(leg) => {
            if let Some((_, dialog)) = keys(world, leg) {
                world.far_end_leaves(dialog);
            }
        }
        Act::HangUp => world.input(Input::HangUp { by: "operator".to_owned() }),
        Act::Message => world.input(Input::Message { sender: "api".to_owned(), body: "{}".to_owned() }),
        Act::FarEnd(leg, event) => {
            if let Some((_, dialog)) = keys(world, leg) {
                world.far_end(dialog, event);
            }
        }
        Act::TakePlace(leg, has_offer) => {
            if let Some((_, dialog)) = keys(world, leg).filter(|(_, dialog)| world.owner(*dialog).is_some()) {
                world.takes_place(dialog, offered(has_offer.then_some(OFFER)));
            }
        }
        Act::Silent(leg) => {
            if let Some((port, _)) = keys(world, leg) {
                world.input(Input::Media(port, MediaEvent::Silent { for_ms: 30_000 }));
            }
        }
        Act::Given => {
            let run = world.guest_of(other).map(|guest| guest.run);
            if let Some(run) = run.filter(|run| world.open_asks.iter().all(|(asking, _)| asking != run)) {
                world.ask_as(run, Step::Give { leg: 2, to: world.main.to_string() });
            }
        }
        Act::OtherEnds => world.hang_up(other),
        Act::StrayReply(ask) => {
            world.input(Input::Leg(LegKey(1), LegEvent::Reply { ask: 1_000 + ask, result: Ok(()) }));
        }
        Act::StrayPlayed(step) => {
            let end = PlayEnd::Finished;
            world.input(Input::Media(LegKey(1), MediaEvent::Played { step: 1_000 + step, played: 0, end }));
        }
        Act::StrayAnswer => {
            world.input(Input::Resolved { ask: 7_777, result: Ok(vec![]) });
            let peer = CallId::from_u128(5);
            world.input(Input::Peer(peer, crate::PeerMessage::Adopted { leg: LegKey(1) }));
            world.input(Input::Peer(peer, crate::PeerMessage::Declined { leg: LegKey(1), why: String::new() }));
            world.input(Input::Peer(peer, crate::PeerMessage::NotTaken { ask: 3, why: String::new() }));
            world.input(Input::Peer(peer, crate::PeerMessage::Sent { ask: 3, result: Ok(()) }));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(4_096), ..ProptestConfig::default() })]

    #[test]
    fn what_a_call_promises_holds(
        handlers in 0usize..4,
        begin in 0u8..5,
        manners in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        acts in proptest::collection::vec(act(), 0..80),
    ) {
        let has_offer = begin > 0;
        let manners = Manners {
            refuse_open: manners.0 && manners.1,
            deaf: manners.1 && manners.2,
            no_voice: manners.0,
            refuse_bridge: manners.2 && manners.3,
            late_answer: manners.3.then(|| OFFER.as_bytes().to_vec()),
        };
        let mut world = World::empty(application(handlers), manners);
        if begin == 4 {
            world.dial(TENANT, &["ok"]);
        } else {
            world.offer(TENANT, offered(has_offer.then_some(OFFER)));
        }
        let other = world.offer(TENANT, offered(Some(OFFER)));
        if world.guest_of(other).is_some() {
            world.ask_of(other, Step::Answer { headers: vec![] });
            world.ask_of(other, super::dialling::dial(&["ok"]));
        }
        for act in acts {
            if world.is_over() {
                break;
            }
            live(&mut world, act);
        }
        // All far ends go; a module that does not end by itself is ended; then nothing is left.
        for _ in 0..2 {
            for call in world.live_calls() {
                world.hang_up(call);
            }
            for key in world.dialogs.keys().copied().collect::<Vec<_>>() {
                world.far_end_leaves(key);
            }
            world.pass_ms(200_000);
        }
        prop_assert!(world.all_over(), "it never ends: {}", world.text());
        prop_assert!(world.open_asks.is_empty(), "never answered: {:?}", world.open_asks);
        if !world.manners.deaf {
            prop_assert!(world.dialogs.values().all(|dialog| *dialog == Dialog::Ended), "{:?}", world.dialogs);
        }
        for call in [world.main, other] {
            super::flows::tiles_of(&world, call);
            let text = world.text_of(call);
            let count = |word: &str| text.matches(word).count();
            prop_assert_eq!(count("StepStarted"), count("StepEnded"), "a step without an end: {}", text);
            // One that came in the place of a dialled one has begun twice.
            let begun = count("LegStarted") + count("LegAdopted");
            let gone = count("LegEnded") + count("LegGiven");
            prop_assert!(begun >= gone && begun - gone <= count("LegAdopted"), "a leg without an end: {}", text);
            prop_assert!(count("CallAnswered") <= 1, "answered twice");
        }
        let first = world.sent.iter().filter(|(key, command)| *key == LegKey(1) && matches!(command, LegCommand::Answer { .. }));
        prop_assert!(first.count() <= 1, "answered twice");
    }
}
