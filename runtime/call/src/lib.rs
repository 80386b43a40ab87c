//! The call brain: what happens to one call, as a pure state machine.
//!
//! [`Call`] is told of the leg's events, of sound, of what the module in control asks for, and of
//! the time; it says what the drivers shall do, what is to be written down, and when it wants to
//! be woken. It knows no SIP, no packet, no WebAssembly and no database, and never waits.
//!
//! - A **leg** is the far end: signalling and a stream of sound.
//! - One **Control** holds the call at every moment: a module's, or callbox's own.
//! - A **step** is what a module asks for; each is answered once, by an outcome.
//! - A **row** of the ledger is one Control's stretch; the rows of a call tile its life.
//!
//! Entry: [`Call::new`], [`Call::handle`], [`Call::next_deadline`].

#![forbid(unsafe_code)]

mod border;
mod call;
mod check;
mod control;
mod digits;
mod gather;
mod journal;
mod last_resort;
mod ledger;
mod line;
mod mailbox;
mod offer;
mod plan;
mod play;
mod record;
mod steps;

pub use border::{GuestEnd, Input, Output, PeerMessage};
pub use call::Call;
pub use plan::{ApplicationPlan, HandlerPlan, Setup};

#[cfg(test)]
mod tests;
