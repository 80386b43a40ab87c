//! Tenants and keys.

use callbox_model::{KeyId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Fields, Time, mirror};
use crate::backend::{KeyRecord, Role};
use crate::problem::Problem;

mirror! {
    TenantState {
        Active,
        /// No new calls, no changes; running calls go on.
        Suspended,
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    #[schema(value_type = String, example = "ten_01arz3ndektsv4rrffq69g5fav")]
    id: TenantId,
    name: String,
    state: TenantState,
    created: Time,
}

impl From<callbox_model::Tenant> for Tenant {
    fn from(tenant: callbox_model::Tenant) -> Self {
        Self { id: tenant.id, name: tenant.name, state: tenant.state.into(), created: tenant.created.into() }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantBody {
    /// For people. No two tenants have the same.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
}

impl TenantBody {
    pub(crate) fn check(self) -> Result<String, Problem> {
        let mut fields = Fields::default();
        fields.hold_title("name", &self.name);
        fields.done()?;
        Ok(self.name)
    }
}

/// What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantPatch {
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: Option<String>,
    pub(crate) state: Option<TenantState>,
}

impl TenantPatch {
    pub(crate) fn check(self) -> Result<crate::backend::TenantChange, Problem> {
        let mut fields = Fields::default();
        if let Some(name) = &self.name {
            fields.hold_title("name", name);
        }
        fields.done()?;
        Ok(crate::backend::TenantChange { name: self.name, state: self.state.map(Into::into) })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    #[schema(value_type = String, example = "key_01arz3ndektsv4rrffq69g5fav")]
    id: KeyId,
    name: String,
    /// Null for an operator's key.
    #[schema(value_type = Option<String>)]
    tenant: Option<TenantId>,
    created: Time,
}

impl From<KeyRecord> for Key {
    fn from(record: KeyRecord) -> Self {
        let tenant = match record.role {
            Role::Operator => None,
            Role::Tenant(tenant) => Some(tenant),
        };
        Self { id: record.id, name: record.name, tenant, created: record.created.into() }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    #[serde(flatten)]
    pub(crate) record: Key,
    /// The key itself. It is shown this once, and kept nowhere.
    #[schema(
        example = "cbx_01arz3ndektsv4rrffq69g5fav_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    pub(crate) key: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyBody {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
}

impl KeyBody {
    pub(crate) fn check(self) -> Result<String, Problem> {
        TenantBody { name: self.name }.check()
    }
}
