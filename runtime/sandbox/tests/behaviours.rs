//! The guests that tests with real phones use, each asked here whether it does what its line in the
//! list says: the same steps in the same order, and the lines in the log that others look for.

mod node;
mod script;

use callbox_model::{
    BridgeDigits, DialOptions, DialOrder, FaultCode, GuestEvent, Header, LegState, Outcome, ReferRequest, ReferTarget,
    Step, StepError,
};
use callbox_sandbox::GuestEnd;
use script::{Call, cause, digit, leg, over};

fn begin(behaviour: &str, settings: &[(&str, &str)]) -> Call {
    Call::begin("behaviours", &[&[("behaviour", behaviour)], settings].concat())
}

/// Up to the bridge of leg 1 and leg 2, with `sip:b` as the one target.
fn bridged(behaviour: &str, settings: &[(&str, &str)]) -> Call {
    let mut call = begin(behaviour, &[&[("targets", "sip:b")], settings].concat());
    call.done(Step::Ring { early_media: false });
    call.expect(Step::Dial { targets: vec!["sip:b".into()], options: DialOptions::default() }, Outcome::Dialling(2));
    call.happens(leg(2, LegState::Answered));
    call.done(Step::Answer { headers: Vec::new() });
    call.done(Step::Bridge { a: 1, b: 2, digits: BridgeDigits::Pass });
    call
}

fn rests(call: &mut Call, ms: u32) {
    call.expect(Step::Next { timeout: Some(ms) }, Outcome::Event(None));
}

fn ends_well(mut call: Call, lines: &[&str]) {
    call.done(Step::Hangup { leg: None, reason: None });
    assert_eq!(call.end(), GuestEnd::Ok);
    assert_eq!(call.log, lines);
}

#[test]
fn dial_bridge_hands_on_every_setting_and_writes_every_change_down() {
    let settings = [
        ("targets", "sip:b, +4930"),
        ("order", "one-by-one"),
        ("caller-id", "+4940"),
        ("header", "X-Ticket: 4711"),
        ("timeout-ms", "9000"),
        ("time-limit-ms", "60000"),
        ("send-digits", "1w2"),
        ("early-media", "yes"),
        ("digits", "keep"),
    ];
    let mut call = begin("dial-bridge", &settings);
    call.done(Step::Ring { early_media: true });
    let options = DialOptions {
        order: Some(DialOrder::OneByOne),
        caller_id: Some("+4940".into()),
        headers: vec![Header { name: "X-Ticket".into(), value: "4711".into() }],
        timeout: Some(9_000),
        time_limit: Some(60_000),
        send_digits: Some("1w2".into()),
        early_media: Some(true),
    };
    call.expect(Step::Dial { targets: vec!["sip:b".into(), "+4930".into()], options }, Outcome::Dialling(2));
    call.happens(leg(2, LegState::Ringing(183)));
    call.happens(leg(2, LegState::Answered));
    call.done(Step::Answer { headers: Vec::new() });
    call.done(Step::Bridge { a: 1, b: 2, digits: BridgeDigits::Keep });
    call.happens(digit('5'));
    call.happens(leg(2, LegState::Held));
    call.happens(over(2, 0));
    let lines = [
        "leg 2 ringing 183",
        "leg 2 answered",
        "bridged",
        "leg 1 digit 5",
        "leg 2 held",
        "leg 2 ended 0 of the script",
    ];
    ends_well(call, &lines);
}

#[test]
fn hold_and_part_are_taken_back_after_two_seconds() {
    let mut call = bridged("hold-resume", &[]);
    rests(&mut call, 2_000);
    call.done(Step::Hold { leg: 2 });
    rests(&mut call, 2_000);
    call.done(Step::Resume { leg: 2 });
    call.happens(over(2, 0));
    ends_well(call, &["leg 2 answered", "bridged", "hold", "resume", "leg 2 ended 0 of the script"]);

    let mut call = bridged("part-rejoin", &[]);
    rests(&mut call, 2_000);
    call.done(Step::Part { leg: 2 });
    for (leg, hertz) in [(1, 440), (2, 880)] {
        let Step::Play { sources, options, wait: false } = call.step() else { panic!("nothing is played") };
        assert_eq!(options.leg, Some(leg));
        assert!(matches!(sources[..], [callbox_model::Source::Tone { first, .. }] if first == hertz), "{sources:?}");
        call.answer(Outcome::Started(leg));
    }
    rests(&mut call, 2_000);
    call.done(Step::Bridge { a: 1, b: 2, digits: BridgeDigits::Pass });
    call.happens(over(2, 0));
    ends_well(call, &["leg 2 answered", "bridged", "parted", "bridged", "leg 2 ended 0 of the script"]);
}

