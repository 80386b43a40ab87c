//! Calls, their Runs and recordings, and usage.

use std::collections::BTreeMap;

use callbox_model::{ApplicationId, CallId, ModuleId, RecordingId, RunId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Fields, Time, mirror};
use crate::problem::Problem;

mirror! {
    CallStatus {
        Ringing,
        InProgress,
        Completed,
        /// Ended before it was answered.
        NotAnswered,
        /// The node died with it.
        NodeLost,
    }
}

mirror! {
    Direction { Inbound, Outbound }
}

mirror! {
    RunKind {
        /// A stretch of control over a call.
        Control,
        Plan,
        Delivery,
        Callback,
        Filter,
    }
}

mirror! {
    EndReason {
        /// The handler returned.
        Returned,
        Fault,
        /// By the API, an operator, or a drain.
        Stopped,
        /// The call ended, and the module did not come to its end within its grace.
        CallEnded,
        /// The node died; closed at the last mark.
        NodeLost,
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndCause {
    /// SIP status, or 0 when the leg ended by BYE.
    status: u16,
    reason: String,
    /// True when the far end ended it.
    remote: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Call {
    #[schema(value_type = String, example = "call_01arz3ndektsv4rrffq69g5fav")]
    id: CallId,
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    application: ApplicationId,
    direction: Direction,
    caller: String,
    called: String,
    /// The number (address pattern) that led to the application.
    number: String,
    status: CallStatus,
    started: Time,
    answered: Option<Time>,
    ended: Option<Time>,
    cause: Option<EndCause>,
    connected_us: u64,
    /// Faults of modules that it survived.
    faults: u32,
}

impl From<callbox_model::CallRecord> for Call {
    fn from(call: callbox_model::CallRecord) -> Self {
        Self {
            id: call.id,
            tenant: call.tenant,
            application: call.application,
            direction: call.direction.into(),
            caller: call.caller,
            called: call.called,
            number: call.number,
            status: call.status.into(),
            started: call.started.into(),
            answered: call.answered.map(Into::into),
            ended: call.ended.map(Into::into),
            cause: call.cause.map(|cause| EndCause {
                status: cause.status,
                reason: cause.reason,
                remote: cause.remote,
            }),
            connected_us: call.connected_us,
            faults: call.faults,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Time in control of the call.
    holding_us: u64,
    /// Time alive and not in control.
    parked_us: u64,
    /// Time in control while the call was answered.
    connected_us: u64,
    cpu_ns: u64,
    peak_memory_bytes: u64,
    /// Bytes times seconds, integrated.
    memory_byte_seconds: u64,
    /// By name.
    host_calls: BTreeMap<String, u64>,
    /// 20 ms frames of the leg while in control.
    frames_sent: u64,
    frames_received: u64,
}

impl From<callbox_model::RunUsage> for Usage {
    fn from(usage: callbox_model::RunUsage) -> Self {
        Self {
            holding_us: usage.holding_us,
            parked_us: usage.parked_us,
            connected_us: usage.connected_us,
            cpu_ns: usage.cpu_ns,
            peak_memory_bytes: usage.peak_memory_bytes,
            memory_byte_seconds: usage.memory_byte_seconds,
            host_calls: usage.host_calls,
            frames_sent: usage.frames_sent,
            frames_received: usage.frames_received,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Explained at `/v1/errors/{code}`.
    code: &'static str,
    message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunEnd {
    reason: EndReason,
    fault: Option<Fault>,
}

/// One stretch of one module doing one thing. Figures are totals since it began.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    #[schema(value_type = String, example = "run_01arz3ndektsv4rrffq69g5fav")]
    id: RunId,
    kind: RunKind,
    #[schema(value_type = String)]
    call: CallId,
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    application: ApplicationId,
    /// Null where callbox itself held the call.
    #[schema(value_type = Option<String>)]
    module: Option<ModuleId>,
    /// The module's name, or `callbox`.
    module_name: String,
    module_version: u32,
    /// Place in the handler chain, from 0.
    handler: u32,
    began: Time,
    /// Of the last figures; of the end when it has ended.
    marked: Time,
    usage: Usage,
    /// Null while it runs.
    end: Option<RunEnd>,
}

impl From<callbox_model::Run> for Run {
    fn from(run: callbox_model::Run) -> Self {
        let fault = |fault: callbox_model::Fault| Fault { code: fault.code.code(), message: fault.message };
        Self {
            id: run.id,
            kind: run.kind.into(),
            call: run.call,
            tenant: run.tenant,
            application: run.application,
            module: run.module,
            module_name: run.module_name,
            module_version: run.module_version,
            handler: run.handler,
            began: run.began.into(),
            marked: run.marked.into(),
            usage: run.usage.into(),
            end: run.end.map(|end| RunEnd { reason: end.reason.into(), fault: end.fault.map(fault) }),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Recording {
    #[schema(value_type = String, example = "rec_01arz3ndektsv4rrffq69g5fav")]
    id: RecordingId,
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = String)]
    call: CallId,
    started: Time,
    /// Null while it runs.
    length_ms: Option<u32>,
    bytes: u64,
    /// Why there is no file.
    failed: Option<String>,
}

impl From<callbox_model::Recording> for Recording {
    fn from(recording: callbox_model::Recording) -> Self {
        Self {
            id: recording.id,
            tenant: recording.tenant,
            call: recording.call,
            started: recording.started.into(),
            length_ms: recording.length_ms,
            bytes: recording.bytes,
            failed: recording.failed,
        }
    }
}

/// Runs added up. What was summed over is null.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageRow {
    #[schema(value_type = String)]
    tenant: TenantId,
    #[schema(value_type = Option<String>)]
    application: Option<ApplicationId>,
    /// Null also for the time that callbox itself held calls.
    #[schema(value_type = Option<String>)]
    module: Option<ModuleId>,
    /// The module's name, or `callbox`.
    module_name: Option<String>,
    module_version: Option<u32>,
    /// Different calls among the Runs.
    calls: u64,
    runs: u64,
    /// Runs that ended in a fault.
    faults: u64,
    /// Sums; the peak is the highest of all.
    usage: Usage,
}

impl From<callbox_model::UsageRow> for UsageRow {
    fn from(row: callbox_model::UsageRow) -> Self {
        Self {
            tenant: row.tenant,
            application: row.application,
            module: row.module,
            module_name: row.module_name,
            module_version: row.module_version,
            calls: row.calls,
            runs: row.runs,
            faults: row.faults,
            usage: row.usage.into(),
        }
    }
}

/// A message for the module that has the call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageBody {
    /// Who sends it, for the module to tell apart.
    #[serde(default = "rest")]
    #[schema(max_length = 100, default = "rest")]
    sender: String,
    /// Any JSON; the module gets it as text.
    body: serde_json::Value,
}

impl MessageBody {
    pub(crate) fn check(self) -> Result<callbox_model::Message, Problem> {
        let body = self.body.to_string();
        let mut fields = Fields::default();
        fields.hold_title("sender", &self.sender);
        fields.hold_length("body", body.len(), MESSAGE_BYTES);
        fields.done()?;
        Ok(callbox_model::Message { sender: self.sender, body })
    }
}

fn rest() -> String {
    "rest".to_owned()
}

/// Far below what a guest takes in one host call.
const MESSAGE_BYTES: usize = 64 << 10;
