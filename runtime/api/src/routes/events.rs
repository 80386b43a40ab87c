//! Events, in pieces and as a stream.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use callbox_model::Subject;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::limit_of;
use crate::app::App;
use crate::backend::EventFilter;
use crate::door::Caller;
use crate::extract::Query;
use crate::problem::{Code, Problem, Result};
use crate::stream::{self, Start};
use crate::views::{Event, EventList};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// Events behind this position: `next` of the piece before. Default 0, from the first on.
    after: Option<i64>,
    limit: Option<u32>,
    /// Only these types, with commas between them.
    #[param(example = "call.started,call.ended")]
    r#type: Option<String>,
    /// Only what happened to this: the id of a call, tenant, module, application or number, or
    /// `node`.
    #[param(value_type = Option<String>)]
    subject: Option<Subject>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// Events behind this position. `Last-Event-ID` stands over it. Default: what happens from now
    /// on.
    after: Option<i64>,
    /// Only these types, with commas between them.
    #[param(example = "call.started,call.ended")]
    r#type: Option<String>,
    /// Only what happened to this.
    #[param(value_type = Option<String>)]
    subject: Option<Subject>,
}

/// Everything that happened, oldest first
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventQuery), responses(
    (status = 200, description = "A piece of the list", body = EventList)
))]
pub(super) async fn list_events(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventList>> {
    let limit = limit_of(&app, query.limit)?;
    let after = position("after", query.after.unwrap_or(0))?;
    let filter = filter(query.r#type, query.subject)?;
    let page = app.backend.events_after(caller.scope, filter, after, limit).await?;
    let next = page.end.max(after).to_string();
    Ok(Json(EventList { items: page.events.into_iter().map(Event::from).collect(), next }))
}

/// Everything as it happens, as server-sent events
///
/// `id` is the event's position, `event` its type, `data` the event. A client that comes back with
/// `Last-Event-ID` misses nothing. One that takes nothing for a while is cut off.
#[utoipa::path(get, path = "/v1/events/stream", tag = "events",
    params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "Position of the last event seen")),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream")))]
pub(super) async fn stream_events(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let filter = filter(query.r#type, query.subject)?;
    let start = match (headers.get(LAST_EVENT_ID), query.after) {
        (Some(value), _) => {
            let last = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|last| *last >= 0);
            let wrong = || Problem::field(Code::BadHeader, "Last-Event-ID", "is no position of an event");
            Start::After(last.ok_or_else(wrong)?)
        }
        (None, Some(after)) => Start::After(position("after", after)?),
        (None, None) => Start::Now,
    };
    stream::open(&app, caller.key, headers, caller.scope, filter, start)
}

fn position(field: &str, position: i64) -> Result<i64> {
    if position < 0 {
        return Err(Problem::field(Code::BadQuery, field, format!("{position} is below 0")));
    }
    Ok(position)
}

fn filter(types: Option<String>, subject: Option<Subject>) -> Result<EventFilter> {
    let types: Vec<String> = types
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let fits = |name: &String| {
        name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_lowercase() || b".-_".contains(&byte))
    };
    if types.len() > MOST_TYPES || !types.iter().all(fits) {
        let detail = format!("must have at most {MOST_TYPES} types of events, `call.ended` for example, with commas");
        return Err(Problem::field(Code::BadQuery, "type", detail));
    }
    Ok(EventFilter { types, subject })
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MOST_TYPES: usize = 32;
