//! The error dictionary: why modules lose control, and why requests are refused.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::extract::Path;
use crate::problem::{Problem, Result};
use crate::views::ErrorEntry;

#[derive(Serialize, ToSchema)]
pub(super) struct Dictionary {
    items: Vec<ErrorEntry>,
}

/// All codes
#[utoipa::path(get, path = "/v1/errors", tag = "errors", responses(
    (status = 200, description = "The dictionary, by code", body = Dictionary)
))]
pub(super) async fn list_errors(State(app): State<App>) -> Json<Dictionary> {
    Json(Dictionary { items: app.entries().cloned().collect() })
}

/// What a code means, and what to do about it
#[utoipa::path(get, path = "/v1/errors/{code}", tag = "errors", params(("code" = String, Path)), responses(
    (status = 200, description = "Its entry", body = ErrorEntry)
))]
pub(super) async fn get_error(State(app): State<App>, Path(code): Path<String>) -> Result<Json<ErrorEntry>> {
    match app.entry(&code) {
        Some(entry) => Ok(Json(entry.clone())),
        None => {
            let shown: String = code.chars().take(64).collect();
            Err(Problem::not_found("code", shown))
        }
    }
}
