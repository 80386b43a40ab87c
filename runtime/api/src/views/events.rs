//! Events.

use callbox_model::TenantId;
use serde::Serialize;
use utoipa::ToSchema;

use super::Time;
use crate::backend::PlacedEvent;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// Grows with every event of the node, with holes. For `after` and `Last-Event-ID`.
    pub(crate) position: i64,
    /// What it happened to: the id of a call, tenant, module, application, number, domain, user or
    /// trunk, or `node`.
    subject: String,
    /// Counts the events of the subject, from 1, without holes.
    pub(crate) sequence: u64,
    #[schema(value_type = Option<String>)]
    tenant: Option<TenantId>,
    at: Time,
    /// `call.started` for example.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What belongs to the type.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

impl From<PlacedEvent> for Event {
    fn from(placed: PlacedEvent) -> Self {
        let event = placed.event;
        let mut change = serde_json::to_value(&event.change).unwrap_or_default();
        let mut take = |name: &str| change.get_mut(name).map(serde_json::Value::take);
        let kind = take("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        // Some types have no data; their readers still find an object.
        let data = take("data").unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()));
        Self {
            position: placed.position,
            subject: event.subject.to_string(),
            sequence: event.sequence,
            tenant: event.tenant,
            at: event.at.into(),
            kind,
            data,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventList {
    pub(crate) items: Vec<Event>,
    /// Give this as `after` for what comes next. Never null: there is always more to come.
    pub(crate) next: String,
}
