//! The limits that a call holds by itself: each a little over, and then at it.

use std::sync::Arc;

use callbox_model::*;

use super::dialling::dial;
use super::drivers::Manners;
use super::world::{OFFER, World, application, offered};
use crate::Input;

fn answered(limits: Limits) -> World {
    let mut plan = application(2);
    plan.limits = Arc::new(limits);
    let mut world = World::with(plan, offered(Some(OFFER)), Manners::default());
    assert_eq!(world.ask(Step::Answer { headers: vec![] }), Some(Outcome::Done));
    world
}

/// The words of a step that was refused for what it asked.
fn refused(outcome: Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::Failed(StepError::Argument(why))) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn started(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Started(_)))
}

#[test]
fn speech_has_so_many_characters_at_most() {
    let mut world = answered(Limits { speech_characters: 10, ..Limits::default() });
    let say = |letters: usize| Step::Play {
        sources: vec![Source::Text(Speech { text: "é".repeat(letters), voice: None, language: None })],
        options: PlayOptions::default(),
        wait: false,
    };
    assert_eq!(refused(world.ask(say(11))), "text: 11 characters, more than 10");
    assert!(started(world.ask(say(10))), "characters are counted, not bytes");
    let prompt = vec![Source::Text(Speech { text: "x".repeat(11), voice: None, language: None })];
    let gather = Step::Gather { prompt, options: GatherOptions::default(), wait: false };
    assert!(refused(world.ask(gather)).contains("11 characters"), "a prompt is speech too");
}

#[test]
fn a_play_and_a_prompt_have_so_many_sources_at_most() {
    let mut world = answered(Limits { sources: 3, ..Limits::default() });
    let tones = |count| vec![Source::Tone { first: 440, second: None, length: 10 }; count];
    let play = |count| Step::Play { sources: tones(count), options: PlayOptions::default(), wait: false };
    assert_eq!(refused(world.ask(play(4))), "sources: 4 of them, more than 3");
    assert!(started(world.ask(play(3))));
    let gather = Step::Gather { prompt: tones(4), options: GatherOptions::default(), wait: false };
    assert!(refused(world.ask(gather)).contains("more than 3"));
}

#[test]
fn a_recording_is_so_long_at_most_whoever_asks_for_more() {
    let mut world = answered(Limits { recording_s: 2, ..Limits::default() });
    let record = |max| Step::Record { options: RecordOptions { max, ..RecordOptions::default() }, wait: false };
    assert_eq!(refused(world.ask(record(Some(2_001)))), "max: 2001 is not within 1 to 2000");
    assert!(started(world.ask(record(None))));
    let plan = world.media_commands.iter().find_map(|command| match command {
        MediaCommand::Record { plan, .. } => Some(plan.clone()),
        _ => None,
    });
    assert_eq!(plan.unwrap().max, Some(2_000), "media is told when to stop one that has no end of its own");
}

#[test]
fn a_checkpoint_has_so_many_bytes_at_most() {
    let mut world = answered(Limits { checkpoint_bytes: 4, ..Limits::default() });
    assert_eq!(world.ask(Step::Checkpoint { state: b"four".to_vec() }), Some(Outcome::Done));
    assert_eq!(refused(world.ask(Step::Checkpoint { state: b"fiver".to_vec() })), "state: 5 bytes, more than 4");
    world.trap();
    let predecessor = world.guest().info.predecessor.clone().unwrap();
    assert_eq!(predecessor.state.as_deref(), Some(&b"four"[..]), "the one that was refused replaces nothing");
}

#[test]
fn digits_that_nobody_takes_are_bounded() {
    let mut world = answered(Limits { event_digits: 2, ..Limits::default() });
    for digit in ['1', '2', '3'] {
        world.press(digit);
    }
    for digit in ['2', '3'] {
        let Some(Outcome::Event(Some(GuestEvent::Digit(next)))) = world.ask(Step::Next { timeout: None }) else {
            panic!("no digit {digit}")
        };
        assert_eq!(next.digit, digit, "the oldest is left out");
    }
    for _ in 0..40 {
        world.input(Input::Message { sender: "api".to_owned(), body: "{}".to_owned() });
    }
    assert!(world.text().contains("event_digits"), "messages are bounded by it too");
}

#[test]
fn a_module_has_its_grace_and_no_more() {
    let mut world = answered(Limits { grace_ms: 400, ..Limits::default() });
    world.bye();
    let run = world.guest().run;
    world.pass_ms(390);
    assert!(world.guests.iter().any(|guest| guest.run == run && guest.is_running), "stopped before its time");
    world.pass_ms(20);
    assert!(!world.guests.iter().any(|guest| guest.is_running), "it outlived its grace");
    assert!(world.is_over());
}

#[test]
fn a_dial_has_so_many_targets_and_a_call_so_many_legs_at_most() {
    let mut world = answered(Limits { dial_targets: 2, legs_per_call: 3, ..Limits::default() });
    assert_eq!(refused(world.ask(dial(&["never", "never", "never"]))), "targets: 3 of them, not 1 to 2");
    assert_eq!(world.ask(dial(&["never", "never"])), Some(Outcome::Dialling(2)));
    assert_eq!(world.ask(dial(&["never"])), Some(Outcome::Dialling(3)));
    assert!(
        matches!(world.ask(dial(&["never"])), Some(Outcome::Failed(StepError::Quota(why))) if why.starts_with("legs_per_call: 3"))
    );
}
