//! Calls, what was recorded of them, and what they used.

use std::collections::BTreeSet;

use async_trait::async_trait;
use callbox_model::{
    ApplicationId, CallId, CallRecord, CallStatus, Header, Message, Millis, Recording, RecordingId, Run, TenantId,
    UsageRow, Wall,
};

use super::{Audio, Page, PlacedEvent, Result, Scope};

#[async_trait]
pub trait Calls: Send + Sync {
    /// Newest first; running ones among them.
    async fn calls(&self, scope: Scope, filter: CallFilter, page: Page<CallId>) -> Result<Vec<CallRecord>>;
    async fn call(&self, scope: Scope, id: CallId) -> Result<CallRecord>;
    /// Its events in order; the page's key is the sequence.
    async fn call_events(&self, scope: Scope, id: CallId, page: Page<u64>) -> Result<Vec<PlacedEvent>>;
    /// Its Runs in order.
    async fn call_runs(&self, scope: Scope, id: CallId) -> Result<Vec<Run>>;
    /// Begins a call at once, and returns its id when it is under way, ringing or not. Refused with
    /// [`super::BackendError::refused`]: `destination-denied`, `caller-id-denied`, `no-trunk`,
    /// `user-not-registered`; with `Quota` at a limit of the tenant or of the guard against fraud;
    /// `Invalid` at `headers[0].name` where the application's allow-list is against it;
    /// `Unavailable` while the node takes no calls.
    async fn place(&self, scope: Scope, call: NewCall) -> Result<CallId>;
    /// A conflict `call-over` when it has ended. Returns when the call has been told.
    async fn hang_up(&self, scope: Scope, id: CallId) -> Result<()>;
    /// To the module in control. A conflict `call-over` when the call has ended.
    async fn send_message(&self, scope: Scope, id: CallId, message: Message) -> Result<()>;

    /// Newest first.
    async fn recordings(
        &self,
        scope: Scope,
        filter: RecordingFilter,
        page: Page<RecordingId>,
    ) -> Result<Vec<Recording>>;
    async fn recording(&self, scope: Scope, id: RecordingId) -> Result<Recording>;
    /// A conflict `recording-running` while it runs; not found when there is no file.
    async fn recording_audio(&self, scope: Scope, id: RecordingId) -> Result<Audio>;

    /// Sums over the Runs that began in the time asked for, the largest CPU time first.
    async fn usage(&self, scope: Scope, filter: UsageFilter) -> Result<Vec<UsageRow>>;
    /// What the tenant has bought of its trunks since midnight, UTC. The tenant is there, and in
    /// the caller's scope.
    async fn outbound(&self, tenant: TenantId) -> Result<OutboundToday>;
}

/// A call that is wished for. Its form is checked; whether it may be, is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    pub application: ApplicationId,
    /// A number, a SIP URI, or a user's address.
    pub to: String,
    /// A number or a SIP URI. None is the application's first, or its trunk's.
    pub from: Option<String>,
    /// How long it may ring.
    pub timeout: Millis,
    pub headers: Vec<Header>,
    /// For the module, as text.
    pub input: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundToday {
    /// The midnight with which the day began.
    pub day: Wall,
    pub minutes: u64,
    pub spend_micros: u64,
    /// Calling codes that were ever called.
    pub codes: BTreeSet<String>,
    /// Of these, the ones that were called for the first time today.
    pub new_codes: BTreeSet<String>,
    /// Dialled legs at this moment.
    pub legs: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    pub application: Option<ApplicationId>,
    /// The number (address pattern) that led to the application.
    pub number: Option<String>,
    pub status: Option<CallStatus>,
    /// Started at or after.
    pub since: Option<Wall>,
    /// Started before.
    pub until: Option<Wall>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordingFilter {
    pub call: Option<CallId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageFilter {
    pub application: Option<ApplicationId>,
    /// A module's name.
    pub module: Option<String>,
    /// Began at or after.
    pub since: Option<Wall>,
    /// Began before.
    pub until: Option<Wall>,
    pub by: UsageBy,
}

/// What one row is the sum of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageBy {
    /// One version of a module, in one application.
    #[default]
    Module,
    Application,
    Tenant,
}
