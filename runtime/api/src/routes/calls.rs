//! Calls: what they were, what happened in them, what ran; and a word to those that run.

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use callbox_model::{ApplicationId, CallId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::Asked;
use crate::app::App;
use crate::backend::CallFilter;
use crate::door::Caller;
use crate::extract::{Body, Path, Query};
use crate::problem::Result;
use crate::views::{Call, CallBody, CallStatus, Event, List, MessageBody, Placed, Run, Time};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CallQuery {
    #[param(value_type = Option<String>)]
    application: Option<ApplicationId>,
    /// The number (address pattern) that led to the application.
    number: Option<String>,
    #[param(inline)]
    status: Option<CallStatus>,
    /// Started at or after.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
    /// Started before.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<CallId>,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TimelineQuery {
    /// Events behind this sequence: `next` of the piece before.
    after: Option<u64>,
    limit: Option<u32>,
}

/// Calls, newest first
#[utoipa::path(get, path = "/v1/calls", tag = "calls", params(CallQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Call>)
))]
pub(super) async fn list_calls(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<CallQuery>,
) -> Result<Json<List<Call>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let filter = CallFilter {
        application: query.application,
        number: query.number,
        status: query.status.map(Into::into),
        since: query.since.map(|time| time.0),
        until: query.until.map(|time| time.0),
    };
    let calls = app.backend.calls(caller.scope, filter, asked.page()).await?;
    Ok(Json(asked.list(calls, |call| call.id.to_string())))
}

/// Begin a call
///
/// Its life is told by events. The application's modules have it when it is answered.
#[utoipa::path(post, path = "/v1/calls", tag = "calls", request_body = CallBody, responses(
    (status = 202, description = "It is under way", body = Placed,
        headers(("Location" = String, description = "The call"))),
    (status = 403, description = "The tenant is suspended, or the application may not call there, or not as this \
        caller (`destination-denied`, `caller-id-denied`)"),
    (status = 409, description = "There is no way there now (`no-trunk`, `user-not-registered`)")
))]
pub(super) async fn place_call(State(app): State<App>, caller: Caller, Body(body): Body<CallBody>) -> Result<Response> {
    let id = app.backend.place(caller.scope, body.check()?).await?;
    let mut response = (StatusCode::ACCEPTED, Json(Placed { id })).into_response();
    if let Ok(path) = HeaderValue::from_str(&format!("/v1/calls/{id}")) {
        response.headers_mut().insert(LOCATION, path);
    }
    Ok(response)
}

/// One call
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path)), responses(
    (status = 200, description = "The call", body = Call)
))]
pub(super) async fn get_call(State(app): State<App>, caller: Caller, Path(id): Path<CallId>) -> Result<Json<Call>> {
    Ok(Json(app.backend.call(caller.scope, id).await?.into()))
}

/// What happened in a call, in order
#[utoipa::path(get, path = "/v1/calls/{id}/timeline", tag = "calls", params(("id" = String, Path), TimelineQuery),
    responses((status = 200, description = "A piece of the list", body = List<Event>)))]
pub(super) async fn get_timeline(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<List<Event>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let events = app.backend.call_events(caller.scope, id, asked.page()).await?;
    Ok(Json(asked.list(events, |placed| placed.event.sequence.to_string())))
}

/// The stretches of control of a call, in order: its part of the ledger
#[utoipa::path(get, path = "/v1/calls/{id}/runs", tag = "calls", params(("id" = String, Path)), responses(
    (status = 200, description = "All of them", body = List<Run>)
))]
pub(super) async fn list_runs(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
) -> Result<Json<List<Run>>> {
    let items = app.backend.call_runs(caller.scope, id).await?.into_iter().map(Run::from).collect();
    Ok(Json(List { items, next: None }))
}

/// Hang a call up
#[utoipa::path(post, path = "/v1/calls/{id}/hangup", tag = "calls", params(("id" = String, Path)), responses(
    (status = 202, description = "The call has been told; its end is an event"),
    (status = 409, description = "The call is over")
))]
pub(super) async fn hang_up(State(app): State<App>, caller: Caller, Path(id): Path<CallId>) -> Result<StatusCode> {
    app.backend.hang_up(caller.scope, id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Send a message to the module that has the call
#[utoipa::path(post, path = "/v1/calls/{id}/messages", tag = "calls", params(("id" = String, Path)),
    request_body = MessageBody, responses(
        (status = 202, description = "It waits in line for the module"),
        (status = 409, description = "The call is over")
))]
pub(super) async fn send_message(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
    Body(body): Body<MessageBody>,
) -> Result<StatusCode> {
    app.backend.send_message(caller.scope, id, body.check()?).await?;
    Ok(StatusCode::ACCEPTED)
}
