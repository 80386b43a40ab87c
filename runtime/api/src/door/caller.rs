//! Who asks.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use callbox_model::{KeyId, TenantId};

use crate::backend::{Role, Scope};
use crate::problem::{Code, Problem};

/// What the door found out. Handlers behind a door that is open to all have none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) key: KeyId,
    pub(crate) role: Role,
    /// Whose things are seen.
    pub(crate) scope: Scope,
}

impl Caller {
    /// The tenant that something is made for.
    pub(crate) fn tenant(&self) -> Result<TenantId, Problem> {
        self.scope.tenant().ok_or_else(|| {
            Problem::new(Code::TenantNeeded, "an operator makes this for a tenant: name it with `?tenant=`")
        })
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().copied();
        caller.ok_or_else(|| Problem::new(Code::Internal, "this route stands behind no door"))
    }
}
