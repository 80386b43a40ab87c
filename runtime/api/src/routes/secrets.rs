//! Secrets of an application: written, never shown.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use callbox_model::ApplicationId;

use crate::app::App;
use crate::door::Caller;
use crate::extract::{Body, Path};
use crate::problem::Result;
use crate::views::{SecretBody, SecretNames};

/// Names of an application's secrets
#[utoipa::path(get, path = "/v1/applications/{id}/secrets", tag = "secrets", params(("id" = String, Path)), responses(
    (status = 200, description = "The names; values are never shown", body = SecretNames)
))]
pub(super) async fn list_secrets(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ApplicationId>,
) -> Result<Json<SecretNames>> {
    Ok(Json(SecretNames { items: app.backend.application(caller.scope, id).await?.secrets }))
}

/// Make or replace a secret
#[utoipa::path(put, path = "/v1/applications/{id}/secrets/{name}", tag = "secrets",
    params(("id" = String, Path), ("name" = String, Path)), request_body = SecretBody,
    responses((status = 204, description = "Kept; calls that begin from now on read it")))]
pub(super) async fn put_secret(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(ApplicationId, String)>,
    Body(body): Body<SecretBody>,
) -> Result<StatusCode> {
    let value = body.check(&name)?;
    app.backend.put_secret(caller.scope, id, name, value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a secret
#[utoipa::path(delete, path = "/v1/applications/{id}/secrets/{name}", tag = "secrets",
    params(("id" = String, Path), ("name" = String, Path)), responses((status = 204, description = "Gone")))]
pub(super) async fn delete_secret(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(ApplicationId, String)>,
) -> Result<StatusCode> {
    app.backend.delete_secret(caller.scope, id, name).await?;
    Ok(StatusCode::NO_CONTENT)
}
