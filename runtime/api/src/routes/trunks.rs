//! Trunks: ways out to, and in from, carriers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callbox_model::TrunkId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::Asked;
use super::{created, with_revision};
use crate::app::App;
use crate::backend::{ShownTrunk, TrunkFilter};
use crate::door::Caller;
use crate::extract::{Body, IfMatch, Path, Query};
use crate::problem::Result;
use crate::views::{List, Trunk, TrunkBody};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TrunkQuery {
    /// Only those of this name: one, or with all tenants in sight more.
    name: Option<String>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<TrunkId>,
    limit: Option<u32>,
}

/// Trunks, oldest first
#[utoipa::path(get, path = "/v1/trunks", tag = "trunks", params(TrunkQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Trunk>)
))]
pub(super) async fn list_trunks(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TrunkQuery>,
) -> Result<Json<List<Trunk>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let trunks = app.backend.trunks(caller.scope, TrunkFilter { name: query.name }, asked.page()).await?;
    Ok(Json(asked.list(trunks, |shown| shown.trunk.id.to_string())))
}

/// Make a trunk
#[utoipa::path(post, path = "/v1/trunks", tag = "trunks", request_body = TrunkBody, responses(
    (status = 201, description = "Made", body = Trunk, headers(("ETag" = String, description = "Its revision")))
))]
pub(super) async fn create_trunk(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<TrunkBody>,
) -> Result<Response> {
    let tenant = caller.tenant()?;
    let made = app.backend.create_trunk(tenant, body.check_new()?).await?;
    let (path, revision) = (format!("/v1/trunks/{}", made.trunk.id), made.trunk.revision);
    Ok(with_revision(created(path, Trunk::from(made)), revision))
}

/// One trunk
#[utoipa::path(get, path = "/v1/trunks/{id}", tag = "trunks", params(("id" = String, Path)), responses(
    (status = 200, description = "The trunk", body = Trunk,
        headers(("ETag" = String, description = "Its revision, for `If-Match`")))
))]
pub(super) async fn get_trunk(State(app): State<App>, caller: Caller, Path(id): Path<TrunkId>) -> Result<Response> {
    Ok(shown(app.backend.trunk(caller.scope, id).await?))
}

/// Write a trunk anew: what is left out is empty, or its default; the password stays
///
/// Calls that run go on with what they began with.
#[utoipa::path(put, path = "/v1/trunks/{id}", tag = "trunks",
    params(("id" = String, Path),
        ("If-Match" = String, Header, description = "The revision that the change is made on; `*` for any")),
    request_body = TrunkBody, responses(
        (status = 200, description = "The trunk as it is now", body = Trunk,
            headers(("ETag" = String, description = "Its new revision"))),
        (status = 409, description = "The name is taken, or an application knows the trunk by the one that it has"),
        (status = 412, description = "Somebody else changed it meanwhile"),
        (status = 428, description = "`If-Match` is missing")
))]
pub(super) async fn replace_trunk(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TrunkId>,
    revision: IfMatch,
    Body(body): Body<TrunkBody>,
) -> Result<Response> {
    Ok(shown(app.backend.change_trunk(caller.scope, id, revision.revision(), body.check()?).await?))
}

/// Delete a trunk that no application names
#[utoipa::path(delete, path = "/v1/trunks/{id}", tag = "trunks", params(("id" = String, Path)), responses(
    (status = 204, description = "Gone, with its password"),
    (status = 409, description = "An application names it")
))]
pub(super) async fn delete_trunk(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TrunkId>,
) -> Result<StatusCode> {
    app.backend.delete_trunk(caller.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(shown: ShownTrunk) -> Response {
    let revision = shown.trunk.revision;
    with_revision(Json(Trunk::from(shown)).into_response(), revision)
}
