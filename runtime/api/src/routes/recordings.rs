//! Recordings.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use callbox_model::{CallId, RecordingId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::Asked;
use super::unkept;
use crate::app::App;
use crate::audio;
use crate::backend::RecordingFilter;
use crate::door::Caller;
use crate::extract::{Path, Query};
use crate::problem::Result;
use crate::views::{List, Recording};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordingQuery {
    /// Only those of this call.
    #[param(value_type = Option<String>)]
    call: Option<CallId>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<RecordingId>,
    limit: Option<u32>,
}

/// Recordings, newest first
#[utoipa::path(get, path = "/v1/recordings", tag = "recordings", params(RecordingQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Recording>)
))]
pub(super) async fn list_recordings(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<RecordingQuery>,
) -> Result<Json<List<Recording>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let recordings = app.backend.recordings(caller.scope, RecordingFilter { call: query.call }, asked.page()).await?;
    Ok(Json(asked.list(recordings, |recording| recording.id.to_string())))
}

/// One recording
#[utoipa::path(get, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)), responses(
    (status = 200, description = "The recording", body = Recording)
))]
pub(super) async fn get_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordingId>,
) -> Result<Json<Recording>> {
    Ok(Json(app.backend.recording(caller.scope, id).await?.into()))
}

/// The sound of a recording
#[utoipa::path(get, path = "/v1/recordings/{id}/audio", tag = "recordings",
    params(("id" = String, Path), ("Range" = Option<String>, Header, description = "One range of bytes")),
    responses(
        (status = 200, description = "The WAV file", body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "audio/wav"),
        (status = 409, description = "The recording still runs"),
        (status = 416, description = "The range lies behind the end")
))]
pub(super) async fn get_recording_audio(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordingId>,
    headers: HeaderMap,
) -> Result<Response> {
    let audio = app.backend.recording_audio(caller.scope, id).await?;
    Ok(unkept(audio::serve(audio, &headers).await?))
}
