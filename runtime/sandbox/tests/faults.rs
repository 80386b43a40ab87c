//! Each class of fault has a guest that causes it.

mod node;

use callbox_model::{FaultCode, Limits};
use node::{
    LOG, NEXT, Node, PARK, RANDOM, REALLOC, RING, component, componentize, guest, guest_with, small, with_world,
};

const MEMORY: &str = "(memory (export \"memory\") 1)";
const LOOP: &str = "(loop $again (br $again))";

#[test]
fn every_class_of_fault_is_told_by_its_code() {
    let node = Node::new(Limits { host_calls_burst: 50, host_calls_throttled_s: 1, step_wall_ms: 20_000, ..small() });
    let looping_realloc =
        "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)";
    let cases: Vec<(&str, FaultCode, String)> = vec![
        ("unreachable", FaultCode::TrapUnreachable, guest("", "unreachable", "")),
        ("out of bounds", FaultCode::TrapOutOfBounds, guest("", "(drop (i32.load (i32.const -8)))", "")),
        (
            "null function",
            FaultCode::TrapIndirectCall,
            guest("", "(call_indirect (type $none) (i32.const 0))", "(type $none (func)) (table 1 funcref)"),
        ),
        (
            "wrong signature",
            FaultCode::TrapIndirectCall,
            guest(
                "",
                "(call_indirect (type $none) (i32.const 0))",
                "(type $none (func)) (table 1 funcref) (func $other (param i32)) (elem (i32.const 0) $other)",
            ),
        ),
        (
            "division",
            FaultCode::TrapArithmetic,
            guest("", "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 2048))))", ""),
        ),
        ("recursion", FaultCode::StackOverflow, guest("", "(drop (call $handle (i32.const 0)))", "")),
        ("loop", FaultCode::OutOfCpu, guest("", LOOP, "")),
        ("loop in realloc", FaultCode::OutOfCpu, guest_with(MEMORY, looping_realloc, "", "", "")),
        (
            "loop in post-return",
            FaultCode::OutOfCpu,
            guest("", "", &format!("(func (export \"cabi_post_handle\") (param i32) {LOOP})")),
        ),
        (
            "memory bomb",
            FaultCode::OutOfMemory,
            guest(
                "",
                "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
                "",
            ),
        ),
        (
            "table bomb",
            FaultCode::OutOfTable,
            guest(
                "",
                "(loop $more (br_if $more (i32.ne (table.grow (ref.null func) (i32.const 999)) (i32.const -1)))) unreachable",
                "(table 1 funcref)",
            ),
        ),
        (
            "host call storm",
            FaultCode::TooManyHostCalls,
            guest(RANDOM, "(loop $again (drop (call $random)) (br $again))", ""),
        ),
        (
            "huge value",
            FaultCode::ValueTooLarge,
            guest_with(
                "(memory (export \"memory\") 64)",
                REALLOC,
                LOG,
                "(call $log (i32.const 1) (i32.const 0) (i32.const 2097152))",
                "",
            ),
        ),
        (
            "bad text",
            FaultCode::BadValue,
            guest(
                LOG,
                "(i32.store8 (i32.const 512) (i32.const 255)) (call $log (i32.const 1) (i32.const 512) (i32.const 1))",
                "",
            ),
        ),
        (
            "text beyond memory",
            FaultCode::BadValue,
            guest(LOG, "(call $log (i32.const 1) (i32.const 512) (i32.const -1))", ""),
        ),
        ("bad case", FaultCode::BadValue, guest(LOG, "(call $log (i32.const 77) (i32.const 512) (i32.const 1))", "")),
        ("answer of another kind", FaultCode::HostDependency, guest(NEXT, PARK, "")),
    ];
    for (number, (name, code, wat)) in cases.into_iter().enumerate() {
        let module = node.module(number as u128 + 1, &wat);
        let fault = node.fault(node.start(&module));
        assert_eq!(fault.code, code, "{name}: {fault}");
        assert_eq!(node.handle.live(), 0, "{name}");
    }
}

#[test]
fn a_leak_of_handles_ends_at_its_limit() {
    let imports = "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" (func $subscribe (param i64) (result i32)))";
    let wat = guest(imports, "(loop $again (drop (call $subscribe (i64.const 1000000000000))) (br $again))", "");
    let node = Node::new(Limits { handles: 100, ..small() });
    let module = node.install(1, &componentize(&with_world(&wat, CLOCK, "clock")));
    assert_eq!(node.fault(node.start(&module)).code, FaultCode::TooManyHandles);
    assert_eq!(node.handle.live(), 0);
}

