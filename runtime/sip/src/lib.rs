//! SIP as pure machines: messages, transactions, dialogs, and a user agent.
//!
//! - [`Message`] reads what came over the wire without copying it; headers are typed when they
//!   are asked for. [`Framer`] cuts messages out of a stream. [`write`] makes new ones.
//! - [`Agent`] is a user agent: it is told of messages, of the time, and of what its user wants,
//!   and says what to send and what happened. It holds transactions and dialogs.
//! - [`digest`] proves who a user is, on both sides. [`registrar`] knows where users can be
//!   reached, [`enroll`] tells another registrar where we are, and [`locate`] finds where a URI
//!   leads.
//!
//! Nothing here has a socket, a clock or chance; bodies are opaque bytes.
//!
//! The wire is read by a parser of our own; the README says why. The feature `rsip` converts to
//! and from the types of that crate, for code that is written on it.

#![forbid(unsafe_code)]

mod address;
mod agent;
mod dice;
pub mod digest;
pub mod enroll;
mod framer;
mod header;
pub mod locate;
mod lru;
mod message;
pub mod registrar;
#[cfg(any(test, feature = "rsip"))]
pub mod rsip;

mod scan;
mod transaction;
mod uri;
mod validate;
mod via;
pub mod write;

pub use address::Address;
pub use agent::{
    Agent, Answered, Chance, Command, Credentials, Decision, Dial, Door, Effect, Event, Invite, LegId, No, Peer,
    ReferTo, Refusal, RequestId, Settings, Transport,
};
pub use framer::{Framed, Framer};
pub use header::{Name, Params};
pub use message::{Broken, Limits, Message, Method, ParseError, StartLine};
pub use uri::{Host, Scheme, Uri, UriError};
pub use validate::Invalid;
pub use via::Via;

#[cfg(test)]
mod torture;
