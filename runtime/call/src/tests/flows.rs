//! What a module, a caller and an operator see, flow by flow.

use callbox_model::*;

use super::drivers::Manners;
use super::world::{LEG, OFFER, World, application, offered};
use crate::{GuestEnd, Input};

pub(super) fn text(words: &str) -> Source {
    Source::Text(Speech { text: words.to_owned(), voice: None, language: None })
}

pub(super) fn tone(length: u32) -> Vec<Source> {
    vec![Source::Tone { first: 440, second: None, length }]
}

pub(super) fn play(sources: Vec<Source>) -> Step {
    Step::Play { sources, options: PlayOptions::default(), wait: true }
}

pub(super) fn gather(options: GatherOptions) -> Step {
    Step::Gather { prompt: vec![], options, wait: true }
}

pub(super) fn gathered(digits: &str, by: GatheredBy) -> Option<Outcome> {
    Some(Outcome::Gathered(Gathered { digits: digits.to_owned(), by }))
}

pub(super) fn failed_state(outcome: Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::Failed(StepError::State(why))) => why,
        other => panic!("{other:?}"),
    }
}

pub(super) fn failed_argument(outcome: Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::Failed(StepError::Argument(why))) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_call() {
    let mut world = World::new(1);
    let info = world.guest().info.clone();
    assert_eq!((info.caller.as_str(), info.number.as_str(), info.answered), ("sip:alice@192.0.2.9", "100", false));
    let names: Vec<_> = info.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["Subject", "X-Trace"], "the allow-list holds");

    assert_eq!(world.ask(Step::Ring { early_media: false }), Some(Outcome::Done));
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
    assert!(matches!(world.media_commands[0], MediaCommand::Open(_)));
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done), "answering twice is no error");

    assert_eq!(world.ask(play(vec![text("hello")])), None);
    world.pass_ms(2_000);
    assert_eq!(world.take(), Some(Outcome::Played(Played { length: 2_000, stopped_by: None })));

    assert_eq!(world.ask(Step::Hangup { leg: None, reason: None }), Some(Outcome::Done));
    world.pass_ms(10);
    assert!(matches!(world.ask(Step::Next { timeout: None }), Some(Outcome::Event(Some(GuestEvent::Ended(_))))));
    assert!(matches!(world.ask(play(tone(1))), Some(Outcome::Failed(StepError::Ended(_)))));
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(10);
    assert!(world.is_over());
    assert_eq!(world.kinds(), ["call.started", "control.started", "call.answered", "control.ended", "call.ended"]);
    let row = world.rows().values().next().unwrap();
    assert_eq!(world.rows().len(), 1);
    assert_eq!(row.end.as_ref().unwrap().reason, EndReason::Returned);
    assert_eq!(row.usage.cpu_ns, 1_000);
    assert!(row.usage.connected_us > 2_000_000 && row.usage.connected_us < row.usage.holding_us);
}

