//! Guests made with the Rust skin, and a brain that plays the other part: who waits for one event
//! with `connect` or `wait_for_answer` asks for the right steps, and loses none of the others.
//!
//! The guests are those of `tests/build-guests`.

mod node;
mod script;

use callbox_model::{
    BridgeDigits, DialOptions, GuestEvent, LegNumber, LegState, Message, Outcome, Played, ReferRequest, Source, Step,
    StepError,
};
use callbox_sandbox::GuestEnd;
use script::{Call, cause, digit, leg, over};

fn dial(target: &str, timeout: Option<u32>) -> Step {
    Step::Dial { targets: vec![target.into()], options: DialOptions { timeout, ..DialOptions::default() } }
}

fn bridge(a: LegNumber, b: LegNumber) -> Step {
    Step::Bridge { a, b, digits: BridgeDigits::Pass }
}

fn hangup(leg: Option<LegNumber>) -> Step {
    Step::Hangup { leg, reason: None }
}

fn answer() -> Step {
    Step::Answer { headers: Vec::new() }
}

fn forward() -> Call {
    let mut call = Call::begin("forward", &[("target", "sip:b@example.org")]);
    call.done(Step::Ring { early_media: false });
    call.expect(dial("sip:b@example.org", Some(20_000)), Outcome::Dialling(2));
    call
}

#[test]
fn connect_answers_the_caller_when_the_other_has_answered() {
    let mut call = forward();
    call.happens(digit('1'));
    call.happens(leg(2, LegState::Ringing(180)));
    call.happens(leg(3, LegState::Answered));
    call.happens(leg(2, LegState::Answered));
    call.done(answer());
    call.done(bridge(1, 2));
    call.happens(leg(1, LegState::Held));
    call.happens(over(3, 0));
    call.happens(over(2, 0));
    call.done(hangup(None));
    assert_eq!(call.end(), GuestEnd::Ok);
}

#[test]
fn the_caller_hears_why_nobody_took_it() {
    for (status, words) in [(486, "The line is busy."), (408, "Nobody answers.")] {
        let mut call = forward();
        call.happens(over(2, status));
        call.done(answer());
        let Step::Play { sources, .. } = call.step() else { panic!("nothing is said") };
        let [Source::Text(speech)] = sources.as_slice() else { panic!("{sources:?}") };
        assert_eq!(speech.text, format!("{words} Please call again later."));
        call.answer(Outcome::Played(Played { length: 1, stopped_by: None }));
        call.done(hangup(None));
        assert_eq!(call.end(), GuestEnd::Ok);
    }
}

/// Before the answer, and while the two talk; told as the call's end, and as leg 1's.
#[test]
fn a_caller_who_leaves_takes_the_other_leg_along() {
    for event in [GuestEvent::Ended(cause(0)), over(1, 0)] {
        for talks in [false, true] {
            let mut call = forward();
            if talks {
                call.happens(leg(2, LegState::Answered));
                call.done(answer());
                call.done(bridge(1, 2));
            }
            call.happens(event.clone());
            call.expect(hangup(Some(2)), Outcome::Failed(StepError::Ended(cause(0))));
            assert_eq!(call.end(), GuestEnd::Err(StepError::Ended(cause(0))));
        }
    }
}

#[test]
fn a_far_end_that_leaves_as_it_is_bridged_is_over_and_the_caller_is_not() {
    let mut call = forward();
    call.happens(leg(2, LegState::Answered));
    call.done(answer());
    call.expect(bridge(1, 2), Outcome::Failed(StepError::Ended(cause(0))));
    call.happens(over(2, 0));
    call.done(hangup(None));
    assert_eq!(call.end(), GuestEnd::Ok);
}

