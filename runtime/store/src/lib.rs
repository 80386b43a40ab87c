//! What callbox keeps: a trait of domain operations, and its implementation over SQLite.
//!
//! Four kinds of thing are kept. *What tenants own* (tenants, keys, modules, applications,
//! secrets, assets, numbers, domains, users, trunks, kv) is changed by the API, each change in one
//! transaction with the event that speaks of it. *The ledger* (events, runs, what was bought of
//! trunks) is written by the node through the [`Writer`], in batches; calls and recordings are
//! projections of its events. *Registrations* come from phones, many in one transaction. *The
//! outbox* is the events again, read by position.
//!
//! The trait never speaks SQL, so that another database is another implementation which passes
//! the same suite (`tests/conformance.rs`). It decides nothing: what a tenant may do is the API's,
//! what a call does is the brain's. It does not encrypt: secrets come as ciphertext ([`Sealed`]).
//!
//! Nouns: [`Store`], [`Entry`] (one thing to write down), [`Stored`] (an event with its
//! position), [`Scope`] (whose things are seen), [`Directory`] (everything routing needs).
//!
//! Start at [`Sqlite::open`], then [`Store::close_lost`], then [`Writer::start`].

mod directory;
mod entry;
mod error;
mod key;
mod kv;
mod outbound;
mod query;
mod registration;
mod sealed;
pub mod sqlite;
mod store;
pub mod writer;

pub use directory::{
    Directory, KeptTrunk, KeptUser, NewApplication, NewModule, NewTrunk, PasswordChange, TrunkChange, UserChange,
};
pub use entry::{Entry, Lost, Note, Reading, Stored};
pub use error::Error;
pub use key::{ApiKey, Role};
pub use kv::Put;
pub use outbound::{OutboundLeg, OutboundUsage};
pub use query::{
    ApplicationFilter, CallFilter, DomainFilter, EventFilter, ModuleFilter, NumberFilter, Page, Scope, TrunkFilter,
    UsageBy, UsageFilter, UserFilter,
};
pub use registration::RegistrationChange;
pub use sealed::Sealed;
pub use sqlite::Sqlite;
pub use store::{Future, KvFuture, Store};
pub use writer::{Writer, WriterHandle};
