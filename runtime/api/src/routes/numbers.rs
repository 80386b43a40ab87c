//! Numbers: given out by operators, bound by tenants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callbox_model::{ApplicationId, NumberId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::created;
use super::page::Asked;
use crate::app::App;
use crate::backend::NumberFilter;
use crate::door::Caller;
use crate::extract::{Body, Path, Query};
use crate::problem::Result;
use crate::views::{List, Number, NumberBinding, NumberBody, NumberPatch};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberQuery {
    /// Only the number of this address.
    address: Option<String>,
    /// Only those that lead to this application.
    #[param(value_type = Option<String>)]
    application: Option<ApplicationId>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<NumberId>,
    limit: Option<u32>,
}

/// Numbers, oldest first
#[utoipa::path(get, path = "/v1/numbers", tag = "numbers", params(NumberQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Number>)
))]
pub(super) async fn list_numbers(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<NumberQuery>,
) -> Result<Json<List<Number>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let filter = NumberFilter { address: query.address, application: query.application };
    let numbers = app.backend.numbers(caller.scope, filter, asked.page()).await?;
    Ok(Json(asked.list(numbers, |number| number.id.to_string())))
}

/// Give an address to a tenant
#[utoipa::path(post, path = "/v1/numbers", tag = "numbers", request_body = NumberBody, responses(
    (status = 201, description = "Given", body = Number)
))]
pub(super) async fn create_number(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NumberBody>,
) -> Result<Response> {
    let tenant = caller.tenant()?;
    let number = app.backend.create_number(tenant, body.check()?).await?;
    Ok(created(format!("/v1/numbers/{}", number.id), Number::from(number)))
}

/// One number
#[utoipa::path(get, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = String, Path)), responses(
    (status = 200, description = "The number", body = Number)
))]
pub(super) async fn get_number(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<NumberId>,
) -> Result<Json<Number>> {
    Ok(Json(app.backend.number(caller.scope, id).await?.into()))
}

/// Bind a number to an application, or to none
#[utoipa::path(put, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = String, Path)),
    request_body = NumberBinding, responses((status = 200, description = "The number as it is now", body = Number)))]
pub(super) async fn bind_number(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<NumberId>,
    Body(body): Body<NumberBinding>,
) -> Result<Json<Number>> {
    Ok(Json(app.backend.bind_number(caller.scope, id, body.application).await?.into()))
}

/// Let strangers call a number, or keep them out
#[utoipa::path(patch, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = String, Path)),
    request_body = NumberPatch, responses((status = 200, description = "The number as it is now", body = Number)))]
pub(super) async fn change_number(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<NumberId>,
    Body(body): Body<NumberPatch>,
) -> Result<Json<Number>> {
    Ok(Json(app.backend.change_number(caller.scope, id, body.anonymous).await?.into()))
}

/// Take an address back
#[utoipa::path(delete, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = String, Path)), responses(
    (status = 204, description = "Gone")
))]
pub(super) async fn delete_number(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<NumberId>,
) -> Result<StatusCode> {
    app.backend.delete_number(caller.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
