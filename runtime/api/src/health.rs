//! The health listener: is it alive, may calls come, what has been counted. Asks for no key.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::time::timeout;

use crate::app::App;
use crate::backend::{Check, CheckState};
use crate::views::Health;

/// Prometheus text, version 0.0.4.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

pub(crate) fn router(app: App, metrics: Metrics) -> Router {
    let render = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics()) };
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(app)
}

async fn ready(State(app): State<App>) -> Response {
    let health = Health::from(checks(&app).await);
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// A node that is stopping, or cannot say how it is, is not ready.
pub(crate) async fn checks(app: &App) -> Vec<Check> {
    let failed = |reason: &str| Check { name: "node".to_owned(), state: CheckState::Failed(reason.to_owned()) };
    let mut checks = timeout(CHECK_TIMEOUT, app.backend.checks())
        .await
        .unwrap_or_else(|_| vec![failed("its checks were not done within 2 s")]);
    if *app.stopping.borrow() {
        checks.push(failed("stopping"));
    }
    checks
}

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
