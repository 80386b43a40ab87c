//! `events`: what happens to the call while nobody waits for it.

use callbox_model as model;
use callbox_model::{Outcome, Step};

use crate::classify::Kill;
use crate::contract::callbox::voice::events;
use crate::guest::{Guest, unfit};

impl events::Host for Guest {
    async fn next(&mut self, timeout: Option<u32>) -> wasmtime::Result<Option<events::Event>> {
        match self.step("events.next", Step::Next { timeout }).await? {
            Outcome::Event(event) => event.map(event_of).transpose(),
            other => Err(unfit("events.next", &other)),
        }
    }
}

fn event_of(given: model::GuestEvent) -> wasmtime::Result<events::Event> {
    Ok(match given {
        model::GuestEvent::Digit(digit) => {
            events::Event::Digit(events::Digit { leg: digit.leg, digit: digit.digit, length: digit.length })
        }
        model::GuestEvent::Leg(change) => {
            events::Event::Leg(events::LegChange { leg: change.leg, state: change.state.into() })
        }
        model::GuestEvent::Ended(cause) => events::Event::Ended(cause.into()),
        model::GuestEvent::Done(done) => {
            events::Event::Done(events::StepOutcome { step: done.step, outcome: outcome_of(*done.outcome)? })
        }
        model::GuestEvent::Message(message) => {
            events::Event::Message(events::Message { sender: message.sender, body: message.body })
        }
        model::GuestEvent::Refer(asked) => events::Event::Refer(events::ReferRequest { leg: asked.leg, to: asked.to }),
        model::GuestEvent::Given(leg) => events::Event::Given(leg),
    })
}

fn outcome_of(given: Outcome) -> wasmtime::Result<events::Outcome> {
    Ok(match given {
        Outcome::Played(played) => events::Outcome::Played(played.into()),
        Outcome::Gathered(gathered) => events::Outcome::Gathered(gathered.into()),
        Outcome::Recorded(recorded) => events::Outcome::Recorded(recorded.into()),
        Outcome::Failed(error) => events::Outcome::Failed(error.into()),
        Outcome::Done
        | Outcome::Info(_)
        | Outcome::Started(_)
        | Outcome::Event(_)
        | Outcome::Legs(_)
        | Outcome::Headers(_)
        | Outcome::Dialling(_)
        | Outcome::Status(_) => {
            return Err(Kill::Node("a step ended with an outcome that no step in the background has".into()).into());
        }
    })
}