#[test]
fn a_bridge_is_left_to_the_fallback() {
    for (behaviour, code) in [("trap-on-bridge", FaultCode::TrapUnreachable), ("loop-on-bridge", FaultCode::OutOfCpu)] {
        let mut call = bridged(behaviour, &[]);
        call.done(Step::Checkpoint { state: b"bridged".to_vec() });
        rests(&mut call, 3_000);
        let GuestEnd::Fault(fault) = call.end() else { panic!("{behaviour} does not fall") };
        assert_eq!(fault.code, code);
    }
    let mut call = begin("keep-bridge", &[]);
    call.stands(&[(1, LegState::Answered), (2, LegState::Answered)]);
    call.happens(over(2, 0));
    ends_well(call, &["leg 2 ended 0 of the script"]);
}

#[test]
fn legs_and_their_headers_are_written_down_before_and_after() {
    let mut call = begin("legs-report", &[("targets", "sip:b")]);
    call.done(Step::Answer { headers: Vec::new() });
    let header = |call: &mut Call, leg| {
        let headers = vec![Header { name: "X-A".into(), value: format!("of {leg}") }];
        call.expect(Step::LegHeaders { leg }, Outcome::Headers(headers));
    };
    call.stands(&[(1, LegState::Answered)]);
    header(&mut call, 1);
    let options = DialOptions::default();
    call.expect(Step::Dial { targets: vec!["sip:b".into()], options }, Outcome::Dialling(2));
    call.stands(&[(2, LegState::Trying)]);
    header(&mut call, 2);
    call.happens(over(2, 486));
    let lines = [
        "stands: 1 sip:1@example.org answered",
        "header 1 X-A: of 1",
        "stands: 2 sip:2@example.org trying",
        "header 2 X-A: of 2",
        "leg 2 ended 486 of the script",
    ];
    ends_well(call, &lines);
}

#[test]
fn digits_are_sent_to_who_was_dialled() {
    let mut call = begin("send-digits-out", &[("targets", "sip:b"), ("digits", "12#")]);
    call.done(Step::Answer { headers: Vec::new() });
    let options = DialOptions::default();
    call.expect(Step::Dial { targets: vec!["sip:b".into()], options }, Outcome::Dialling(2));
    call.happens(leg(2, LegState::Answered));
    call.done(Step::SendDigits { leg: 2, digits: "12#".into() });
    rests(&mut call, 1_000);
    ends_well(call, &["leg 2 answered", "digits sent"]);
}

#[test]
fn what_a_target_was_refused_for_is_written_down() {
    let mut call = begin("dial-forbidden", &[("targets", "sip:127.0.0.1,sip:b,sip:c")]);
    call.done(Step::Answer { headers: Vec::new() });
    let dial = |target: &str| Step::Dial {
        targets: vec![target.into()],
        options: DialOptions { timeout: Some(5_000), ..DialOptions::default() },
    };
    call.expect(dial("sip:127.0.0.1"), Outcome::Failed(StepError::Denied("a loopback address".into())));
    call.expect(dial("sip:b"), Outcome::Dialling(2));
    call.expect(Step::Next { timeout: Some(0) }, Outcome::Event(Some(over(2, 403))));
    call.expect(dial("sip:c"), Outcome::Dialling(3));
    call.nothing_yet();
    call.stands(&[(1, LegState::Answered), (3, LegState::Answered)]);
    call.done(Step::Hangup { leg: Some(3), reason: None });
    let lines = ["sip:127.0.0.1: denied: a loopback address", "sip:b: ended 403 of the script", "sip:c: answered"];
    ends_well(call, &lines);
}

