//! Functions that concern more legs than one: what the guest hands over comes out as it was, what it
//! is answered comes back as it is, and the meter knows them by their names.

mod node;

use callbox_model::{
    BridgeDigits, DialOptions, DialOrder, EndCause, FaultCode, GuestEvent, Header, Leg, LegState, Outcome,
    ReferRequest, ReferTarget, RunUsage, Step, StepError,
};
use callbox_sandbox::{GuestEnd, What};
use node::{NEXT, Node, guest, small};

/// What the guest asked for, in order, how it ended, and what the meter has.
struct Told {
    steps: Vec<Step>,
    end: GuestEnd,
    usage: RunUsage,
}

impl Told {
    fn metered(&self, name: &str) -> u64 {
        self.usage.host_calls.get(name).copied().unwrap_or(0)
    }
}

/// A brain that knows its lines: each step is given the next outcome.
fn told(node: &Node, number: u128, wat: &str, outcomes: Vec<Outcome>) -> Told {
    let module = node.module(number, wat);
    let run = node.start(&module);
    let mut outcomes = outcomes.into_iter();
    let mut steps = Vec::new();
    loop {
        match node.next().what {
            What::Step { ask, step } => {
                steps.push(step);
                node.handle.outcome(run, ask, outcomes.next().expect("no outcome for this step"));
            }
            What::Ended { end, usage } => return Told { steps, end, usage },
            What::Sampled(_) | What::Log { .. } => {}
        }
    }
}

fn import(name: &str, parameters: usize) -> String {
    let alias = name.replace('-', "_");
    format!("(import \"callbox:voice/call@0.1.0\" \"{name}\" (func ${alias} (param {})))", "i32 ".repeat(parameters))
}

/// Both results look alike in memory, so what the function returns is what the handler returns.
#[test]
fn a_function_without_a_value_crosses_both_ways() {
    let node = Node::new(small());
    let text = "(data (i32.const 512) \"call_2{\\22a\\22:1}12w#\")";
    let to = || "call_2".to_owned();
    let cases: Vec<(&str, &str, usize, Step)> = vec![
        (
            "bridge",
            "(i32.const 1) (i32.const 2) (i32.const 0)",
            4,
            Step::Bridge { a: 1, b: 2, digits: BridgeDigits::Pass },
        ),
        (
            "bridge",
            "(i32.const -1) (i32.const 3) (i32.const 1)",
            4,
            Step::Bridge { a: u32::MAX, b: 3, digits: BridgeDigits::Keep },
        ),
        ("part", "(i32.const 2)", 2, Step::Part { leg: 2 }),
        ("hold", "(i32.const 2)", 2, Step::Hold { leg: 2 }),
        ("resume", "(i32.const 2)", 2, Step::Resume { leg: 2 }),
        ("answer-refer", "(i32.const 2) (i32.const 202)", 3, Step::AnswerRefer { leg: 2, status: 202 }),
        ("give", "(i32.const 1) (i32.const 512) (i32.const 6)", 4, Step::Give { leg: 1, to: to() }),
        (
            "send",
            "(i32.const 512) (i32.const 6) (i32.const 518) (i32.const 7)",
            5,
            Step::Send { to: to(), body: "{\"a\":1}".into() },
        ),
        (
            "send-digits",
            "(i32.const 2) (i32.const 525) (i32.const 4)",
            4,
            Step::SendDigits { leg: 2, digits: "12w#".into() },
        ),
    ];
    let mut errors = every_error().into_iter().cycle();
    for (number, (name, arguments, parameters, step)) in cases.into_iter().enumerate() {
        let body = format!("(call ${} {arguments} (i32.const 64))", name.replace('-', "_"));
        let wat = guest(&import(name, parameters), &body, text);
        let number = number as u128 + 1;
        let good = told(&node, number, &wat, vec![Outcome::Done]);
        assert_eq!((good.steps, good.end), (vec![step.clone()], GuestEnd::Ok), "{name}");
        let error = errors.next().unwrap();
        let bad = told(&node, number, &wat, vec![Outcome::Failed(error.clone())]);
        assert_eq!(bad.metered(&format!("call.{name}")), 1, "{:?}", bad.usage.host_calls);
        assert_eq!((bad.steps, bad.end), (vec![step], GuestEnd::Err(error)), "{name}");
    }
}