#[test]
fn early_media_opens_before_the_answer() {
    let mut world = World::new(1);
    assert!(failed_state(world.ask(play(tone(100)))).contains("answer first"));
    assert_eq!(world.ask(Step::Ring { early_media: true }), Some(Outcome::Done));
    assert_eq!(world.ask(play(tone(100))), None);
    world.pass_ms(200);
    assert!(matches!(world.take(), Some(Outcome::Played(_))));
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
    let bodies: Vec<_> = world
        .leg_commands
        .iter()
        .filter_map(|command| match command {
            LegCommand::Ring { body, .. } => body.clone(),
            LegCommand::Answer { body, .. } => Some(body.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1], "RFC 3261 13.2.1: the answer does not change between 183 and 200");
}

#[test]
fn rejecting_needs_a_status_that_rejects() {
    let mut world = World::new(1);
    let reject = |status| Step::Reject { status, reason: "busy".to_owned(), headers: vec![] };
    assert!(failed_argument(world.ask(reject(200))).contains("300 to 699"));
    assert!(failed_argument(world.ask(reject(302))).contains("Contact"));
    assert_eq!(world.ask(reject(486)), Some(Outcome::Done));
    world.pass_ms(10);
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(10);
    assert!(world.is_over());
    assert!(world.text().contains("answered: false"), "{}", world.text());
}

#[test]
fn a_caller_who_hangs_up_ends_what_is_waited_for() {
    let mut world = World::answered(1);
    world.ask(gather(GatherOptions::default()));
    world.bye();
    world.pass_ms(5);
    assert!(matches!(world.take(), Some(Outcome::Failed(StepError::Ended(EndCause { remote: true, .. })))));
    // Its notes.
    assert_eq!(world.ask(Step::Checkpoint { state: vec![1] }), Some(Outcome::Done));
    world.pass_ms(4_000);
    assert!(!world.is_over());
    world.pass_ms(2_000);
    assert!(world.is_over(), "the grace is over");
    assert_eq!(world.rows().values().next().unwrap().end.as_ref().unwrap().reason, EndReason::CallEnded);
}

#[test]
fn gathering() {
    let mut world = World::answered(1);
    let four = GatherOptions { max: Some(4), ..GatherOptions::default() };
    world.ask(gather(four.clone()));
    for digit in "1234".chars() {
        world.press(digit);
    }
    assert_eq!(world.take(), gathered("1234", GatheredBy::Max));

    world.ask(gather(four.clone()));
    world.press('7');
    world.press('#');
    assert_eq!(world.take(), gathered("7", GatheredBy::Terminator));

    world.ask(gather(four.clone()));
    world.pass_ms(4_000);
    assert_eq!(world.take(), None);
    world.pass_ms(1_100);
    assert_eq!(world.take(), gathered("", GatheredBy::Timeout));

    world.ask(gather(four.clone()));
    world.press('8');
    world.pass_ms(3_100);
    assert_eq!(world.take(), gathered("8", GatheredBy::Timeout));

    // Pressed before it was asked for.
    world.press('1');
    world.press('2');
    let two = GatherOptions { max: Some(2), ..GatherOptions::default() };
    assert_eq!(
        world.ask(Step::Gather { prompt: tone(9_000), options: two, wait: true }),
        gathered("12", GatheredBy::Max)
    );
    assert!(!world.media_commands.iter().any(|command| matches!(command, MediaCommand::Play { .. })));

    let wrong = GatherOptions { min: Some(5), max: Some(4), ..GatherOptions::default() };
    assert!(failed_argument(world.ask(gather(wrong))).contains("max: 4 is not within 5 to 128"));
}

#[test]
fn the_first_digit_stops_the_prompt_and_the_time_counts_from_its_end() {
    let mut world = World::answered(1);
    let options = GatherOptions { max: Some(2), ..GatherOptions::default() };
    world.ask(Step::Gather { prompt: tone(60_000), options: options.clone(), wait: true });
    world.pass_ms(20_000);
    assert_eq!(world.take(), None, "the prompt still plays");
    world.press('3');
    assert!(world.media_commands.iter().any(|command| matches!(command, MediaCommand::StopPlay { .. })));
    world.press('4');
    assert_eq!(world.take(), gathered("34", GatheredBy::Max));

    world.ask(Step::Gather { prompt: tone(10_000), options, wait: true });
    world.pass_ms(14_900);
    assert_eq!(world.take(), None);
    world.pass_ms(200);
    assert_eq!(world.take(), gathered("", GatheredBy::Timeout));
}

#[test]
fn sensitive_digits_reach_the_module_alone() {
    let mut world = World::answered(2);
    world.press('9');
    let options = GatherOptions { max: Some(4), sensitive: Some(true), ..GatherOptions::default() };
    world.ask(gather(options));
    for digit in "753".chars() {
        world.press(digit);
    }
    assert_eq!(world.take(), gathered("9753", GatheredBy::Max));
    let wanted = [MediaCommand::Sensitive(true), MediaCommand::Sensitive(false)];
    assert!(wanted.iter().all(|command| world.media_commands.contains(command)));
    assert!(world.text().contains("****"));
    for digit in ["'9'", "\"9", "753"] {
        assert!(!world.text().contains(digit), "{digit} in {}", world.text());
    }
    world.trap();
    assert_eq!(world.guest().info.predecessor.as_ref().unwrap().digits, "****");
}

#[test]
fn a_digit_of_stop_on_ends_the_sound_and_stays_in_line() {
    let mut world = World::answered(1);
    let options = PlayOptions { stop_on: Some("*0".to_owned()), ..PlayOptions::default() };
    world.ask(Step::Play { sources: tone(60_000), options, wait: true });
    world.press('5');
    assert_eq!(world.take(), None);
    world.press('0');
    let Some(Outcome::Played(played)) = world.take() else { panic!() };
    assert_eq!(played.stopped_by.as_deref(), Some("0"));
    for digit in ['5', '0'] {
        let Some(Outcome::Event(Some(GuestEvent::Digit(next)))) = world.ask(Step::Next { timeout: None }) else {
            panic!()
        };
        assert_eq!((next.digit, next.length), (digit, 100));
    }
    assert_eq!(world.ask(Step::Next { timeout: Some(50) }), None);
    world.pass_ms(60);
    assert_eq!(world.take(), Some(Outcome::Event(None)));
}

#[test]
fn steps_that_are_not_waited_for_are_told_of() {
    let mut world = World::answered(1);
    let start = |length| Step::Play { sources: tone(length), options: PlayOptions::default(), wait: false };
    let Some(Outcome::Started(first)) = world.ask(start(60_000)) else { panic!() };
    let Some(Outcome::Started(second)) = world.ask(start(500)) else { panic!() };
    let mut ends = Vec::new();
    world.pass_ms(600);
    for _ in 0..2 {
        let Some(Outcome::Event(Some(GuestEvent::Done(done)))) = world.ask(Step::Next { timeout: None }) else {
            panic!()
        };
        ends.push((done.step, *done.outcome));
    }
    assert_eq!(ends[0], (first, Outcome::Failed(StepError::Stopped)), "replaced");
    assert_eq!(ends[1], (second, Outcome::Played(Played { length: 500, stopped_by: None })));
    let Some(Outcome::Started(third)) = world.ask(start(60_000)) else { panic!() };
    assert_eq!(world.ask(Step::Stop { step: third }), Some(Outcome::Done));
    assert!(failed_state(world.ask(Step::Stop { step: 99 })).contains("step 99"));
}

#[test]
fn recording_beside_a_sound() {
    let mut world = World::answered(1);
    let options = RecordOptions { stop_on: Some("#".to_owned()), beep: Some(true), ..RecordOptions::default() };
    let Some(Outcome::Started(step)) = world.ask(Step::Record { options: options.clone(), wait: false }) else {
        panic!()
    };
    assert!(failed_state(world.ask(Step::Record { options, wait: true })).contains("being recorded"));
    assert_eq!(world.ask(Step::PauseRecord { step, silence: true }), Some(Outcome::Done));
    assert_eq!(world.ask(Step::ResumeRecord { step }), Some(Outcome::Done));
    world.ask(play(tone(500)));
    world.pass_ms(600);
    assert!(matches!(world.take(), Some(Outcome::Played(_))));
    world.press('#');
    let Some(Outcome::Event(Some(GuestEvent::Digit(_)))) = world.ask(Step::Next { timeout: None }) else { panic!() };
    let Some(Outcome::Event(Some(GuestEvent::Done(done)))) = world.ask(Step::Next { timeout: None }) else { panic!() };
    let Outcome::Recorded(recorded) = *done.outcome else { panic!() };
    assert_eq!(recorded.stopped_by.as_deref(), Some("#"));
    assert!(recorded.id.parse::<RecordingId>().is_ok());
}

#[test]
fn a_fault_hands_the_same_live_call_to_the_next() {
    let mut world = World::answered(2);
    assert_eq!(world.ask(Step::Checkpoint { state: b"step 2".to_vec() }), Some(Outcome::Done));
    let music = Step::Play {
        sources: tone(1_000),
        options: PlayOptions { repeat: Some(0), ..PlayOptions::default() },
        wait: false,
    };
    let Some(Outcome::Started(playing)) = world.ask(music) else { panic!() };
    world.press('4');
    let answers = world.leg_commands.len();
    let media = world.media_commands.len();
    world.trap();

    let heir = world.guest().info.clone();
    let predecessor = heir.predecessor.unwrap();
    assert!(heir.answered);
    assert_eq!(predecessor.module, "module-0");
    assert_eq!(predecessor.fault.code, FaultCode::TrapUnreachable);
    assert_eq!(predecessor.attempt, 1);
    assert_eq!(predecessor.state.as_deref(), Some(&b"step 2"[..]));
    assert_eq!(predecessor.digits, "4");
    assert_eq!(predecessor.steps, [playing]);
    assert_eq!(predecessor.legs[0].state, LegState::Answered);
    assert_eq!(world.leg_commands.len(), answers, "no second 200");
    let touched: Vec<_> =
        world.media_commands[media..].iter().filter(|command| !matches!(command, MediaCommand::Count { .. })).collect();
    assert!(touched.is_empty(), "the music plays on: {touched:?}");

    let Some(Outcome::Started(next)) =
        world.ask(Step::Play { sources: tone(100), options: PlayOptions::default(), wait: false })
    else {
        panic!()
    };
    assert!(next > playing, "step numbers are never used twice");
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(20);
    assert!(world.is_over());
    tiles(&world);
}

#[test]
fn steps_of_one_who_lost_control_change_nothing() {
    let mut world = World::answered(2);
    let old = world.guest().run;
    world.trap();
    let commands = world.leg_commands.len();
    world.open_asks.clear();
    world.input(Input::Step { run: old, ask: 77, step: Step::Hangup { leg: None, reason: None } });
    world.pass_ms(10);
    assert_eq!(world.leg_commands.len(), commands);
    assert_eq!(world.call().strays(), 1);
}

#[test]
fn after_the_last_handler_an_answered_caller_hears_an_apology() {
    let mut world = World::answered(1);
    world.trap();
    let said = world.media_commands.iter().any(
        |command| matches!(command, MediaCommand::Play { sounds, .. } if matches!(&sounds[0], Sound::Speech(speech) if speech.text.contains("sorry"))),
    );
    assert!(said);
    assert!(!world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })));
    world.pass_ms(2_100);
    assert!(world.is_over());
    assert_eq!(world.rows().len(), 2);
    assert!(world.rows().values().any(|row| row.module_name == "callbox" && row.usage.holding_us >= 2_000_000));
    tiles(&world);
}

