//! Who may call, and through whom calls go: domains, users with their registrations, trunks.
//!
//! Passwords come as they were typed. The node makes verifiers of users' and seals both; neither
//! ever comes back.

use async_trait::async_trait;
use callbox_model::{Domain, DomainId, Registration, TenantId, Trunk, TrunkId, TrunkSpec, TrunkState, User, UserId};

use super::{Page, Result, Scope};
use crate::Password;

#[async_trait]
pub trait Domains: Send + Sync {
    /// In the order of their ids.
    async fn domains(&self, scope: Scope, filter: DomainFilter, page: Page<DomainId>) -> Result<Vec<Domain>>;
    async fn domain(&self, scope: Scope, id: DomainId) -> Result<Domain>;
    /// `name` is in lower case. `domain-taken` when any tenant has it.
    async fn create_domain(&self, tenant: TenantId, name: String, md5: bool) -> Result<Domain>;
    async fn change_domain(&self, scope: Scope, id: DomainId, md5: bool) -> Result<Domain>;
    /// A conflict `domain-in-use` while users are in it.
    async fn delete_domain(&self, scope: Scope, id: DomainId) -> Result<()>;
}

#[async_trait]
pub trait Users: Send + Sync {
    /// In the order of their ids.
    async fn users(&self, scope: Scope, filter: UserFilter, page: Page<UserId>) -> Result<Vec<User>>;
    async fn user(&self, scope: Scope, id: UserId) -> Result<User>;
    /// `name-taken` when the domain has one of that name; `Invalid` at `domain` when the domain is
    /// not the tenant's.
    async fn create_user(&self, tenant: TenantId, user: NewUser) -> Result<User>;
    async fn change_user(&self, scope: Scope, id: UserId, change: UserChange) -> Result<User>;
    /// With its registrations.
    async fn delete_user(&self, scope: Scope, id: UserId) -> Result<()>;
}

#[async_trait]
pub trait Registrations: Send + Sync {
    /// Those that have not run out, by contact. Not found when there is no such user.
    async fn registrations(&self, scope: Scope, user: UserId) -> Result<Vec<Registration>>;
    /// All, or the one of a contact: not found when there is none. Returns when calls to the user
    /// go there no longer.
    async fn remove_registrations(&self, scope: Scope, user: UserId, contact: Option<String>) -> Result<()>;
}

#[async_trait]
pub trait Trunks: Send + Sync {
    /// In the order of their ids.
    async fn trunks(&self, scope: Scope, filter: TrunkFilter, page: Page<TrunkId>) -> Result<Vec<ShownTrunk>>;
    async fn trunk(&self, scope: Scope, id: TrunkId) -> Result<ShownTrunk>;
    /// `name-taken` when the tenant has one of that name.
    async fn create_trunk(&self, tenant: TenantId, trunk: NewTrunk) -> Result<ShownTrunk>;
    /// `revision` None changes whatever revision there is; otherwise `RevisionMismatch` when it is
    /// not the current one. A conflict `trunk-in-use` when it would lose the name by which an
    /// application knows it.
    async fn change_trunk(
        &self,
        scope: Scope,
        id: TrunkId,
        revision: Option<u64>,
        change: TrunkChange,
    ) -> Result<ShownTrunk>;
    /// A conflict `trunk-in-use` while an application names it.
    async fn delete_trunk(&self, scope: Scope, id: TrunkId) -> Result<()>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainFilter {
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// The domain's name.
    pub domain: Option<String>,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkFilter {
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// The domain's name, in lower case.
    pub domain: String,
    pub name: String,
    pub display: Option<String>,
    pub password: Password,
}

/// None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Some(None) takes it away.
    pub display: Option<Option<String>>,
    pub password: Option<Password>,
}

/// A trunk and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTrunk {
    pub trunk: Trunk,
    pub has_password: bool,
    pub state: TrunkState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrunk {
    pub name: String,
    pub spec: TrunkSpec,
    pub password: Option<Password>,
}

/// A trunk as it is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkChange {
    pub name: String,
    pub spec: TrunkSpec,
    pub password: PasswordChange,
}

/// What becomes of a password, which nobody can read to write it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PasswordChange {
    #[default]
    Keep,
    Remove,
    Put(Password),
}
