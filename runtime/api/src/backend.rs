//! What the API needs of the node. The node implements these traits over its store, its sandbox
//! and its calls; [`Backend`] is all of them together.
//!
//! Every method may be dropped while it waits only when it reads. Whatever changes something is
//! run in a task of its own, and goes on when the client has gone away.

mod access;
mod applications;
mod calls;
mod events;
mod modules;
mod node;
mod sip;

use callbox_model::TenantId;
use thiserror::Error;

pub use access::{Access, KeyRecord, NewKey, Role, TenantChange, TenantFilter};
pub use applications::{ApplicationFilter, Applications, Audio, NewNumber, NumberFilter, Numbers};
pub use calls::{CallFilter, Calls, NewCall, OutboundToday, RecordingFilter, UsageBy, UsageFilter};
pub use events::{EventFilter, EventPage, Events, PlacedEvent};
pub use modules::{ModuleFilter, Modules};
pub use node::{Check, CheckState, DictionaryEntry, Listener, Node, NodeInfo};
pub use sip::{
    DomainFilter, Domains, NewTrunk, NewUser, PasswordChange, Registrations, ShownTrunk, TrunkChange, TrunkFilter,
    Trunks, UserChange, UserFilter, Users,
};

/// Everything that the API asks for.
pub trait Backend:
    Access + Modules + Applications + Numbers + Domains + Users + Registrations + Trunks + Calls + Events + Node
{
}

impl<T> Backend for T where
    T: Access + Modules + Applications + Numbers + Domains + Users + Registrations + Trunks + Calls + Events + Node
{
}

pub type Result<T> = std::result::Result<T, BackendError>;

/// Whose things are asked for. What is outside the scope is not there: [`BackendError::NotFound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An operator that named no tenant.
    All,
    Tenant(TenantId),
}

impl Scope {
    pub fn admits(self, owner: TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(tenant) => tenant == owner,
        }
    }

    /// None is all tenants.
    pub fn tenant(self) -> Option<TenantId> {
        match self {
            Self::All => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }
}

/// A piece of a list: at most `limit` things that come behind `after` in the list's own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Key> {
    pub after: Option<Key>,
    pub limit: u32,
}

/// Why the node did not do it. Each becomes a problem body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackendError {
    /// 404. Not there, or not in the scope: the two must not be told apart.
    #[error("there is no {what} `{id}`")]
    NotFound { what: &'static str, id: String },
    /// 409. A code of the API's own comes with its own status, whatever stands here.
    #[error("{detail}")]
    Conflict { code: &'static str, detail: String },
    /// 422, with the field.
    #[error("`{field}`: {detail}")]
    Invalid { field: String, detail: String },
    /// Any 4xx status, with a code from [`Node::dictionary`]; or one of the API's own, which comes
    /// with its own status.
    #[error("{detail}")]
    Refused { code: String, status: u16, detail: String },
    /// 429. `limit` is the limit's name.
    #[error("the limit `{limit}` is reached: {detail}")]
    Quota { limit: &'static str, detail: String },
    /// 412: somebody else changed it first.
    #[error("the revision is {current} now")]
    RevisionMismatch { current: u64 },
    /// 503: something that the node needs is away.
    #[error("{detail}")]
    Unavailable { detail: String },
}

impl BackendError {
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }

    /// By a code of the API's own, such as those of [`Calls::place`].
    pub fn refused(code: &str, detail: impl Into<String>) -> Self {
        Self::Refused { code: code.to_owned(), status: 422, detail: detail.into() }
    }

    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), detail: detail.into() }
    }

    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into() }
    }
}