fn every_error() -> Vec<StepError> {
    vec![
        StepError::Ended(EndCause { status: 486, reason: "Busy Here".into(), remote: true }),
        StepError::State("not bridged".into()),
        StepError::Argument("digits: `x`".into()),
        StepError::Quota("outbound_legs".into()),
        StepError::Denied("127.0.0.1 is a loopback address".into()),
        StepError::Unavailable("nobody is registered".into()),
        StepError::Stopped,
        StepError::Timeout,
        StepError::Other("488".into()),
    ]
}

/// The record is in memory, being too long for parameters: each of its fields at its place.
#[test]
fn dial_takes_all_its_options_and_gives_the_legs_number() {
    let node = Node::new(small());
    // Targets at 512, headers at 544, text at 640; the arguments at 768, a word in each place.
    let words: &[(u32, u32)] = &[
        (512, 640),
        (516, 5),
        (520, 645),
        (524, 4),
        (544, 649),
        (548, 3),
        (552, 652),
        (556, 2),
        (768, 512),
        (772, 2),
        // Some options; some order, one by one, in two bytes.
        (776, 1),
        (780, 0x0101),
        (784, 1),
        (788, 645),
        (792, 4),
        (796, 544),
        (800, 1),
        (804, 1),
        (808, 30_000),
        (812, 1),
        (816, u32::MAX),
        (820, 1),
        (824, 649),
        (828, 3),
        (832, 0x0101),
    ];
    let stores: String =
        words.iter().map(|(at, word)| format!("(i32.store (i32.const {at}) (i32.const {}))", *word as i32)).collect();
    let text = "(data (i32.const 640) \"sip:a+49712wab\")";
    // The number that came is the number that is parted.
    let call = "(call $dial (i32.const 768) (i32.const 64))";
    let part = "(call $part (i32.load (i32.const 68)) (i32.const 64))";
    let imports = format!("{}{}", import("dial", 2), import("part", 2));
    let wat = guest(&imports, &format!("{stores}{call}{part}"), text);
    let good = told(&node, 1, &wat, vec![Outcome::Dialling(4_000_000_000), Outcome::Done]);
    let options = DialOptions {
        order: Some(DialOrder::OneByOne),
        caller_id: Some("+497".into()),
        headers: vec![Header { name: "12w".into(), value: "ab".into() }],
        timeout: Some(30_000),
        time_limit: Some(u32::MAX),
        send_digits: Some("12w".into()),
        early_media: Some(true),
    };
    let targets = vec!["sip:a".to_owned(), "+497".to_owned()];
    let dial = Step::Dial { targets: targets.clone(), options };
    assert_eq!(good.metered("call.dial"), 1);
    assert_eq!((good.steps, good.end), (vec![dial, Step::Part { leg: 4_000_000_000 }], GuestEnd::Ok));

    let plain = stores.replace("(i32.const 776) (i32.const 1)", "(i32.const 776) (i32.const 0)");
    let wat = guest(&import("dial", 2), &format!("{plain}{call}"), text);
    let error = StepError::Denied("`sip:a` is not among the application's domains".into());
    let bad = told(&node, 2, &wat, vec![Outcome::Failed(error.clone())]);
    let dial = Step::Dial { targets, options: DialOptions::default() };
    assert_eq!((bad.steps, bad.end), (vec![dial], GuestEnd::Err(error)));
}

