//! Applications.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callbox_model::ApplicationId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::Asked;
use super::{created, with_revision};
use crate::app::App;
use crate::backend::ApplicationFilter;
use crate::door::Caller;
use crate::extract::{Body, IfMatch, Path, Query};
use crate::problem::Result;
use crate::views::{Application, ApplicationBody, List};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationQuery {
    /// Only those of this name: one, or with all tenants in sight more.
    name: Option<String>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<ApplicationId>,
    limit: Option<u32>,
}

/// Applications, oldest first
#[utoipa::path(get, path = "/v1/applications", tag = "applications", params(ApplicationQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Application>)
))]
pub(super) async fn list_applications(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ApplicationQuery>,
) -> Result<Json<List<Application>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let filter = ApplicationFilter { name: query.name };
    let applications = app.backend.applications(caller.scope, filter, asked.page()).await?;
    Ok(Json(asked.list(applications, |application| application.id.to_string())))
}

/// Make an application
#[utoipa::path(post, path = "/v1/applications", tag = "applications", request_body = ApplicationBody, responses(
    (status = 201, description = "Made", body = Application, headers(("ETag" = String, description = "Its revision")))
))]
pub(super) async fn create_application(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<ApplicationBody>,
) -> Result<Response> {
    let tenant = caller.tenant()?;
    let (name, spec) = body.check(&app.config.limits)?;
    let application = app.backend.create_application(tenant, name, spec).await?;
    let (path, revision) = (format!("/v1/applications/{}", application.id), application.revision);
    Ok(with_revision(created(path, Application::from(application)), revision))
}

/// One application
#[utoipa::path(get, path = "/v1/applications/{id}", tag = "applications", params(("id" = String, Path)), responses(
    (status = 200, description = "The application", body = Application,
        headers(("ETag" = String, description = "Its revision, for `If-Match`")))
))]
pub(super) async fn get_application(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ApplicationId>,
) -> Result<Response> {
    Ok(shown(app.backend.application(caller.scope, id).await?))
}

/// Write an application anew: what is left out is empty, or its default
///
/// Calls that run go on with what they began with.
#[utoipa::path(put, path = "/v1/applications/{id}", tag = "applications",
    params(("id" = String, Path),
        ("If-Match" = String, Header, description = "The revision that the change is made on; `*` for any")),
    request_body = ApplicationBody, responses(
        (status = 200, description = "The application as it is now", body = Application,
            headers(("ETag" = String, description = "Its new revision"))),
        (status = 412, description = "Somebody else changed it meanwhile"),
        (status = 428, description = "`If-Match` is missing")
))]
pub(super) async fn replace_application(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ApplicationId>,
    revision: IfMatch,
    Body(body): Body<ApplicationBody>,
) -> Result<Response> {
    let (name, spec) = body.check(&app.config.limits)?;
    let application = app.backend.change_application(caller.scope, id, revision.revision(), name, spec).await?;
    Ok(shown(application))
}

/// Delete an application that no number leads to
#[utoipa::path(delete, path = "/v1/applications/{id}", tag = "applications", params(("id" = String, Path)), responses(
    (status = 204, description = "Gone, with its secrets, assets and kept values"),
    (status = 409, description = "Numbers lead to it")
))]
pub(super) async fn delete_application(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ApplicationId>,
) -> Result<StatusCode> {
    app.backend.delete_application(caller.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(application: callbox_model::Application) -> Response {
    let revision = application.revision;
    with_revision(Json(Application::from(application)).into_response(), revision)
}
