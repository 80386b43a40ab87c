//! Where users can be reached.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use callbox_model::UserId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::door::Caller;
use crate::extract::{Path, Query};
use crate::problem::Result;
use crate::views::{List, Registration};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactQuery {
    /// Only the one of this Contact URI.
    contact: Option<String>,
}

/// Registrations of a user, by contact
#[utoipa::path(get, path = "/v1/users/{id}/registrations", tag = "users", params(("id" = String, Path)), responses(
    (status = 200, description = "All that have not run out", body = List<Registration>)
))]
pub(super) async fn list_registrations(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<List<Registration>>> {
    let items = app.backend.registrations(caller.scope, id).await?.into_iter().map(Registration::from).collect();
    Ok(Json(List { items, next: None }))
}

/// Forget where a user can be reached
///
/// A phone that renews its registration is there again; give the user another password to keep
/// it out.
#[utoipa::path(delete, path = "/v1/users/{id}/registrations", tag = "users",
    params(("id" = String, Path), ContactQuery), responses(
        (status = 204, description = "Calls to the user go there no longer")
))]
pub(super) async fn delete_registrations(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
    Query(query): Query<ContactQuery>,
) -> Result<StatusCode> {
    app.backend.remove_registrations(caller.scope, id, query.contact).await?;
    Ok(StatusCode::NO_CONTENT)
}
