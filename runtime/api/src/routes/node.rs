//! The node and its limits.

use axum::Json;
use axum::extract::State;
use callbox_model::Limits;

use crate::app::App;
use crate::health;
use crate::views::{Limit, List, Node};

/// The node: version, listeners, health
#[utoipa::path(get, path = "/v1/node", tag = "node", responses(
    (status = 200, description = "The node", body = Node)
))]
pub(super) async fn get_node(State(app): State<App>) -> Json<Node> {
    let checks = health::checks(&app).await;
    Json(Node::new(app.backend.node(), checks))
}

/// What a tenant and its modules may use
#[utoipa::path(get, path = "/v1/limits", tag = "node", responses(
    (status = 200, description = "All limits; units stand at the end of the names", body = List<Limit>)
))]
pub(super) async fn list_limits(State(app): State<App>) -> Json<List<Limit>> {
    let values = serde_json::to_value(&app.config.limits).unwrap_or_default();
    let limit = |(name, _, reason): (&'static str, String, &'static str)| Limit {
        name,
        value: values.get(name).cloned().unwrap_or_default(),
        reason,
    };
    Json(List { items: Limits::manual().into_iter().map(limit).collect(), next: None })
}
