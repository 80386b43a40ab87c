//! What is metered: a [`Run`] is one stretch of one module doing one thing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ApplicationId, CallId, Fault, ModuleId, RunId, TenantId, Wall};

/// Host calls by name, `media.gather` for example.
pub type HostCalls = BTreeMap<String, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// A stretch of control over a call.
    Control,
    Plan,
    Delivery,
    Callback,
    Filter,
}

/// One row of the ledger. Written when the Run begins, marked every ten seconds, and closed once.
/// All figures are totals since the Run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub kind: RunKind,
    /// What it was about: a call.
    pub call: CallId,
    pub tenant: TenantId,
    pub application: ApplicationId,
    /// None where callbox itself held the call (last resort, the time before the first handler).
    pub module: Option<ModuleId>,
    /// The module's name, or `callbox`.
    pub module_name: String,
    pub module_version: u32,
    /// Place in the handler chain, from 0.
    pub handler: u32,
    pub began: Wall,
    /// Of the last mark; of the end when closed.
    pub marked: Wall,
    pub usage: RunUsage,
    /// None while it runs.
    pub end: Option<RunEnd>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunUsage {
    /// Time in control of the call.
    pub holding_us: u64,
    /// Time alive and not in control.
    pub parked_us: u64,
    /// Time in control while the call was answered.
    pub connected_us: u64,
    pub cpu_ns: u64,
    pub peak_memory_bytes: u64,
    /// Bytes times seconds, integrated.
    pub memory_byte_seconds: u64,
    pub host_calls: HostCalls,
    /// 20 ms frames of the leg while in control.
    pub frames_sent: u64,
    pub frames_received: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    pub reason: EndReason,
    pub fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// `handle` returned.
    Returned,
    Fault,
    /// By the API, an operator, or a drain.
    Stopped,
    /// The call ended, and the module did not come to its end within its grace.
    CallEnded,
    /// The node died; closed at the last mark.
    NodeLost,
}

/// Runs added up: those of one version of a module in one application, or coarser. What was
/// summed over is None.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    pub tenant: TenantId,
    pub application: Option<ApplicationId>,
    /// None also for the time that callbox itself held calls.
    pub module: Option<ModuleId>,
    /// The module's name, or `callbox`.
    pub module_name: Option<String>,
    pub module_version: Option<u32>,
    /// Different calls among the Runs.
    pub calls: u64,
    pub runs: u64,
    /// Runs that ended in a fault.
    pub faults: u64,
    /// Sums; the peak is the highest of all.
    #[serde(flatten)]
    pub usage: RunUsage,
}
