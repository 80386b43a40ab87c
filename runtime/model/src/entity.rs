//! The things that tenants own, as the store keeps them and the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ApplicationId, CallId, Direction, EndCause, ModuleId, NumberId, Outbound, RecordingId, TenantId, Wall};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub state: TenantState,
    pub created: Wall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TenantState {
    Active,
    /// No new calls, no changes; running calls go on.
    Suspended,
}

/// What a module is, by the world it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    CallHandler,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleState {
    Ready,
    Disabled,
    Quarantined,
}

/// One version of a module. Immutable, but for its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Module {
    pub id: ModuleId,
    pub tenant: TenantId,
    /// Unique with `version` within the tenant.
    pub name: String,
    /// Counts up from 1 within the name.
    pub version: ModuleVersion,
    /// `sha256:` and 64 hexadecimal digits, of the component.
    pub digest: String,
    pub world: World,
    pub state: ModuleState,
    /// Of the component.
    pub bytes: u64,
    /// `interface.function` names that it imports from the contract.
    pub imports: Vec<String>,
    /// Linear memory at start.
    pub initial_memory_bytes: u64,
    pub created: Wall,
}

pub type ModuleVersion = u32;

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// Name of a module of the tenant.
    pub module: String,
    /// None is the newest version at the time a call begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ModuleVersion>,
}

/// What an application is made of, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSpec {
    /// Primary first. May be empty: then the last resort has every call.
    #[serde(default)]
    pub handlers: Vec<Handler>,
    /// What `config.get` reads.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// SIP headers that handlers may read and set, besides those that start with `X-`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Voice and language of `say`, where a module names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Said by the last resort to an answered caller. Empty: hung up without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apology: Option<String>,
    /// SIP status of the last resort for a caller not answered yet. Default 480.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort_status: Option<u16>,
    /// Where calls that its modules begin may go.
    #[serde(default)]
    pub outbound: Outbound,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    pub id: ApplicationId,
    pub tenant: TenantId,
    /// Unique within the tenant.
    pub name: String,
    #[serde(flatten)]
    pub spec: ApplicationSpec,
    /// Names of its secrets; their values are never shown.
    pub secrets: Vec<String>,
    /// Grows with every change; for `If-Match`.
    pub revision: u64,
    pub created: Wall,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    pub application: ApplicationId,
    pub name: String,
    pub bytes: u64,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    pub created: Wall,
}

/// Given out by the operator; one owner each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {
    pub id: NumberId,
    pub tenant: TenantId,
    /// A user part (`100`, `+4930123456`), `user@domain`, or `*@domain` for a whole domain.
    pub address: String,
    /// None rings nowhere: callers get 404.
    pub application: Option<ApplicationId>,
    /// Whether callers may come that are neither a trunk nor a user of the tenant.
    pub anonymous: bool,
    pub created: Wall,
}

impl Number {
    /// As it is kept and looked up: hosts are compared without regard to case (RFC 3261 19.1.4),
    /// users with.
    pub fn normal(address: &str) -> String {
        match address.split_once('@') {
            None => address.to_owned(),
            Some((user, domain)) => format!("{user}@{}", domain.to_ascii_lowercase()),
        }
    }

    /// The host that it is bound to, if it is to one.
    pub fn domain(address: &str) -> Option<&str> {
        address.split_once('@').map(|(_, domain)| domain)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    Ringing,
    InProgress,
    Completed,
    /// Ended before it was answered.
    NotAnswered,
    /// The node died with it.
    NodeLost,
}

/// A call as it is kept after it is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: CallId,
    pub tenant: TenantId,
    pub application: ApplicationId,
    pub direction: Direction,
    pub caller: String,
    pub called: String,
    pub number: String,
    pub status: CallStatus,
    pub started: Wall,
    pub answered: Option<Wall>,
    pub ended: Option<Wall>,
    pub cause: Option<EndCause>,
    pub connected_us: u64,
    pub faults: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    pub id: RecordingId,
    pub tenant: TenantId,
    pub call: CallId,
    pub started: Wall,
    /// None while it runs.
    pub length_ms: Option<u32>,
    pub bytes: u64,
    /// Why there is no file.
    pub failed: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    pub value: Vec<u8>,
    /// Grows with every change of the key.
    pub revision: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvError {
    Argument(String),
    Quota(String),
    Conflict,
    Unavailable(String),
}
