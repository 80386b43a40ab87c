//! What was used.

use axum::Json;
use axum::extract::State;
use callbox_model::{ApplicationId, TenantId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::backend::{UsageBy, UsageFilter};
use crate::door::Caller;
use crate::extract::{Path, Query};
use crate::problem::{Problem, Result};
use crate::views::{List, OutboundUsage, Time, UsageRow};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageQuery {
    #[param(value_type = Option<String>)]
    application: Option<ApplicationId>,
    /// A module's name.
    module: Option<String>,
    /// Runs that began at or after.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
    /// Runs that began before.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
    /// What a row is the sum of. Default `module`.
    #[param(inline)]
    by: Option<By>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum By {
    /// One version of a module, in one application.
    Module,
    Application,
    Tenant,
}

/// Runs added up, the largest CPU time first
#[utoipa::path(get, path = "/v1/usage", tag = "usage", params(UsageQuery), responses(
    (status = 200, description = "All rows", body = List<UsageRow>)
))]
pub(super) async fn get_usage(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UsageQuery>,
) -> Result<Json<List<UsageRow>>> {
    let by = match query.by {
        None | Some(By::Module) => UsageBy::Module,
        Some(By::Application) => UsageBy::Application,
        Some(By::Tenant) => UsageBy::Tenant,
    };
    let filter = UsageFilter {
        application: query.application,
        module: query.module,
        since: query.since.map(|time| time.0),
        until: query.until.map(|time| time.0),
        by,
    };
    let items = app.backend.usage(caller.scope, filter).await?.into_iter().map(UsageRow::from).collect();
    Ok(Json(List { items, next: None }))
}

/// What a tenant has bought of its trunks today, and where it stops
#[utoipa::path(get, path = "/v1/tenants/{id}/outbound", tag = "usage", params(("id" = String, Path)), responses(
    (status = 200, description = "Since midnight, UTC", body = OutboundUsage)
))]
pub(super) async fn get_outbound(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TenantId>,
) -> Result<Json<OutboundUsage>> {
    if !caller.scope.admits(id) {
        return Err(Problem::not_found("tenant", id));
    }
    app.backend.tenant(id).await?;
    Ok(Json(OutboundUsage::new(app.backend.outbound(id).await?, &app.config.limits)))
}
