//! The node, its limits, its health, and the error dictionary.

use serde::Serialize;
use utoipa::ToSchema;

use super::mirror;
use crate::backend::{Check, CheckState, NodeInfo};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Node {
    version: String,
    uptime_s: u64,
    listeners: Vec<Listener>,
    checks: Vec<HealthCheck>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Listener {
    /// `sip/udp` for example.
    protocol: String,
    address: String,
}

impl Node {
    pub(crate) fn new(node: NodeInfo, checks: Vec<Check>) -> Self {
        let listener = |listener: crate::backend::Listener| Listener {
            protocol: listener.protocol,
            address: listener.address.to_string(),
        };
        Self {
            version: node.version,
            uptime_s: node.uptime_s,
            listeners: node.listeners.into_iter().map(listener).collect(),
            checks: checks.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// True when every check passed.
    pub(crate) ready: bool,
    checks: Vec<HealthCheck>,
}

impl From<Vec<Check>> for Health {
    fn from(checks: Vec<Check>) -> Self {
        let ready = checks.iter().all(|check| check.state == CheckState::Passed);
        Self { ready, checks: checks.into_iter().map(Into::into).collect() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct HealthCheck {
    name: String,
    /// Null when it passed.
    failed: Option<String>,
}

impl From<Check> for HealthCheck {
    fn from(check: Check) -> Self {
        let failed = match check.state {
            CheckState::Passed => None,
            CheckState::Failed(reason) => Some(reason),
        };
        Self { name: check.name, failed }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    #[schema(value_type = u64)]
    pub(crate) value: serde_json::Value,
    pub(crate) reason: &'static str,
}

mirror! {
    Blame { Module, Configuration, Node }
}

/// Where a code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ErrorKind {
    /// Why a module lost control of a call.
    Fault,
    /// Why a request was refused.
    Problem,
}

/// One entry of the error dictionary.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorEntry {
    /// Stable for ever.
    pub(crate) code: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) title: &'static str,
    pub(crate) means: &'static str,
    pub(crate) remedy: &'static str,
    /// Whose fault it is. Null for problems.
    pub(crate) blame: Option<Blame>,
    /// HTTP status. Null for faults.
    pub(crate) status: Option<u16>,
}