#[test]
fn refer_gives_the_far_ends_final_answer() {
    let node = Node::new(small());
    let imports = format!("{}{}", import("refer", 7), import("answer-refer", 3));
    // What it came to is answered to somebody else.
    let echo = "(call $answer_refer (i32.const 9) (i32.load16_u (i32.const 68)) (i32.const 64))";
    let text = "(data (i32.const 512) \"sip:b\")";
    for (number, target, timeout, step) in [
        (1, "(i32.const 0) (i32.const 512) (i32.const 5)", "(i32.const 1) (i32.const 5000)", {
            let to = ReferTarget::Address("sip:b".into());
            Step::Refer { leg: 2, to, timeout: Some(5_000) }
        }),
        (2, "(i32.const 1) (i32.const 3) (i32.const 0)", "(i32.const 0) (i32.const 0)", {
            Step::Refer { leg: 2, to: ReferTarget::Leg(3), timeout: None }
        }),
    ] {
        let call = format!("(call $refer (i32.const 2) {target} {timeout} (i32.const 64))");
        let wat = guest(&imports, &format!("{call}{echo}"), text);
        let told = told(&node, number, &wat, vec![Outcome::Status(603), Outcome::Done]);
        assert_eq!(told.metered("call.refer"), 1);
        assert_eq!(told.steps, [step, Step::AnswerRefer { leg: 9, status: 603 }]);
    }
    let call = "(call $refer (i32.const 2) (i32.const 1) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))";
    let told = told(&node, 3, &guest(&imports, call, ""), vec![Outcome::Failed(StepError::Timeout)]);
    assert_eq!(told.end, GuestEnd::Err(StepError::Timeout));
}

/// The list that came is handed back in `answer`.
#[test]
fn headers_of_a_leg_reach_the_guest() {
    let node = Node::new(small());
    let imports = format!("{}{}", import("leg-headers", 2), import("answer", 3));
    let body = "(call $leg_headers (i32.const 2) (i32.const 64))
        (call $answer (i32.load (i32.const 68)) (i32.load (i32.const 72)) (i32.const 64))";
    let headers = vec![
        Header { name: "X-Ticket".into(), value: "4711".into() },
        Header { name: "X-Name".into(), value: "Zoë".into() },
    ];
    let outcomes = vec![Outcome::Headers(headers.clone()), Outcome::Done];
    let good = told(&node, 1, &guest(&imports, body, ""), outcomes);
    assert_eq!(good.metered("call.leg-headers"), 1);
    assert_eq!(good.steps, [Step::LegHeaders { leg: 2 }, Step::Answer { headers }]);
    let gone = StepError::State("the call has no leg 2".into());
    let only = "(call $leg_headers (i32.const 2) (i32.const 64))";
    let bad = told(&node, 2, &guest(&imports, only, ""), vec![Outcome::Failed(gone.clone())]);
    assert_eq!(bad.end, GuestEnd::Err(gone));
}

/// Of each leg that came, its number and address are given, and its state's place among the states
/// (and the status, where it has one) is answered.
#[test]
fn legs_reach_the_guest_with_their_states() {
    let node = Node::new(small());
    let imports = [import("legs", 1), import("give", 4), import("answer-refer", 3)].concat();
    let body = "(local $at i32) (local $left i32)
        (call $legs (i32.const 64))
        (local.set $at (i32.load (i32.const 64))) (local.set $left (i32.load (i32.const 68)))
        (loop $more
          (if (local.get $left) (then
            (call $give (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))
              (i32.load offset=8 (local.get $at)) (i32.const 96))
            (call $answer_refer (i32.load8_u offset=12 (local.get $at)) (i32.load16_u offset=16 (local.get $at))
              (i32.const 96))
            (local.set $at (i32.add (local.get $at) (i32.const 32)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $more))))
        (i32.store8 (i32.const 64) (i32.const 0))";
    let cause = EndCause { status: 486, reason: "Busy Here".into(), remote: true };
    let states = [
        (LegState::Trying, None),
        (LegState::Ringing(183), Some(183)),
        (LegState::Answered, None),
        (LegState::Held, None),
        (LegState::Ended(cause), Some(486)),
    ];
    let legs: Vec<_> = (1..)
        .zip(&states)
        .map(|(id, (state, _))| Leg { id, address: format!("sip:{id}@example.org"), state: state.clone() })
        .collect();
    let mut outcomes = vec![Outcome::Legs(legs.clone())];
    outcomes.extend(std::iter::repeat_n(Outcome::Done, 10));
    let told = told(&node, 1, &guest(&imports, body, ""), outcomes);
    assert_eq!((told.metered("call.legs"), told.metered("call.give")), (1, 5));
    assert_eq!((&told.end, told.steps.len()), (&GuestEnd::Ok, 11));
    assert_eq!(told.steps[0], Step::Legs);
    for (place, (leg, (_, status))) in legs.iter().zip(&states).enumerate() {
        assert_eq!(told.steps[2 * place + 1], Step::Give { leg: leg.id, to: leg.address.clone() });
        let Step::AnswerRefer { leg: kind, status: got } = told.steps[2 * place + 2] else { panic!("{told:?}") };
        assert_eq!(kind, place as u32);
        if let Some(status) = status {
            assert_eq!(got, *status);
        }
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, then {:?}", self.steps, self.end)
    }
}