#[test]
fn without_a_voice_the_apology_is_left_out() {
    let manners = Manners { no_voice: true, ..Manners::default() };
    let mut world = World::with(application(1), offered(Some(OFFER)), manners);
    world.ask(Step::Answer { headers: vec![] });
    world.pass_ms(5);
    world.trap();
    world.pass_ms(20);
    assert!(world.is_over());
}

#[test]
fn after_the_last_handler_a_ringing_caller_is_refused() {
    let mut world = World::new(1);
    world.trap();
    world.pass_ms(10);
    assert!(matches!(world.leg_commands[..], [LegCommand::Reject { status: 480, .. }]));
    assert!(world.is_over());
    tiles(&world);
}

#[test]
fn a_fault_while_the_answer_is_on_its_way() {
    let mut world = World::new(2);
    let run = world.guest().run;
    world.ask_as(run, Step::Answer { headers: vec![] });
    world.trap();
    assert!(!world.guest().info.answered);
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
    assert_eq!(world.leg_commands.len(), 1, "answered once");

    let mut world = World::new(1);
    let run = world.guest().run;
    world.ask_as(run, Step::Answer { headers: vec![] });
    world.pass_ms(1);
    world.trap();
    world.pass_ms(3_000);
    assert!(world.is_over(), "the apology was said after the answer");
    assert!(world.kinds().contains(&"call.answered"));
}

