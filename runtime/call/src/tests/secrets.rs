//! What is nobody's business, and what strangers may do as often as they like.

use callbox_model::*;

use super::flows::gather;
use super::world::{LEG, OFFER, World};
use crate::Input;

fn sensitive(max: u32) -> Step {
    gather(GatherOptions { max: Some(max), sensitive: Some(true), ..GatherOptions::default() })
}

#[test]
fn a_secret_stays_one_when_its_module_falls() {
    let mut world = World::answered(2);
    world.ask(sensitive(6));
    for digit in "47".chars() {
        world.press(digit);
    }
    world.trap();
    world.press('1');
    assert!(!world.media_commands.contains(&MediaCommand::Sensitive(false)), "the recording hears it");
    assert_eq!(world.guest().info.predecessor.as_ref().unwrap().digits, "**");
    let heard = world.ask(Step::Next { timeout: None });
    assert!(matches!(heard, Some(Outcome::Event(Some(GuestEvent::Digit(Digit { digit: '1', .. }))))), "{heard:?}");
    // What is typed before a gather that is not sensitive was typed for the one that was.
    world.press('2');
    world.ask(gather(GatherOptions { max: Some(2), ..GatherOptions::default() }));
    world.press('8');
    assert!(matches!(world.take(), Some(Outcome::Gathered(Gathered { digits, .. })) if digits == "28"));
    assert_eq!(world.media_commands.last(), Some(&MediaCommand::Sensitive(false)));
    let text = world.text();
    assert!(text.contains("DigitPressed { leg: 1, digit: '*'"), "{text}");
    assert!(text.contains("digits: \"*8\""), "{text}");
}

#[test]
fn the_last_digit_of_a_secret_is_one_until_it_is_let_go() {
    let mut world = World::answered(1);
    world.ask(sensitive(1));
    world.input(Input::Media(LEG, MediaEvent::DigitBegan { digit: '4' }));
    world.pass_ms(60);
    assert!(matches!(world.take(), Some(Outcome::Gathered(_))));
    assert!(!world.media_commands.contains(&MediaCommand::Sensitive(false)), "its tone would be recorded");
    world.input(Input::Media(LEG, MediaEvent::DigitEnded { digit: '4', length: 80 }));
    assert_eq!(world.media_commands.last(), Some(&MediaCommand::Sensitive(false)));

    world.ask(sensitive(1));
    world.input(Input::Media(LEG, MediaEvent::DigitBegan { digit: '5' }));
    world.pass_ms(1_100);
    assert_eq!(world.media_commands.last(), Some(&MediaCommand::Sensitive(false)), "its end may be lost");
}

#[test]
fn a_secret_ends_with_a_pause() {
    let mut world = World::answered(2);
    world.ask(sensitive(6));
    world.press('4');
    world.trap();
    world.pass_ms(2_500);
    world.press('5');
    world.pass_ms(2_500);
    assert!(!world.media_commands.contains(&MediaCommand::Sensitive(false)));
    world.pass_ms(1_000);
    assert_eq!(world.media_commands.last(), Some(&MediaCommand::Sensitive(false)));
    world.press('6');
    for digit in ['5', '6'] {
        let heard = world.ask(Step::Next { timeout: None });
        assert!(matches!(heard, Some(Outcome::Event(Some(GuestEvent::Digit(one)))) if one.digit == digit));
    }
    let text = world.text();
    assert!(text.contains("digit: '6'") && !text.contains("digit: '5'"), "{text}");
}

#[test]
fn a_far_end_that_holds_and_resumes_without_end_fills_nothing() {
    let mut world = World::answered(1);
    for round in 0..200 {
        let direction = if round % 2 == 0 { "a=sendonly\r\n" } else { "" };
        let body = Some(format!("{OFFER}{direction}").into_bytes());
        world.input(Input::Leg(LEG, LegEvent::Reoffered { body }));
    }
    world.pass_ms(5);
    let refused = |command: &&LegCommand| matches!(command, LegCommand::RefuseReoffer { status: 500, .. });
    assert_eq!(world.leg_commands.iter().filter(refused).count(), 140);
    let held = world.ask(Step::Next { timeout: Some(1) });
    assert!(matches!(held, Some(Outcome::Event(Some(GuestEvent::Leg(_))))), "{held:?}");
    let nothing = world.ask(Step::Next { timeout: Some(1) });
    assert_eq!(nothing, Some(Outcome::Event(None)), "only the newest is told");
}

#[test]
fn digits_that_are_left_out_are_told_once() {
    let mut world = World::answered(1);
    for _ in 0..300 {
        world.press('1');
    }
    assert_eq!(world.text().matches("LimitReached").count(), 1, "{}", world.text());
}
