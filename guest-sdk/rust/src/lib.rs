//! Call handlers for callbox, in Rust.
//!
//! A handler is plain code: it asks for a step (answer, say, gather), waits, gets what came of it,
//! and goes on. This is a whole module:
//!
//! ```no_run
#![doc = include_str!("../../../examples/hello/src/lib.rs")]
//! ```
//!
//! And one that asks, in a loop, until the caller says nine or nothing:
//!
//! ```no_run
#![doc = include_str!("../../../examples/menu/src/lib.rs")]
//! ```
//!
//! One that calls somebody else, lets the two talk, and has a word for when nobody takes it:
//!
//! ```no_run
#![doc = include_str!("../../../examples/forward/src/lib.rs")]
//! ```
//!
//! And one that carries out the transfers that the phones ask for:
//!
//! ```no_run
#![doc = include_str!("../../../examples/transfer/src/lib.rs")]
//! ```
//!
//! # Three ways to be wrong
//!
//! An [`Error`] tells the module that a step was not done; the module goes on, or passes it on with
//! `?`. [`Error::Ended`] passed on is a good end: the caller is gone. Any other error that leaves the
//! handler, and any panic, gives the call to the application's next handler, which learns why from
//! [`Call::predecessor`]. A panic's message is in the log.
//!
//! # Many things at once
//!
//! Every step that takes its time can also be begun and not waited for: [`Play::start`],
//! [`Gather::start`], [`Record::start`]. What came of it, and what else happened to the call, is
//! told by [`Call::events`], in order. Whoever waits for one thing, with [`Leg::wait_for_answer`] or
//! [`Call::wait_for`], leaves the others where they are: they come later, in order.
//!
//! # Several legs
//!
//! [`Call::dial`] calls somebody else. A [`Leg`] can be bridged with another, put on hold, sent
//! elsewhere, and given to another call. [`Call::connect`] is what most callers want.
//!
//! # What it deliberately does not
//!
//! The skin is thin. It names defaults, measures time in [`Duration`](std::time::Duration), and
//! passes on everything else as it is. What it leaves out is in [`bindings`].

pub mod ambient;
mod aside;
pub mod bindings;
mod call;
pub mod config;
mod defaults;
mod dial;
mod error;
mod events;
mod gather;
pub mod kv;
mod leg;
pub mod log;
mod play;
mod record;

pub use bindings::callbox::voice::events::{Digit, Event, LegChange, Message, Outcome, ReferRequest, StepOutcome};
pub use bindings::callbox::voice::media::{Gathered, GatheredBy, Played, Recorded};
pub use bindings::callbox::voice::types::{
    CallInfo, Direction, EndCause, Fault, Header, Leg as LegInfo, LegId, LegState, Predecessor, StepId,
};
pub use call::Call;
pub use callbox_macros::handler;
pub use dial::{Dial, Talk};
pub use error::{Error, Result};
pub use events::Events;
pub use gather::Gather;
pub use leg::{Answer, Leg};
pub use play::Play;
pub use record::{Record, Recording};

/// What a handler needs most of the time: `use callbox::prelude::*;`.
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::{Answer, Call, Error, Event, Leg, LegState, Outcome, Result, Talk, ambient, config, kv, log};
}

/// What [`handler`] makes the module's `handle` of.
#[doc(hidden)]
pub fn run(info: CallInfo, handler: fn(Call) -> Result<()>) -> Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        log::error(format!("panicked{place}: {}", panic.payload_as_str().unwrap_or("no words")));
    }));
    handler(Call::new(info))
}

/// The contract's milliseconds. What is longer than it can say (49 days) is as long as it can say.
fn milliseconds(length: std::time::Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}

/// What the manual shows is compiled too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
