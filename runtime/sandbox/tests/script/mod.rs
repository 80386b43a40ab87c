//! A brain that plays the other part of a built guest: each step it expects, with its outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;

use callbox_model::{EndCause, GuestEvent, LegChange, LegNumber, LegState, Outcome, RunId, Step};
use callbox_sandbox::{GuestEnd, What};

use crate::node::{Node, small};

/// One call of a guest.
pub(crate) struct Call {
    node: Node,
    run: RunId,
    pub(crate) log: Vec<String>,
    ask: u64,
}

impl Call {
    pub(crate) fn begin(guest: &str, config: &[(&str, &str)]) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/.cache/guests/{guest}.wasm"));
        let bytes = std::fs::read(&path).expect("build the guests first: tests/build-guests");
        let node = Node::new(small());
        let module = node.install(1, &bytes);
        let config: BTreeMap<_, _> = config.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let run = node.start_set(&module, config);
        Self { node, run, log: Vec::new(), ask: 0 }
    }

    pub(crate) fn step(&mut self) -> Step {
        loop {
            match self.node.next().what {
                What::Step { ask, step } => {
                    self.ask = ask;
                    return step;
                }
                What::Log { message, .. } => self.log.push(message),
                other => panic!("no step: {other:?}, after {:?}", self.log),
            }
        }
    }

    pub(crate) fn answer(&mut self, outcome: Outcome) {
        self.node.handle.outcome(self.run, self.ask, outcome);
    }

    /// The next step is this one, and its outcome that one.
    pub(crate) fn expect(&mut self, step: Step, outcome: Outcome) {
        assert_eq!(self.step(), step);
        self.answer(outcome);
    }

    pub(crate) fn done(&mut self, step: Step) {
        self.expect(step, Outcome::Done);
    }

    /// The guest waits, without limit, and this happens.
    pub(crate) fn happens(&mut self, event: GuestEvent) {
        self.expect(Step::Next { timeout: None }, Outcome::Event(Some(event)));
    }

    /// The guest asks what has happened already, and nothing has.
    pub(crate) fn nothing_yet(&mut self) {
        self.expect(Step::Next { timeout: Some(0) }, Outcome::Event(None));
    }

    pub(crate) fn end(&mut self) -> GuestEnd {
        loop {
            match self.node.next().what {
                What::Ended { end, .. } => return end,
                What::Log { message, .. } => self.log.push(message),
                other => panic!("no end: {other:?}"),
            }
        }
    }

    /// The legs as they stand, for a guest that asks.
    pub(crate) fn stands(&mut self, legs: &[(LegNumber, LegState)]) {
        let legs = legs.iter().map(|(id, state)| callbox_model::Leg {
            id: *id,
            address: format!("sip:{id}@example.org"),
            state: state.clone(),
        });
        self.expect(Step::Legs, Outcome::Legs(legs.collect()));
    }
}

pub(crate) fn leg(leg: LegNumber, state: LegState) -> GuestEvent {
    GuestEvent::Leg(LegChange { leg, state })
}

pub(crate) fn cause(status: u16) -> EndCause {
    EndCause { status, reason: "of the script".into(), remote: true }
}

pub(crate) fn over(leg_number: LegNumber, status: u16) -> GuestEvent {
    leg(leg_number, LegState::Ended(cause(status)))
}

pub(crate) fn digit(digit: char) -> GuestEvent {
    GuestEvent::Digit(callbox_model::Digit { leg: 1, digit, length: 100 })
}
