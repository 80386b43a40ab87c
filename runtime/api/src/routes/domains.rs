//! SIP domains: given out by operators, inhabited by tenants' users.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callbox_model::DomainId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::created;
use super::page::Asked;
use crate::app::App;
use crate::backend::DomainFilter;
use crate::door::Caller;
use crate::extract::{Body, Path, Query};
use crate::problem::Result;
use crate::views::{Domain, DomainBody, DomainPatch, List};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainQuery {
    /// Only the domain of this name.
    name: Option<String>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<DomainId>,
    limit: Option<u32>,
}

/// Domains, oldest first
#[utoipa::path(get, path = "/v1/domains", tag = "domains", params(DomainQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Domain>)
))]
pub(super) async fn list_domains(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<DomainQuery>,
) -> Result<Json<List<Domain>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let filter = DomainFilter { name: query.name.map(|name| name.to_ascii_lowercase()) };
    let domains = app.backend.domains(caller.scope, filter, asked.page()).await?;
    Ok(Json(asked.list(domains, |domain| domain.id.to_string())))
}

/// Give a domain to a tenant
#[utoipa::path(post, path = "/v1/domains", tag = "domains", request_body = DomainBody, responses(
    (status = 201, description = "Given", body = Domain)
))]
pub(super) async fn create_domain(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<DomainBody>,
) -> Result<Response> {
    let tenant = caller.tenant()?;
    let (name, md5) = body.check()?;
    let domain = app.backend.create_domain(tenant, name, md5).await?;
    Ok(created(format!("/v1/domains/{}", domain.id), Domain::from(domain)))
}

/// One domain
#[utoipa::path(get, path = "/v1/domains/{id}", tag = "domains", params(("id" = String, Path)), responses(
    (status = 200, description = "The domain", body = Domain)
))]
pub(super) async fn get_domain(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<DomainId>,
) -> Result<Json<Domain>> {
    Ok(Json(app.backend.domain(caller.scope, id).await?.into()))
}

/// Allow MD5 in a domain, or refuse it
#[utoipa::path(patch, path = "/v1/domains/{id}", tag = "domains", params(("id" = String, Path)),
    request_body = DomainPatch, responses((status = 200, description = "The domain as it is now", body = Domain)))]
pub(super) async fn change_domain(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<DomainId>,
    Body(body): Body<DomainPatch>,
) -> Result<Json<Domain>> {
    Ok(Json(app.backend.change_domain(caller.scope, id, body.md5).await?.into()))
}

/// Take a domain back that nobody is in
#[utoipa::path(delete, path = "/v1/domains/{id}", tag = "domains", params(("id" = String, Path)), responses(
    (status = 204, description = "Gone"),
    (status = 409, description = "Users are in it")
))]
pub(super) async fn delete_domain(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<DomainId>,
) -> Result<StatusCode> {
    app.backend.delete_domain(caller.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