#[test]
fn what_connect_looked_past_is_told_afterwards_in_order() {
    let mut call = Call::begin("behaviours", &[("behaviour", "connect"), ("targets", "100")]);
    call.expect(dial("100", None), Outcome::Dialling(2));
    call.happens(leg(2, LegState::Ringing(183)));
    call.happens(digit('4'));
    call.happens(leg(2, LegState::Answered));
    call.done(answer());
    call.done(bridge(1, 2));
    call.happens(GuestEvent::Message(Message { sender: "call_9".into(), body: "{}".into() }));
    call.happens(digit('2'));
    call.happens(over(2, 0));
    // What had not been told when the other left, comes behind what was put aside.
    call.expect(Step::Next { timeout: Some(0) }, Outcome::Event(Some(digit('7'))));
    call.nothing_yet();
    call.done(hangup(None));
    assert_eq!(call.end(), GuestEnd::Ok);
    let kinds: Vec<_> = ["over 0", "Ringing(183)", "'4'", "call_9", "'2'", "'7'"].into();
    assert_eq!(call.log.len(), kinds.len(), "{:?}", call.log);
    for (line, kind) in call.log.iter().zip(kinds) {
        assert!(line.contains(kind), "{line} is not {kind}: {:?}", call.log);
    }
}

#[test]
fn whoever_asks_for_a_transfer_leaves_and_the_other_talks_with_the_third() {
    let mut call = Call::begin("transfer", &[("target", "sip:b@example.org")]);
    call.done(Step::Ring { early_media: false });
    call.expect(dial("sip:b@example.org", None), Outcome::Dialling(2));
    call.nothing_yet();
    call.stands(&[(1, LegState::Ringing(180)), (2, LegState::Trying)]);
    call.happens(leg(2, LegState::Ringing(180)));
    call.happens(leg(2, LegState::Answered));
    call.done(answer());
    call.done(bridge(1, 2));
    let refer = |leg| GuestEvent::Refer(ReferRequest { leg, to: "sip:c@example.org".into() });
    call.happens(refer(2));
    call.done(Step::AnswerRefer { leg: 2, status: 202 });
    // It may not be called: the two go on.
    call.expect(dial("sip:c@example.org", None), Outcome::Failed(StepError::Denied("not there".into())));
    call.happens(refer(2));
    call.done(Step::AnswerRefer { leg: 2, status: 202 });
    call.expect(dial("sip:c@example.org", None), Outcome::Dialling(3));
    // Who asked leaves by itself, before the third has answered.
    call.expect(Step::Next { timeout: Some(0) }, Outcome::Event(Some(over(2, 0))));
    call.nothing_yet();
    call.stands(&[(1, LegState::Answered), (3, LegState::Trying)]);
    call.happens(leg(3, LegState::Answered));
    call.done(bridge(1, 3));
    call.expect(hangup(Some(2)), Outcome::Failed(StepError::Ended(cause(0))));
    // That it left is told now, and ends nothing.
    call.happens(digit('1'));
    call.happens(over(3, 0));
    call.done(hangup(None));
    assert_eq!(call.end(), GuestEnd::Ok);
    assert!(call.log[0].contains("not there"), "{:?}", call.log);
}

#[test]
fn an_answer_that_was_told_before_is_known_from_how_the_leg_stands() {
    for (state, hung_up) in [(LegState::Answered, true), (LegState::Ended(cause(486)), false)] {
        let settings = [("behaviour", "dial-forbidden"), ("targets", "sip:b@example.org")];
        let mut call = Call::begin("behaviours", &settings);
        call.done(answer());
        call.expect(dial("sip:b@example.org", Some(5_000)), Outcome::Dialling(2));
        call.nothing_yet();
        call.stands(&[(1, LegState::Answered), (2, state)]);
        if hung_up {
            call.done(hangup(Some(2)));
        }
        call.done(hangup(None));
        assert_eq!(call.end(), GuestEnd::Ok);
        let told = if hung_up { "answered" } else { "ended 486 of the script" };
        assert_eq!(call.log, [format!("sip:b@example.org: {told}")]);
    }
}

/// Its end was told to somebody, and it stands no more: nobody waits for what cannot come.
#[test]
fn a_leg_that_is_over_is_not_waited_for() {
    let settings = [("behaviour", "dial-forbidden"), ("targets", "sip:b@example.org")];
    let mut call = Call::begin("behaviours", &settings);
    call.done(answer());
    call.expect(dial("sip:b@example.org", Some(5_000)), Outcome::Dialling(2));
    call.nothing_yet();
    call.stands(&[(1, LegState::Answered)]);
    call.nothing_yet();
    let GuestEnd::Err(StepError::State(words)) = call.end() else { panic!("it waits, or ends well") };
    assert!(words.contains("leg 2"), "{words}");
}
