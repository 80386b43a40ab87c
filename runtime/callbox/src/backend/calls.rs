//! Calls, recordings, usage and events.

use callbox_api::async_trait;
use callbox_api::backend::{
    Audio, BackendError, CallFilter, Calls, EventFilter, EventPage, Events, NewCall, OutboundToday, Page, PlacedEvent,
    RecordingFilter, Result, Scope, UsageBy, UsageFilter,
};
use callbox_call::Input;
use callbox_model::{CallId, CallRecord, Message, Recording, RecordingId, Run, Subject, TenantId, UsageRow};
use tokio::sync::{oneshot, watch};

use super::Backend;
use super::translate::{error, page as paged, placed, scope as scoped};
use crate::lane;

impl Backend {
    /// To the call's brain, if it lives here.
    async fn tell(&self, scope: Scope, call: CallId, input: Input) -> Result<()> {
        // Whose it is, is in the store: its first event is written some milliseconds after the call began.
        self.call(scope, call).await?;
        let over = || BackendError::conflict("call-over", format!("the call `{call}` has ended"));
        let inbox = self.parts.lanes.of_call(call).ok_or_else(over)?;
        let (found, answer) = oneshot::channel();
        inbox.send(lane::Message::Ask { call, input: Box::new(input), found: Some(found) });
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(over()),
        }
    }
}

#[async_trait]
impl Calls for Backend {
    async fn calls(&self, scope: Scope, filter: CallFilter, page: Page<CallId>) -> Result<Vec<CallRecord>> {
        let filter = callbox_store::CallFilter {
            scope: scoped(scope),
            application: filter.application,
            number: filter.number,
            status: filter.status,
            since: filter.since,
            until: filter.until,
        };
        self.parts.store.calls(filter, paged(page)).await.map_err(error)
    }

    async fn call(&self, scope: Scope, id: CallId) -> Result<CallRecord> {
        self.parts.store.call(scoped(scope), id).await.map_err(error)
    }

    async fn call_events(&self, scope: Scope, id: CallId, page: Page<u64>) -> Result<Vec<PlacedEvent>> {
        self.call(scope, id).await?;
        let events = self.parts.store.history(scoped(scope), Subject::Call(id), paged(page)).await;
        Ok(events.map_err(error)?.into_iter().map(placed).collect())
    }

    async fn call_runs(&self, scope: Scope, id: CallId) -> Result<Vec<Run>> {
        self.call(scope, id).await?;
        self.parts.store.runs(scoped(scope), id).await.map_err(error)
    }

    async fn place(&self, scope: Scope, call: NewCall) -> Result<CallId> {
        self.begin_call(scope, call).await
    }

    async fn outbound(&self, tenant: TenantId) -> Result<OutboundToday> {
        self.bought_today(tenant).await
    }

    async fn hang_up(&self, scope: Scope, id: CallId) -> Result<()> {
        self.tell(scope, id, Input::HangUp { by: "api".to_owned() }).await
    }

    async fn send_message(&self, scope: Scope, id: CallId, message: Message) -> Result<()> {
        self.tell(scope, id, Input::Message { sender: message.sender, body: message.body }).await
    }

    async fn recordings(
        &self,
        scope: Scope,
        filter: RecordingFilter,
        page: Page<RecordingId>,
    ) -> Result<Vec<Recording>> {
        self.parts.store.recordings(scoped(scope), filter.call, paged(page)).await.map_err(error)
    }

    async fn recording(&self, scope: Scope, id: RecordingId) -> Result<Recording> {
        self.parts.store.recording(scoped(scope), id).await.map_err(error)
    }

    async fn recording_audio(&self, scope: Scope, id: RecordingId) -> Result<Audio> {
        let recording = self.recording(scope, id).await?;
        if let Some(why) = recording.failed {
            return Err(BackendError::NotFound { what: "file of the recording", id: format!("{id}: {why}") });
        }
        if recording.length_ms.is_none() {
            return Err(BackendError::conflict("recording-running", format!("the recording `{id}` has not ended")));
        }
        let file = self.parts.recordings.join(recording.tenant.to_string()).join(format!("{id}.wav"));
        match tokio::fs::try_exists(&file).await {
            Ok(true) => Ok(Audio::File(file)),
            Ok(false) => Err(BackendError::not_found("file of the recording", id)),
            Err(why) => Err(BackendError::unavailable(format!("cannot look for the recording `{id}`: {why}"))),
        }
    }

    async fn usage(&self, scope: Scope, filter: UsageFilter) -> Result<Vec<UsageRow>> {
        let filter = callbox_store::UsageFilter {
            scope: scoped(scope),
            application: filter.application,
            module: filter.module,
            since: filter.since,
            until: filter.until,
            by: match filter.by {
                UsageBy::Module => callbox_store::UsageBy::Module,
                UsageBy::Application => callbox_store::UsageBy::Application,
                UsageBy::Tenant => callbox_store::UsageBy::Tenant,
            },
        };
        self.parts.store.usage(filter).await.map_err(error)
    }
}

#[async_trait]
impl Events for Backend {
    async fn events_after(&self, scope: Scope, filter: EventFilter, after: i64, limit: u32) -> Result<EventPage> {
        let filter = callbox_store::EventFilter { scope: scoped(scope), subject: filter.subject, types: filter.types };
        let reading = self.parts.store.events(filter, callbox_store::Page::after(after, limit)).await.map_err(error)?;
        Ok(EventPage { events: reading.events.into_iter().map(placed).collect(), end: reading.end })
    }

    fn latest_event(&self) -> watch::Receiver<i64> {
        self.parts.store.position()
    }
}