#[test]
fn what_other_ends_and_other_calls_ask_for_reaches_the_guest() {
    let node = Node::new(small());
    let imports = [NEXT.to_owned(), import("send-digits", 4), import("part", 2)].concat();
    // A request for a transfer: its leg, and where to; its place among the events is parted.
    let body = "(call $next (i32.const 0) (i32.const 0) (i32.const 1024))
        (call $send_digits (i32.load (i32.const 1032)) (i32.load (i32.const 1036)) (i32.load (i32.const 1040)) (i32.const 64))
        (call $part (i32.load8_u (i32.const 1028)) (i32.const 64))";
    let to = "sip:c@example.org?Replaces=1".to_owned();
    let asked = GuestEvent::Refer(ReferRequest { leg: 2, to: to.clone() });
    let outcomes = vec![Outcome::Event(Some(asked)), Outcome::Done, Outcome::Done];
    let wat = guest(&imports, body, "");
    let told_of = told(&node, 1, &wat, outcomes);
    let expected = [Step::Next { timeout: None }, Step::SendDigits { leg: 2, digits: to }, Step::Part { leg: 5 }];
    assert_eq!(told_of.steps, expected);

    let body = "(call $next (i32.const 0) (i32.const 0) (i32.const 1024))
        (call $part (i32.load8_u (i32.const 1028)) (i32.const 64))
        (call $part (i32.load (i32.const 1032)) (i32.const 64))";
    let outcomes = vec![Outcome::Event(Some(GuestEvent::Given(7))), Outcome::Done, Outcome::Done];
    let told_of = told(&node, 2, &guest(&imports, body, ""), outcomes);
    assert_eq!(told_of.steps[1..], [Step::Part { leg: 6 }, Step::Part { leg: 7 }]);
}