#[test]
fn handlers_that_cannot_be_started_are_passed_over() {
    let mut application = application(3);
    application.handlers[0].module = None;
    application.handlers[1].unusable = Some(Fault::new(FaultCode::ModuleDisabled, "switched off"));
    let world = World::with(application, offered(Some(OFFER)), Manners::default());
    assert_eq!(world.guests.len(), 1);
    let predecessor = world.guest().info.predecessor.clone().unwrap();
    assert_eq!((predecessor.fault.code, predecessor.attempt), (FaultCode::ModuleDisabled, 2));
    assert!(world.text().contains("ModuleMissing"));
}

#[test]
fn an_error_that_is_returned_is_a_fault_and_the_call_s_end_is_none() {
    let mut world = World::answered(2);
    world.end_guest(GuestEnd::Err(StepError::Unavailable("no voice".to_owned())));
    assert_eq!(world.guest().info.predecessor.as_ref().unwrap().fault.code, FaultCode::ReturnedError);
    let cause = EndCause { status: 0, reason: String::new(), remote: true };
    world.end_guest(GuestEnd::Err(StepError::Ended(cause)));
    world.pass_ms(20);
    assert!(world.is_over());
    assert_eq!(world.kinds().iter().filter(|kind| **kind == "control.fault").count(), 1);
}

