//! The call brain: what happens to one call, as a pure state machine.
//!
//! [`Call`] is told of its legs' events, of sound, of what the module in control asks for, of what
//! other calls say, and of the time; it says what the drivers shall do, what is to be written down, and when it wants to
//! be woken. It knows no SIP, no packet, no WebAssembly and no database, and never waits.
//!
//! - A **leg** is a far end: signalling and a stream of sound. Leg 1 is the one the call began with;
//!   others are dialled, or given by other calls.
//! - A **bridge** lets two legs hear each other. A **referral** is a far end's wish for a transfer.
//! - A **husk** is what has left its leg and has not come to its end.
//! - One **Control** holds the call at every moment: a module's, or callbox's own.
//! - A **step** is what a module asks for; each is answered once, by an outcome.
//! - A **row** of the ledger is one Control's stretch; the rows of a call tile its life.
//!
//! Entry: [`Call::new`], [`Call::handle`], [`Call::next_deadline`].

#![forbid(unsafe_code)]

mod adopt;
mod answer;
mod attempts;
mod border;
mod bridge;
mod call;
mod check;
mod control;
mod deadlines;
mod dial;
mod digits;
mod early;
mod ending;
mod frames;
mod gather;
mod give;
mod hold;
mod husk;
mod journal;
mod last_resort;
mod ledger;
mod leg;
mod line;
mod mailbox;
mod offer;
mod peer;
mod plan;
mod play;
mod press;
mod record;
mod refer;
mod referral;
mod replace;
mod signalling;
mod sound;
mod steps;

pub use border::{GuestEnd, Input, Output, Passed, PeerMessage};
pub use call::Call;
pub use line::GivenLeg;
pub use plan::{ApplicationPlan, Begin, HandlerPlan, Outgoing, Setup};

#[cfg(test)]
mod tests;
