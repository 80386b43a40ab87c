//! Keys, and the tenants that they open.

use async_trait::async_trait;
use callbox_model::{KeyId, Tenant, TenantId, TenantState, Wall};

use super::{Page, Result};

#[async_trait]
pub trait Access: Send + Sync {
    /// Asked with every request: keep it in memory.
    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>>;
    /// The keys of one role, oldest first.
    async fn keys(&self, role: Role) -> Result<Vec<KeyRecord>>;
    async fn create_key(&self, key: NewKey) -> Result<KeyRecord>;
    /// From now on the key opens nothing. Not found when it is no key of this role.
    async fn delete_key(&self, role: Role, id: KeyId) -> Result<()>;

    /// In the order of their ids.
    async fn tenants(&self, filter: TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>>;
    async fn tenant(&self, id: TenantId) -> Result<Tenant>;
    /// `name-taken` when there is one of that name.
    async fn create_tenant(&self, name: String) -> Result<Tenant>;
    async fn change_tenant(&self, id: TenantId, change: TenantChange) -> Result<Tenant>;
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Operator,
    Tenant(TenantId),
}

/// A key as it is kept. The secret itself is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub id: KeyId,
    pub role: Role,
    /// For people.
    pub name: String,
    /// SHA-256 of the secret; [`crate::key::hash`].
    pub hash: [u8; 32],
    pub created: Wall,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub role: Role,
    pub name: String,
    pub hash: [u8; 32],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantFilter {
    pub name: Option<String>,
}

/// None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    pub name: Option<String>,
    pub state: Option<TenantState>,
}
