//! Random lives: whatever happens, in whatever order, what a call promises holds.

use callbox_model::*;
use proptest::prelude::*;

use super::drivers::Manners;
use super::world::{LEG, OFFER, World, application, offered};
use crate::{GuestEnd, Input};

#[derive(Clone, Debug)]
enum Act {
    Ask(Step),
    /// A step of a module that is not in control.
    Stray(Step),
    Press(char),
    Pass(u64),
    Trap,
    Return,
    ReturnError,
    Bye,
    HangUp,
    Message,
    Reoffer(bool),
    Silent,
    StrayReply(u32),
    StrayPlayed(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let sources = prop_oneof![
        Just(vec![]),
        (1u32..3_000).prop_map(|length| vec![Source::Tone { first: 440, second: None, length }]),
        Just(vec![Source::Text(Speech { text: "hello".to_owned(), voice: None, language: None })]),
    ];
    let digits = prop_oneof![Just(None), Just(Some("#".to_owned())), Just(Some("12".to_owned()))];
    prop_oneof![
        Just(Step::Info),
        any::<bool>().prop_map(|early_media| Step::Ring { early_media }),
        Just(Step::Answer { headers: vec![] }),
        Just(Step::Answer { headers: vec![] }),
        (200u16..700).prop_map(|status| Step::Reject { status, reason: String::new(), headers: vec![] }),
        Just(Step::Hangup { leg: None, reason: None }),
        (sources.clone(), digits.clone(), 0u32..3, any::<bool>()).prop_map(|(sources, stop_on, repeat, wait)| {
            let options = PlayOptions { stop_on, repeat: Some(repeat), ..PlayOptions::default() };
            Step::Play { sources, options, wait }
        }),
        (sources, 0u32..4, any::<bool>(), any::<bool>()).prop_map(|(prompt, max, sensitive, wait)| {
            let options = GatherOptions { max: Some(max), sensitive: Some(sensitive), ..GatherOptions::default() };
            Step::Gather { prompt, options, wait }
        }),
        (digits, 1u32..5_000, any::<bool>()).prop_map(|(stop_on, max, wait)| {
            let options = RecordOptions { stop_on, max: Some(max), ..RecordOptions::default() };
            Step::Record { options, wait }
        }),
        (0u32..8).prop_map(|step| Step::Stop { step }),
        (0u32..8).prop_map(|step| Step::PauseRecord { step, silence: true }),
        prop_oneof![Just(None), (0u32..2_000).prop_map(Some)].prop_map(|timeout| Step::Next { timeout }),
        Just(Step::Checkpoint { state: vec![7] }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => step().prop_map(Act::Ask),
        1 => step().prop_map(Act::Stray),
        4 => prop_oneof![Just('1'), Just('2'), Just('#')].prop_map(Act::Press),
        6 => (0u64..4_000).prop_map(Act::Pass),
        1 => Just(Act::Trap),
        1 => Just(Act::Return),
        1 => Just(Act::ReturnError),
        1 => Just(Act::Bye),
        1 => Just(Act::HangUp),
        1 => Just(Act::Message),
        1 => any::<bool>().prop_map(Act::Reoffer),
        1 => Just(Act::Silent),
        1 => (0u32..8).prop_map(Act::StrayReply),
        1 => (0u32..8).prop_map(Act::StrayPlayed),
    ]
}

fn live(world: &mut World, act: Act) {
    let runs = world.guests.iter().any(|guest| guest.is_running);
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
        Act::Press(digit) => world.press(digit),
        Act::Pass(ms) => world.pass_ms(ms),
        Act::Trap if runs => world.trap(),
        Act::Return if runs => world.end_guest(GuestEnd::Ok),
        Act::ReturnError if runs => world.end_guest(GuestEnd::Err(StepError::Timeout)),
        Act::Bye => world.bye(),
        Act::HangUp => world.input(Input::HangUp { by: "operator".to_owned() }),
        Act::Message => world.input(Input::Message { sender: "api".to_owned(), body: "{}".to_owned() }),
        Act::Reoffer(hold) => {
            let direction = if hold { "a=sendonly\r\n" } else { "" };
            let body = Some(format!("{OFFER}{direction}").into_bytes());
            world.input(Input::Leg(LEG, LegEvent::Reoffered { body }));
        }
        Act::Silent => world.input(Input::Media(LEG, MediaEvent::Silent { for_ms: 30_000 })),
        Act::StrayReply(ask) => {
            world.input(Input::Leg(LEG, LegEvent::Reply { ask: 1_000 + ask, result: Ok(()) }));
        }
        Act::StrayPlayed(step) => {
            let end = PlayEnd::Finished;
            world.input(Input::Media(LEG, MediaEvent::Played { step: 1_000 + step, played: 0, end }));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(4_096), ..ProptestConfig::default() })]

    #[test]
    fn what_a_call_promises_holds(
        handlers in 0usize..4,
        has_offer in any::<bool>(),
        manners in (any::<bool>(), any::<bool>(), any::<bool>()),
        acts in proptest::collection::vec(act(), 0..60),
    ) {
        let manners = Manners {
            refuse_open: manners.0 && manners.1,
            deaf: manners.1 && manners.2,
            no_voice: manners.0,
            refuse_bridge: false,
            late_answer: (!has_offer).then(|| OFFER.as_bytes().to_vec()),
        };
        let mut world = World::with(application(handlers), offered(has_offer.then_some(OFFER)), manners);
        for act in acts {
            if world.is_over() {
                break;
            }
            live(&mut world, act);
        }
        // The caller goes; a module that does not end by itself is ended; then nothing is left.
        if !world.is_over() {
            world.bye();
            world.pass_ms(200_000);
        }
        prop_assert!(world.is_over(), "it never ends: {}", world.text());
        prop_assert!(world.open_asks.is_empty(), "never answered: {:?}", world.open_asks);
        prop_assert!(world.rows().values().all(|row| row.end.is_some()), "an open row: {:?}", world.rows());
        let Some(Change::CallEnded { duration_us, connected_us, .. }) = world.events().last().map(|event| &event.change) else {
            return Err(TestCaseError::fail("the last event is not the call's end"));
        };
        let held: u64 = world.rows().values().map(|row| row.usage.holding_us).sum();
        let connected: u64 = world.rows().values().map(|row| row.usage.connected_us).sum();
        prop_assert_eq!(held, *duration_us, "the rows do not tile the call: {:#?}", world.rows());
        prop_assert_eq!(connected, *connected_us);
        let answers = world.leg_commands.iter().filter(|command| matches!(command, LegCommand::Answer { .. })).count();
        prop_assert!(answers <= 1, "answered twice");
        let begun = world.text().matches("StepStarted").count();
        let ended = world.text().matches("StepEnded").count();
        prop_assert_eq!(begun, ended, "a step without an end: {}", world.text());
    }
}