/// It neither computes nor asks for a step: it sleeps, as any language's runtime can by WASI.
#[test]
fn a_guest_that_sleeps_through_its_time_between_two_steps_is_too_slow() {
    let imports = "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" (func $subscribe (param i64) (result i32)))
        (import \"wasi:io/poll@0.2.0\" \"[method]pollable.block\" (func $block (param i32)))";
    let sleeper = |ms: u64| {
        let wat = guest(imports, &format!("(call $block (call $subscribe (i64.const {})))", ms * 1_000_000), "");
        componentize(&with_world(&wat, CLOCK, "clock"))
    };
    let node = Node::new(Limits { step_wall_ms: 1_000, ..small() });
    let (long, short) = (node.install(1, &sleeper(60_000)), node.install(2, &sleeper(20)));
    let began = std::time::Instant::now();
    let fault = node.fault(node.start(&long));
    assert_eq!(fault.code, FaultCode::TooSlow, "{fault}");
    assert!(began.elapsed() >= std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(node.end(node.start(&short)).0, callbox_sandbox::GuestEnd::Ok, "a short sleep is no fault");
    assert_eq!(node.handle.live(), 0);
}

/// What an upload is tried with is not what a call brings: chance, and the limits of another day.
#[test]
fn a_module_that_started_at_its_upload_may_not_start_in_a_call() {
    let begin = "(func $begin (if (i32.eq (call $random) (i32.const 13)) (then unreachable))) (start $begin)";
    let node = Node::new(small());
    node.chance(4);
    let module = node.module(1, &guest(RANDOM, "", begin));
    assert_eq!(node.end(node.start(&module)).0, callbox_sandbox::GuestEnd::Ok);
    node.chance(13);
    let fault = node.fault(node.start(&module));
    assert_eq!(fault.code, FaultCode::StartFailed, "{fault}");
    assert_eq!(node.handle.live(), 0);

    // Its compiled form is lost, and the compiler is let have less than it needs by now.
    let tight = Node::new(Limits { compile_memory_bytes: 16 << 20, ..small() });
    let moved = tight.borrow(&node, &module);
    let fault = tight.fault(tight.start(&moved));
    assert_eq!(fault.code, FaultCode::StartFailed, "{fault}");
    assert!(fault.message.contains("compile-limit"), "{fault}");
}

/// Each limit of a running guest, low for one and high enough for the other.
#[test]
fn a_limit_that_is_raised_lets_the_same_guest_go_on() {
    let deep = "(func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))";
    let grown = |what: &str| format!("(if (i32.eq ({what}) (i32.const -1)) (then unreachable))");
    let log = |bytes: u32| format!("(call $log (i32.const 1) (i32.const 10000) (i32.const {bytes}))");
    type Set = fn(&mut Limits, u64);
    let cases: [(&str, FaultCode, String, [u64; 2], Set); 5] = [
        (
            "memory_bytes",
            FaultCode::OutOfMemory,
            guest("", &grown("memory.grow (i32.const 31)"), ""),
            [31 << 16, 32 << 16],
            |limits, most| limits.memory_bytes = most,
        ),
        (
            "table_elements",
            FaultCode::OutOfTable,
            guest("", &grown("table.grow (ref.null func) (i32.const 99)"), "(table 1 funcref)"),
            [99, 100],
            |limits, most| limits.table_elements = most,
        ),
        (
            "stack_bytes",
            FaultCode::StackOverflow,
            guest("", "(call $deep (i32.const 2000))", deep),
            [16 << 10, 512 << 10],
            |limits, most| limits.stack_bytes = most,
        ),
        (
            "host_call_bytes",
            FaultCode::ValueTooLarge,
            guest(LOG, &log(50_000), ""),
            [20_000, 100_000],
            |limits, most| limits.host_call_bytes = most,
        ),
        (
            "step_cpu_ms",
            FaultCode::OutOfCpu,
            guest(
                "",
                "(local $n i32) (loop $on (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if $on (i32.lt_u (local.get $n) (i32.const 60000000))))",
                "",
            ),
            [5, 20_000],
            |limits, most| limits.step_cpu_ms = most as u32,
        ),
    ];
    for (name, code, wat, [low, high], set) in cases {
        let end = |most| {
            let mut limits = small();
            set(&mut limits, most);
            let node = Node::new(limits);
            let module = node.module(1, &wat);
            node.end(node.start(&module)).0
        };
        let fell = end(low);
        assert!(matches!(&fell, callbox_sandbox::GuestEnd::Fault(fault) if fault.code == code), "{name}: {fell:?}");
        assert_eq!(end(high), callbox_sandbox::GuestEnd::Ok, "{name}");
    }
}

/// Both sides know the limit: what is over it does not even reach the call.
#[test]
fn a_state_over_checkpoint_bytes_is_refused_and_no_step() {
    use callbox_model::{Outcome, Step};
    use callbox_sandbox::What;
    let imports = "(import \"callbox:voice/handover@0.1.0\" \"checkpoint\" (func $checkpoint (param i32 i32 i32)))";
    let body = |bytes: u32| format!("(call $checkpoint (i32.const 0) (i32.const {bytes}) (i32.const 1024))");
    let node = Node::new(Limits { checkpoint_bytes: 100, ..small() });
    let module = node.module(1, &guest(imports, &format!("{} {}", body(101), body(100)), ""));
    let run = node.start(&module);
    let What::Step { ask, step: Step::Checkpoint { state } } = node.next().what else { panic!("no checkpoint") };
    assert_eq!(state.len(), 100, "the one over the limit came through");
    node.handle.outcome(run, ask, Outcome::Done);
    let (end, usage) = node.end(run);
    assert_eq!((end, usage.host_calls.get("handover.checkpoint")), (callbox_sandbox::GuestEnd::Ok, Some(&2)));
}

/// Two lines of ten in a second, each cut at its length; the rest is counted.
#[test]
fn a_log_over_its_limits_is_cut_and_counted() {
    use callbox_sandbox::{GuestEnd, What};
    let line = "(call $log (i32.const 1) (i32.const 2048) (i32.const 50))";
    let body = format!("(memory.fill (i32.const 2048) (i32.const 97) (i32.const 50)) {}", line.repeat(10));
    let node = Node::new(Limits { log_lines_per_s: 2, log_line_bytes: 8, ..small() });
    let module = node.module(1, &guest(LOG, &body, ""));
    node.start(&module);
    let mut lines = Vec::new();
    let end = loop {
        match node.next().what {
            What::Log { message, .. } => lines.push(message),
            What::Ended { end, .. } => break end,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, GuestEnd::Ok);
    let cut = "aaaaaaaa [cut: 42 bytes more]";
    assert_eq!(lines, [cut, cut, "[8 lines left out]"]);
}

#[test]
fn what_a_handler_returns_is_told() {
    use callbox_model::StepError;
    use callbox_sandbox::GuestEnd;
    let node = Node::new(small());
    let fine = node.module(1, &guest(RING, "(call $ring (i32.const 0) (i32.const 1024))", ""));
    let (end, usage) = node.end(node.start(&fine));
    assert_eq!(end, GuestEnd::Ok);
    assert_eq!(usage.host_calls.get("call.ring"), Some(&1));
    assert!(usage.cpu_ns > 0 && usage.peak_memory_bytes == 65_536);
    let body = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 68) (i32.const 7))";
    let wrong = node.module(2, &guest("", body, ""));
    assert_eq!(node.end(node.start(&wrong)).0, GuestEnd::Err(StepError::Timeout));
}

