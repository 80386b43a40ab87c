//! Assets of an application: WAV files that its modules play.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use callbox_model::ApplicationId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::Asked;
use crate::app::App;
use crate::audio;
use crate::door::Caller;
use crate::extract::{Path, Query};
use crate::problem::Result;
use crate::views::{Asset, Fields, List};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AssetQuery {
    /// `next` of the piece before.
    after: Option<String>,
    limit: Option<u32>,
}

/// Assets of an application, by name
#[utoipa::path(get, path = "/v1/applications/{id}/assets", tag = "assets", params(("id" = String, Path), AssetQuery),
    responses((status = 200, description = "A piece of the list", body = List<Asset>)))]
pub(super) async fn list_assets(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ApplicationId>,
    Query(query): Query<AssetQuery>,
) -> Result<Json<List<Asset>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let assets = app.backend.assets(caller.scope, id, asked.page()).await?;
    Ok(Json(asked.list(assets, |asset| asset.name.clone())))
}

/// Make or replace an asset
#[utoipa::path(put, path = "/v1/applications/{id}/assets/{name}", tag = "assets",
    params(("id" = String, Path), ("name" = String, Path)),
    request_body(content = Vec<u8>, content_type = "audio/wav"),
    responses((status = 200, description = "Kept", body = Asset)))]
pub(super) async fn put_asset(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(ApplicationId, String)>,
    wav: Bytes,
) -> Result<Json<Asset>> {
    let mut fields = Fields::default();
    fields.hold_name("name", &name);
    fields.done()?;
    Ok(Json(app.backend.put_asset(caller.scope, id, name, wav).await?.into()))
}

/// The sound of an asset
#[utoipa::path(get, path = "/v1/applications/{id}/assets/{name}", tag = "assets",
    params(("id" = String, Path), ("name" = String, Path),
        ("Range" = Option<String>, Header, description = "One range of bytes")),
    responses(
        (status = 200, description = "The WAV file", body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "audio/wav"),
        (status = 416, description = "The range lies behind the end")
))]
pub(super) async fn get_asset(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(ApplicationId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    audio::serve(app.backend.asset_audio(caller.scope, id, name).await?, &headers).await
}

/// Delete an asset
#[utoipa::path(delete, path = "/v1/applications/{id}/assets/{name}", tag = "assets",
    params(("id" = String, Path), ("name" = String, Path)), responses((status = 204, description = "Gone")))]
pub(super) async fn delete_asset(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(ApplicationId, String)>,
) -> Result<StatusCode> {
    app.backend.delete_asset(caller.scope, id, name).await?;
    Ok(StatusCode::NO_CONTENT)
}