/// What is not what its type says ends the module before anybody is asked for anything.
#[test]
fn bad_values_end_the_guest_and_no_step_is_asked_for() {
    let node = Node::new(small());
    let refer = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)";
    let dial = |targets: &str, options: &str| {
        format!(
            "(i32.store (i32.const 768) (i32.const 512)) (i32.store (i32.const 772) {targets}) {options}
             (call $dial (i32.const 768) (i32.const 64))"
        )
    };
    let cases: Vec<(&str, FaultCode, String, String)> = vec![
        (
            "digits of no kind",
            FaultCode::BadValue,
            import("bridge", 4),
            "(call $bridge (i32.const 1) (i32.const 2) (i32.const 7) (i32.const 64))".into(),
        ),
        (
            "a target of no kind",
            FaultCode::BadValue,
            import("refer", 7),
            format!("(call $refer (i32.const 1) (i32.const 9) {refer})"),
        ),
        (
            "text that is not UTF-8",
            FaultCode::BadValue,
            import("send-digits", 4),
            "(i32.store8 (i32.const 512) (i32.const 255)) (call $send_digits (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 64))"
                .into(),
        ),
        (
            "a name beyond memory",
            FaultCode::BadValue,
            import("give", 4),
            "(call $give (i32.const 1) (i32.const 512) (i32.const -1) (i32.const 64))".into(),
        ),
        ("targets beyond memory", FaultCode::BadValue, import("dial", 2), dial("(i32.const -1)", "")),
        (
            "an order of no kind",
            FaultCode::BadValue,
            import("dial", 2),
            dial("(i32.const 0)", "(i32.store (i32.const 776) (i32.const 1)) (i32.store (i32.const 780) (i32.const 0x0901))"),
        ),
        (
            "an option that neither is nor is not",
            FaultCode::BadValue,
            import("dial", 2),
            dial("(i32.const 0)", "(i32.store (i32.const 776) (i32.const 3))"),
        ),
    ];
    for (number, (name, code, imports, body)) in cases.into_iter().enumerate() {
        let module = node.module(number as u128 + 1, &guest(&imports, &body, ""));
        let run = node.start(&module);
        let What::Ended { end: GuestEnd::Fault(fault), .. } = node.next().what else { panic!("{name}: no fault") };
        assert_eq!(fault.code, code, "{name}: {fault}");
        assert_eq!(node.handle.live(), 0, "{name} {run}");
    }
    // Where the result goes is looked at when there is one.
    let body = "(call $hold (i32.const 1) (i32.const -4))";
    let told = told(&node, 99, &guest(&import("hold", 2), body, ""), vec![Outcome::Done]);
    assert!(matches!(&told.end, GuestEnd::Fault(fault) if fault.code == FaultCode::BadValue), "{told:?}");
}

/// 125,000 targets in a megabyte, each the same 64 bytes: eight megabytes for whoever copies them.
#[test]
fn a_list_that_would_be_too_long_for_the_host_is_not_read() {
    let node = Node::new(small());
    let memory = "(memory (export \"memory\") 160)";
    let body = "(local $at i32)
        (local.set $at (i32.const 8192))
        (loop $more
          (i32.store (local.get $at) (i32.const 512)) (i32.store offset=4 (local.get $at) (i32.const 64))
          (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 1008192))))
        (i32.store (i32.const 768) (i32.const 8192)) (i32.store (i32.const 772) (i32.const 125000))
        (call $dial (i32.const 768) (i32.const 64))";
    let wat = node::guest_with(memory, node::REALLOC, &import("dial", 2), body, "");
    let module = node.module(1, &wat);
    node.start(&module);
    let What::Ended { end: GuestEnd::Fault(fault), .. } = node.next().what else { panic!("no fault") };
    assert_eq!(fault.code, FaultCode::ValueTooLarge, "{fault}");
}

#[test]
fn an_answer_of_another_kind_is_the_nodes_fault() {
    let node = Node::new(small());
    let cases = [
        (import("legs", 1), "(call $legs (i32.const 64))", Outcome::Done),
        (import("leg-headers", 2), "(call $leg_headers (i32.const 1) (i32.const 64))", Outcome::Legs(Vec::new())),
        (import("dial", 2), "(call $dial (i32.const 768) (i32.const 64))", Outcome::Status(200)),
        (import("hold", 2), "(call $hold (i32.const 1) (i32.const 64))", Outcome::Dialling(2)),
        (import("part", 2), "(call $part (i32.const 1) (i32.const 64))", Outcome::Headers(Vec::new())),
    ];
    for (number, (imports, body, outcome)) in cases.into_iter().enumerate() {
        let told = told(&node, number as u128 + 1, &guest(&imports, body, ""), vec![outcome]);
        let GuestEnd::Fault(fault) = &told.end else { panic!("{body}: {told:?}") };
        assert_eq!(fault.code, FaultCode::HostDependency, "{body}: {fault}");
    }
}