#[test]
fn a_start_function_that_falls_or_loops_is_refused_at_upload() {
    let node = Node::new(small());
    for start in ["unreachable", LOOP] {
        let wat = guest("", "", &format!("(func $begin {start}) (start $begin)"));
        let refused = node.accept(component(&wat)).unwrap_err();
        assert_eq!((refused.code, refused.status()), ("start-failed", 422), "{refused}");
    }
    assert_eq!(node.handle.live(), 0);
}

#[test]
fn a_full_pool_and_a_full_share_are_told_apart_from_the_guest() {
    use callbox_model::TenantId;
    use std::sync::Arc;
    let node = Node::new(Limits { instances: 4, tenant_instances_permille: 500, ..Limits::default() });
    let module = node.module(1, &guest(NEXT, PARK, ""));
    let start = |tenant| node.start_for(&module, TenantId::from_u128(tenant), Arc::clone(&node.limits));
    let parked = |run| {
        assert!(
            matches!(node.next(), event if event.run == run && matches!(event.what, callbox_sandbox::What::Step { .. }))
        )
    };
    for tenant in [1, 1, 2, 2] {
        parked(start(tenant));
        if node.handle.live() == 2 {
            let fault = node.fault(start(1));
            assert_eq!(fault.code, FaultCode::NoInstanceFree);
            assert!(fault.message.contains("tenant"));
        }
    }
    let fault = node.fault(start(3));
    assert_eq!(fault.code, FaultCode::NoInstanceFree);
    assert!(fault.message.contains("all 4 instances"));
}

/// WASI's clock, and what it is waited for with.
const CLOCK: &str = "package test:clock;
    world clock { include callbox:voice/call-handler@0.1.0; import wasi:clocks/monotonic-clock@0.2.0; }
    package wasi:clocks@0.2.0 { interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        subscribe-duration: func(when: u64) -> pollable; } }
    package wasi:io@0.2.0 { interface poll { resource pollable { block: func(); } } }";
