//! Guests beside each other: fair, parked, dropped, and quiet.

mod node;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use callbox_model::{FaultCode, GuestEvent, Message, Outcome};
use callbox_sandbox::{GuestEnd, What};
use node::{NEXT, Node, PARK, guest, small};

#[test]
fn a_looping_guest_does_not_keep_the_thread() {
    let node = Node::new(callbox_model::Limits { step_cpu_ms: 1_500, ..small() });
    let loops = node.module(1, &guest("", "(loop $again (br $again))", ""));
    let waits = node.module(2, &guest(NEXT, &PARK.repeat(20), ""));
    let polite = node.start(&waits);
    let What::Step { mut ask, .. } = node.next().what else { panic!("no step") };
    let hog = node.start(&loops);
    let mut worst = Duration::ZERO;
    let mut done = false;
    for _ in 0..19 {
        let asked = Instant::now();
        let message = GuestEvent::Message(Message { sender: String::new(), body: "{}".into() });
        node.handle.outcome(polite, ask, Outcome::Event(Some(message)));
        let event = node.next();
        if event.run == hog {
            done = true;
            break;
        }
        let What::Step { ask: next, .. } = event.what else { panic!("no step") };
        ask = next;
        worst = worst.max(asked.elapsed());
    }
    assert!(!done, "the loop ended before the other had its steps");
    // A slice is 1 ms; the rest is room for a busy machine.
    assert!(worst < Duration::from_millis(150), "{worst:?}");
}

#[test]
fn parked_guests_that_are_stopped_leave_nothing() {
    let node = Node::new(small());
    let module = node.module(1, &guest(NEXT, PARK, ""));
    for _ in 0..3 {
        let runs: Vec<_> = (0..8).map(|_| node.start(&module)).collect();
        for _ in &runs {
            assert!(matches!(node.next().what, What::Step { .. }));
        }
        assert_eq!(node.handle.live(), 8);
        for run in &runs {
            node.handle.stop(*run);
        }
        for _ in &runs {
            assert!(matches!(node.next().what, What::Ended { end: GuestEnd::Stopped, .. }));
        }
        assert_eq!(node.handle.live(), 0);
    }
    node.handle.outcome(callbox_model::RunId::from_u128(1), 1, Outcome::Done);
    assert_eq!(node.handle.late_outcomes(), 1);
}

#[test]
fn the_ticker_sleeps_while_every_guest_is_parked() {
    let node = Node::new(small());
    let module = node.module(1, &guest(NEXT, PARK, ""));
    let run = node.start(&module);
    assert!(matches!(node.next().what, What::Step { .. }));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = node.handle.ticks();
        std::thread::sleep(Duration::from_millis(100));
        if node.handle.ticks() == before {
            break;
        }
        assert!(Instant::now() < deadline, "it never sleeps");
    }
    node.handle.sample(run);
    let What::Sampled(usage) = node.next().what else { panic!("no sample") };
    assert_eq!(usage.host_calls.get("events.next"), Some(&1));
    node.handle.outcome(run, 1, Outcome::Event(None));
    assert_eq!(node.end(run).0, GuestEnd::Ok);
}

/// Twice as many as there are places, each stopped at another moment of its start: one end each.
#[test]
fn every_start_has_one_end_whenever_it_is_stopped() {
    let node = Node::new(small());
    let module = node.module(1, &guest(NEXT, PARK, ""));
    let mut ends: BTreeMap<_, u32> = BTreeMap::new();
    let mut refused = 0;
    for round in 0..40u64 {
        let runs: Vec<_> = (0..16).map(|_| node.start(&module)).collect();
        std::thread::sleep(Duration::from_micros(round * 50));
        for run in &runs {
            node.handle.stop(*run);
        }
        let mut left = runs.len();
        while left > 0 {
            let event = node.next();
            if let What::Ended { end, .. } = event.what {
                left -= 1;
                *ends.entry(event.run).or_default() += 1;
                match end {
                    GuestEnd::Stopped => {}
                    GuestEnd::Fault(fault) if fault.code == FaultCode::NoInstanceFree => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(ends.len() == 640 && ends.values().all(|count| *count == 1), "{ends:?}");
    assert!(refused > 0, "the pool was never full");
    assert_eq!(node.handle.live(), 0);
}

/// The driver's end, with guests that have not had their first turn yet.
#[test]
fn the_drivers_end_ends_everybody() {
    let node = Node::new(small());
    let module = node.module(1, &guest(NEXT, PARK, ""));
    for _ in 0..8 {
        node.start(&module);
    }
    let events = node.stop();
    let mut ended = 0;
    while let Ok(event) = events.recv_timeout(Duration::from_secs(20)) {
        ended += u32::from(matches!(event.what, What::Ended { end: GuestEnd::Stopped, .. }));
    }
    assert_eq!(ended, 8);
}
