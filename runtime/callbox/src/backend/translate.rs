//! Between the API's words and the store's.

use callbox_api::backend::{self as api, BackendError};
use callbox_store as store;

pub fn error(error: store::Error) -> BackendError {
    match error {
        store::Error::NotFound { what, id } => BackendError::NotFound { what, id },
        store::Error::Conflict { .. } => BackendError::conflict("conflict", error.to_string()),
        store::Error::Stale { current, .. } => BackendError::RevisionMismatch { current },
        store::Error::Refused { what, .. } => BackendError::invalid(what, error.to_string()),
        store::Error::Quota { limit, .. } => BackendError::Quota { limit, detail: error.to_string() },
        store::Error::Unavailable { .. } => BackendError::unavailable(error.to_string()),
        store::Error::Corrupt { .. } => {
            tracing::error!(%error, "the database is damaged");
            BackendError::unavailable(error.to_string())
        }
    }
}

/// As [`error`], where a conflict or a refusal has a code of its own.
pub fn coded(code: &'static str) -> impl Fn(store::Error) -> BackendError {
    move |failed| match failed {
        store::Error::Conflict { .. } => BackendError::conflict(code, failed.to_string()),
        other => error(other),
    }
}

pub fn scope(scope: api::Scope) -> store::Scope {
    match scope {
        api::Scope::All => store::Scope::Operator,
        api::Scope::Tenant(tenant) => store::Scope::Tenant(tenant),
    }
}

pub fn page<Key>(page: api::Page<Key>) -> store::Page<Key> {
    store::Page { after: page.after, limit: page.limit }
}

pub fn role(role: api::Role) -> store::Role {
    match role {
        api::Role::Operator => store::Role::Operator,
        api::Role::Tenant(tenant) => store::Role::Tenant(tenant),
    }
}

pub fn key(key: store::ApiKey) -> api::KeyRecord {
    let role = match key.role {
        store::Role::Operator => api::Role::Operator,
        store::Role::Tenant(tenant) => api::Role::Tenant(tenant),
    };
    api::KeyRecord { id: key.id, role, name: key.name, hash: key.hash, created: key.created }
}

pub fn placed(stored: store::Stored) -> api::PlacedEvent {
    api::PlacedEvent { position: stored.position, event: stored.event }
}
