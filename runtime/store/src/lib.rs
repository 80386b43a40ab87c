//! What callbox keeps: a trait of domain operations, and its implementation over SQLite.
//!
//! Three kinds of thing are kept. *What tenants own* (tenants, keys, modules, applications,
//! secrets, assets, numbers, kv) is changed by the API, each change in one transaction with the
//! event that speaks of it. *The ledger* (events, runs) is written by the node through the
//! [`Writer`], in batches; calls and recordings are projections of its events. *The outbox* is
//! the events again, read by position.
//!
//! The trait never speaks SQL, so that another database is another implementation which passes
//! the same suite (`tests/conformance.rs`). It decides nothing: what a tenant may do is the API's,
//! what a call does is the brain's. It does not encrypt: secrets come as ciphertext.
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
mod query;
pub mod sqlite;
mod store;
pub mod writer;

pub use directory::{Directory, NewApplication, NewModule};
pub use entry::{Entry, Lost, Note, Reading, Stored};
pub use error::Error;
pub use key::{ApiKey, Role};
pub use kv::Put;
pub use query::{
    ApplicationFilter, CallFilter, EventFilter, ModuleFilter, NumberFilter, Page, Scope, UsageBy, UsageFilter,
};
pub use sqlite::Sqlite;
pub use store::{Future, KvFuture, Store};
pub use writer::{Writer, WriterHandle};