#[test]
fn faults_and_time_are_bounded() {
    let mut limits = Limits { faults_per_call: 2, handler_time_s: 60, ..Limits::default() };
    let mut plan = application(5);
    plan.limits = limits.clone().into();
    let mut world = World::with(plan.clone(), offered(Some(OFFER)), Manners::default());
    world.trap();
    world.trap();
    assert_eq!(world.guests.len(), 2, "two faults are one too many for a third handler");
    assert_eq!(world.text().matches("TooManySwitches").count(), 1, "{}", world.text());

    // One that cannot be started counts as one that fell, and the last of a chain hides no other.
    let mut unusable = plan.clone();
    unusable.handlers[0].module = None;
    unusable.handlers[1].unusable = Some(Fault::new(FaultCode::ModuleDisabled, "switched off"));
    let world = World::with(unusable, offered(Some(OFFER)), Manners::default());
    assert!(world.guests.is_empty() && world.text().contains("TooManySwitches"), "{}", world.text());
    let mut short = plan.clone();
    short.handlers.truncate(2);
    let mut world = World::with(short, offered(Some(OFFER)), Manners::default());
    world.trap();
    world.trap();
    assert!(!world.text().contains("TooManySwitches"), "nobody was left to switch to: {}", world.text());

    limits.faults_per_call = 8;
    plan.limits = limits.into();
    let mut world = World::with(plan, offered(Some(OFFER)), Manners::default());
    world.pass_ms(59_000);
    assert_eq!(world.guests.len(), 1);
    world.pass_ms(2_000);
    assert!(world.text().contains("HandlerTime"), "{}", world.text());
    world.pass_ms(100);
    assert!(world.is_over());
}

#[test]
fn a_late_offer_is_answered_with_the_ack() {
    let answer = OFFER.replace("RTP/AVP 0 101", "RTP/AVP 0");
    let manners = Manners { late_answer: Some(answer.into_bytes()), ..Manners::default() };
    let mut world = World::with(application(1), offered(None), manners);
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
    assert!(world.media_commands.iter().any(|command| matches!(command, MediaCommand::Update(_))));

    let mut world = World::with(application(1), offered(None), Manners::default());
    let outcome = world.ask(Step::Answer { headers: vec![] });
    assert!(matches!(outcome, Some(Outcome::Failed(StepError::Unavailable(_)))), "an ACK without an answer");
    world.pass_ms(10);
    assert!(world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })));
}

