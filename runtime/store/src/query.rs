//! What is asked for: whose, which, and how much of it.

use callbox_model::{ApplicationId, CallStatus, ModuleState, Subject, TenantId, Wall};

/// Whose things are seen. Everything outside is as if it were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All tenants.
    Operator,
    Tenant(TenantId),
}

impl Scope {
    pub const fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Operator => None,
            Self::Tenant(id) => Some(id),
        }
    }
}

/// One page of a list: what comes after `after`, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<Cursor> {
    pub after: Option<Cursor>,
    /// At most 1,000 are given, whatever is asked.
    pub limit: u32,
}

impl<Cursor> Page<Cursor> {
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    pub const fn after(cursor: Cursor, limit: u32) -> Self {
        Self { after: Some(cursor), limit }
    }
}

/// Modules, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFilter {
    pub scope: Scope,
    /// All versions of this name.
    pub name: Option<String>,
    pub state: Option<ModuleState>,
}

/// Applications, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationFilter {
    pub scope: Scope,
    pub name: Option<String>,
}

/// Numbers, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberFilter {
    pub scope: Scope,
    pub address: Option<String>,
    pub application: Option<ApplicationId>,
}

/// Domains, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFilter {
    pub scope: Scope,
    pub name: Option<String>,
}

/// Users, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFilter {
    pub scope: Scope,
    /// The domain's name.
    pub domain: Option<String>,
    pub name: Option<String>,
}

/// Trunks, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkFilter {
    pub scope: Scope,
    pub name: Option<String>,
}

/// Calls, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFilter {
    pub scope: Scope,
    pub application: Option<ApplicationId>,
    /// The number (address pattern) that led to the application.
    pub number: Option<String>,
    pub status: Option<CallStatus>,
    /// Started then or later.
    pub since: Option<Wall>,
    /// Started before.
    pub until: Option<Wall>,
}

/// Events, the oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFilter {
    pub scope: Scope,
    pub subject: Option<Subject>,
    /// `call.started` for example. Empty: all.
    pub types: Vec<String>,
}

/// Runs that began in a period, added up.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageFilter {
    pub scope: Scope,
    pub application: Option<ApplicationId>,
    /// A module's name.
    pub module: Option<String>,
    /// Began then or later.
    pub since: Option<Wall>,
    /// Began before.
    pub until: Option<Wall>,
    pub by: UsageBy,
}

/// What one row is the sum of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageBy {
    /// One version of a module, in one application.
    #[default]
    Module,
    Application,
    Tenant,
}

impl ModuleFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, name: None, state: None }
    }
}

impl ApplicationFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, name: None }
    }
}

impl NumberFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, address: None, application: None }
    }
}

impl DomainFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, name: None }
    }
}

impl UserFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, domain: None, name: None }
    }
}

impl TrunkFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, name: None }
    }
}

impl CallFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, application: None, number: None, status: None, since: None, until: None }
    }
}

impl EventFilter {
    pub const fn all(scope: Scope) -> Self {
        Self { scope, subject: None, types: Vec::new() }
    }

    pub const fn of(scope: Scope, subject: Subject) -> Self {
        Self { scope, subject: Some(subject), types: Vec::new() }
    }
}

impl UsageFilter {
    pub const fn all(scope: Scope, by: UsageBy) -> Self {
        Self { scope, application: None, module: None, since: None, until: None, by }
    }
}