#[test]
fn transfers_that_go_out() {
    let outcomes = [
        (Outcome::Status(200), "refer 200"),
        (Outcome::Failed(StepError::Denied("a loopback address".into())), "refer denied: a loopback address"),
    ];
    for (outcome, line) in outcomes {
        let mut call = begin("refer-out", &[("target", "sip:c")]);
        call.done(Step::Answer { headers: Vec::new() });
        let to = ReferTarget::Address("sip:c".into());
        call.expect(Step::Refer { leg: 1, to, timeout: Some(20_000) }, outcome);
        ends_well(call, &[line]);
    }
    let mut call = bridged("refer-to-leg", &[]);
    rests(&mut call, 1_000);
    call.expect(Step::Refer { leg: 1, to: ReferTarget::Leg(2), timeout: None }, Outcome::Status(200));
    rests(&mut call, 1_000);
    ends_well(call, &["leg 2 answered", "bridged", "refer 200"]);
}

#[test]
fn transfers_that_come_in() {
    let refer = GuestEvent::Refer(ReferRequest { leg: 1, to: "sip:c".into() });
    let mut call = bridged("refer-in", &[]);
    call.happens(refer.clone());
    call.done(Step::AnswerRefer { leg: 1, status: 202 });
    let options = DialOptions::default();
    call.expect(Step::Dial { targets: vec!["sip:c".into()], options }, Outcome::Dialling(3));
    call.happens(leg(3, LegState::Answered));
    call.done(Step::Bridge { a: 2, b: 3, digits: BridgeDigits::Pass });
    call.done(Step::Hangup { leg: Some(1), reason: None });
    call.happens(over(1, 0));
    call.happens(over(3, 0));
    let lines = [
        "leg 2 answered",
        "bridged",
        "leg 1 refers to sip:c",
        "refer accepted",
        "leg 3 answered",
        "leg 2 talks with leg 3",
        "leg 1 ended 0 of the script",
        "leg 3 ended 0 of the script",
    ];
    ends_well(call, &lines);

    let mut call = bridged("refer-refuse", &[("status", "403")]);
    call.happens(refer.clone());
    call.done(Step::AnswerRefer { leg: 1, status: 403 });
    call.happens(over(2, 0));
    let lines = ["leg 2 answered", "bridged", "leg 1 refers to sip:c", "refer refused with 403"];
    ends_well(call, &[&lines[..], &["leg 2 ended 0 of the script"]].concat());

    let mut call = bridged("refer-ignore", &[]);
    call.happens(refer);
    call.happens(over(2, 0));
    ends_well(call, &["leg 2 answered", "bridged", "leg 1 refers to sip:c", "leg 2 ended 0 of the script"]);
}

#[test]
fn legs_and_messages_between_calls() {
    let mut call = begin("give-to", &[("to", "call_9")]);
    call.done(Step::Answer { headers: Vec::new() });
    call.done(Step::Give { leg: 1, to: "call_9".into() });
    assert_eq!(call.end(), GuestEnd::Ok);
    assert_eq!(call.log, ["gave leg 1"]);

    let mut call = begin("give-to", &[("to", "call_9")]);
    call.done(Step::Answer { headers: Vec::new() });
    let error = StepError::Unavailable("there is no such call".into());
    call.expect(Step::Give { leg: 1, to: "call_9".into() }, Outcome::Failed(error));
    ends_well(call, &["not given: unavailable: there is no such call"]);

    let mut call = begin("adopt", &[]);
    call.done(Step::Answer { headers: Vec::new() });
    call.happens(GuestEvent::Given(2));
    call.done(Step::Bridge { a: 1, b: 2, digits: BridgeDigits::Pass });
    call.happens(over(2, 0));
    ends_well(call, &["adopter", "given leg 2", "bridged", "leg 2 ended 0 of the script"]);

    let mut call = begin("send-to", &[("to", "call_9"), ("text", "{}")]);
    call.done(Step::Answer { headers: Vec::new() });
    call.done(Step::Send { to: "call_9".into(), body: "{}".into() });
    ends_well(call, &["sent"]);
}

/// Whoever loses the call meanwhile ends as everybody does.
#[test]
fn a_call_that_is_over_ends_a_behaviour_well() {
    let mut call = bridged("dial-bridge", &[]);
    call.happens(GuestEvent::Ended(cause(0)));
    assert_eq!(call.end(), GuestEnd::Ok);
    let mut call = bridged("hold-resume", &[]);
    call.expect(Step::Next { timeout: Some(2_000) }, Outcome::Event(Some(GuestEvent::Ended(cause(0)))));
    assert_eq!(call.end(), GuestEnd::Err(StepError::Ended(cause(0))));
}
