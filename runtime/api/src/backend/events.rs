//! The record of everything that happened, in one order for the whole node.

use async_trait::async_trait;
use callbox_model::{Event, Subject};
use tokio::sync::watch;

use super::{Result, Scope};

#[async_trait]
pub trait Events: Send + Sync {
    /// The first `limit` events behind the position `after` that pass the filter.
    async fn events_after(&self, scope: Scope, filter: EventFilter, after: i64, limit: u32) -> Result<EventPage>;
    /// The position of the newest event that [`Self::events_after`] can give; 0 for none. It is
    /// set after every write, and never goes back.
    fn latest_event(&self) -> watch::Receiver<i64>;
}

/// Empty lets all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// `call.ended` for example. Any of them.
    pub types: Vec<String>,
    pub subject: Option<Subject>,
}

impl EventFilter {
    pub fn admits(&self, event: &Event) -> bool {
        let of_type = || {
            let change = serde_json::to_value(&event.change).unwrap_or_default();
            change.get("type").and_then(|name| name.as_str()).is_some_and(|name| self.types.iter().any(|t| t == name))
        };
        self.subject.is_none_or(|subject| subject == event.subject) && (self.types.is_empty() || of_type())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlacedEvent {
    /// Grows with every event of the node; may have holes.
    pub position: i64,
    pub event: Event,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    pub events: Vec<PlacedEvent>,
    /// Up to where was looked: the last event's position when the limit was met, otherwise the
    /// newest position of all. The next question starts here.
    pub end: i64,
}
