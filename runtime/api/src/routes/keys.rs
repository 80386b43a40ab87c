//! API keys: operators' own, and those of tenants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callbox_model::{KeyId, TenantId};

use super::{created, unkept};
use crate::app::App;
use crate::backend::{self, Role};
use crate::door::Caller;
use crate::extract::{Body, Path};
use crate::key::Secret;
use crate::problem::{Code, Problem, Result};
use crate::views::{Key, KeyBody, List, NewKey};

/// Operators' keys, oldest first
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses(
    (status = 200, description = "All of them; the keys themselves are kept nowhere", body = List<Key>)
))]
pub(super) async fn list_keys(State(app): State<App>) -> Result<Json<List<Key>>> {
    list(&app, Role::Operator).await
}

/// Make a key for an operator
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyBody, responses(
    (status = 201, description = "Made. The key is shown this once", body = NewKey)
))]
pub(super) async fn create_key(State(app): State<App>, Body(body): Body<KeyBody>) -> Result<Response> {
    create(&app, Role::Operator, body, "/v1/keys").await
}

/// Revoke an operator's key
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)), responses(
    (status = 204, description = "It opens nothing any more")
))]
pub(super) async fn delete_key(State(app): State<App>, caller: Caller, Path(id): Path<KeyId>) -> Result<StatusCode> {
    if caller.key == id {
        return Err(Problem::new(Code::OwnKey, format!("`{id}` is the key of this very request")));
    }
    app.backend.delete_key(Role::Operator, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A tenant's keys, oldest first
#[utoipa::path(get, path = "/v1/tenants/{id}/keys", tag = "keys", params(("id" = String, Path)), responses(
    (status = 200, description = "All of them; the keys themselves are kept nowhere", body = List<Key>)
))]
pub(super) async fn list_tenant_keys(State(app): State<App>, Path(id): Path<TenantId>) -> Result<Json<List<Key>>> {
    app.backend.tenant(id).await?;
    list(&app, Role::Tenant(id)).await
}

/// Make a key for a tenant
#[utoipa::path(post, path = "/v1/tenants/{id}/keys", tag = "keys", params(("id" = String, Path)),
    request_body = KeyBody, responses((status = 201, description = "Made. The key is shown this once", body = NewKey)))]
pub(super) async fn create_tenant_key(
    State(app): State<App>,
    Path(id): Path<TenantId>,
    Body(body): Body<KeyBody>,
) -> Result<Response> {
    app.backend.tenant(id).await?;
    create(&app, Role::Tenant(id), body, &format!("/v1/tenants/{id}/keys")).await
}

/// Revoke a tenant's key
#[utoipa::path(delete, path = "/v1/tenants/{id}/keys/{key}", tag = "keys",
    params(("id" = String, Path), ("key" = String, Path)),
    responses((status = 204, description = "It opens nothing any more")))]
pub(super) async fn delete_tenant_key(
    State(app): State<App>,
    Path((id, key)): Path<(TenantId, KeyId)>,
) -> Result<StatusCode> {
    app.backend.delete_key(Role::Tenant(id), key).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(app: &App, role: Role) -> Result<Json<List<Key>>> {
    let items = app.backend.keys(role).await?.into_iter().map(Key::from).collect();
    Ok(Json(List { items, next: None }))
}

async fn create(app: &App, role: Role, body: KeyBody, path: &str) -> Result<Response> {
    let name = body.check()?;
    let secret = Secret::random().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let record = app.backend.create_key(backend::NewKey { role, name, hash: secret.hash() }).await?;
    let id = record.id;
    let body = NewKey { record: record.into(), key: secret.into_key(id) };
    Ok(unkept(created(format!("{path}/{id}"), body)))
}
