//! Tenants.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use callbox_model::TenantId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::created;
use super::page::Asked;
use crate::app::App;
use crate::backend::TenantFilter;
use crate::door::Caller;
use crate::extract::{Body, Path, Query};
use crate::problem::{Problem, Result};
use crate::views::{List, Tenant, TenantBody, TenantPatch};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantQuery {
    /// Only the tenant of this name.
    name: Option<String>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<TenantId>,
    limit: Option<u32>,
}

/// All tenants, oldest first
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(TenantQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Tenant>)
))]
pub(super) async fn list_tenants(
    State(app): State<App>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<List<Tenant>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let tenants = app.backend.tenants(TenantFilter { name: query.name }, asked.page()).await?;
    Ok(Json(asked.list(tenants, |tenant| tenant.id.to_string())))
}

/// Make a tenant
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = TenantBody, responses(
    (status = 201, description = "Made", body = Tenant)
))]
pub(super) async fn create_tenant(State(app): State<App>, Body(body): Body<TenantBody>) -> Result<Response> {
    let tenant = app.backend.create_tenant(body.check()?).await?;
    Ok(created(format!("/v1/tenants/{}", tenant.id), Tenant::from(tenant)))
}

/// One tenant. A tenant's key sees its own
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = String, Path)), responses(
    (status = 200, description = "The tenant", body = Tenant)
))]
pub(super) async fn get_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TenantId>,
) -> Result<Json<Tenant>> {
    if !caller.scope.admits(id) {
        return Err(Problem::not_found("tenant", id));
    }
    Ok(Json(app.backend.tenant(id).await?.into()))
}

/// Rename a tenant, suspend it, or let it go on
#[utoipa::path(patch, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = String, Path)),
    request_body = TenantPatch, responses((status = 200, description = "The tenant as it is now", body = Tenant)))]
pub(super) async fn change_tenant(
    State(app): State<App>,
    Path(id): Path<TenantId>,
    Body(body): Body<TenantPatch>,
) -> Result<Json<Tenant>> {
    Ok(Json(app.backend.change_tenant(id, body.check()?).await?.into()))
}