#[test]
fn hold_and_resume() {
    let mut world = World::answered(1);
    let body = format!("{OFFER}a=sendonly\r\n").into_bytes();
    world.input(Input::Leg(LEG, LegEvent::Reoffered { body: Some(body) }));
    assert!(
        matches!(world.leg_commands.last(), Some(LegCommand::AnswerReoffer { body, .. }) if String::from_utf8_lossy(body).contains("a=recvonly"))
    );
    let Some(Outcome::Event(Some(GuestEvent::Leg(change)))) = world.ask(Step::Next { timeout: None }) else { panic!() };
    assert_eq!(change.state, LegState::Held);
    world.input(Input::Media(LEG, MediaEvent::Silent { for_ms: 30_000 }));
    assert!(
        !world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })),
        "held callers are silent"
    );
    world.input(Input::Leg(LEG, LegEvent::Reoffered { body: Some(OFFER.as_bytes().to_vec()) }));
    let Some(Outcome::Event(Some(GuestEvent::Leg(change)))) = world.ask(Step::Next { timeout: None }) else { panic!() };
    assert_eq!(change.state, LegState::Answered);
    world.input(Input::Leg(LEG, LegEvent::Reoffered { body: Some(b"nonsense".to_vec()) }));
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::RefuseReoffer { status: 488, .. })));
    world.input(Input::Media(LEG, MediaEvent::Silent { for_ms: 30_000 }));
    assert!(
        matches!(world.leg_commands.last(), Some(LegCommand::Hangup { reason: Some(why), .. }) if why.contains("30 s"))
    );
}

#[test]
fn an_offer_that_cannot_be_answered_is_refused_with_its_reason() {
    let world =
        World::with(application(1), offered(Some(&OFFER.replace("RTP/AVP 0", "RTP/AVP 18"))), Manners::default());
    assert!(world.guests.is_empty());
    assert!(
        matches!(&world.leg_commands[0], LegCommand::Reject { status: 488, reason, .. } if reason.contains("no codec"))
    );
}

#[test]
fn no_port_is_told_to_the_module() {
    let manners = Manners { refuse_open: true, ..Manners::default() };
    let mut world = World::with(application(1), offered(Some(OFFER)), manners);
    assert_eq!(
        world.ask(Step::Answer { headers: vec![] }),
        Some(Outcome::Failed(StepError::Unavailable("no RTP port is free".to_owned())))
    );
}

#[test]
fn messages_and_hangups_from_outside() {
    let mut world = World::answered(1);
    world.ask(Step::Next { timeout: None });
    world.input(Input::Message { sender: "api".to_owned(), body: "{}".to_owned() });
    assert!(matches!(world.take(), Some(Outcome::Event(Some(GuestEvent::Message(_))))));
    world.input(Input::HangUp { by: "an operator".to_owned() });
    assert!(
        matches!(world.leg_commands.last(), Some(LegCommand::Hangup { reason: Some(by), .. }) if by == "an operator")
    );
}

#[test]
fn a_deaf_leg_ends_all_the_same() {
    let mut world = World::answered(1);
    world.manners.deaf = true;
    world.end_guest(GuestEnd::Ok);
    world.pass_ms(60_000);
    assert!(world.is_over());
}

#[test]
fn rows_are_marked_every_ten_seconds() {
    let mut world = World::answered(1);
    world.ask(Step::Next { timeout: None });
    world.pass_ms(10_500);
    let row = world.rows().values().next().unwrap();
    assert!(row.end.is_none() && row.usage.cpu_ns == 500 && row.usage.holding_us >= 10_000_000);
}

#[test]
fn headers_that_are_not_on_the_list_are_denied() {
    let mut world = World::new(1);
    let with = |name: &str, value: &str| Step::Answer {
        headers: vec![Header { name: name.to_owned(), value: value.to_owned() }],
    };
    assert!(matches!(world.ask(with("Via", "x")), Some(Outcome::Failed(StepError::Denied(_)))));
    assert!(failed_argument(world.ask(with("X-A", "1\r\nVia: evil"))).contains("control"));
    assert_eq!(world.ask(with("Subject", "hello")), Some(Outcome::Done));
}

pub(super) fn tiles(world: &World) {
    tiles_of(world, world.main);
}

pub(super) fn tiles_of(world: &World, call: CallId) {
    let book = &world.books[&call];
    let held: u64 = book.rows.values().map(|row| row.usage.holding_us).sum();
    let Some(Change::CallEnded { duration_us, connected_us, .. }) = book.events.last().map(|event| &event.change)
    else {
        panic!("the last event is not the call's end")
    };
    assert_eq!(held, *duration_us, "rows tile the call");
    let connected: u64 = book.rows.values().map(|row| row.usage.connected_us).sum();
    assert_eq!(connected, *connected_us);
    assert!(book.rows.values().all(|row| row.end.is_some()));
}
