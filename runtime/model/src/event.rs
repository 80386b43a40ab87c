//! What is written down: every change, with a sequence for each subject.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ApplicationId, CallId, Direction, DomainId, EndCause, EndReason, Fault, GatheredBy, KeyId, ModuleId, NumberId,
    RecordingId, RunId, StepId, TenantId, TrunkId, TrunkState, UserId, Wall,
};

/// `subject` and `sequence` name it for ever: sequences have no holes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub subject: Subject,
    /// From 1.
    pub sequence: u64,
    pub tenant: Option<TenantId>,
    pub at: Wall,
    #[serde(flatten)]
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Call(CallId),
    Tenant(TenantId),
    Module(ModuleId),
    Application(ApplicationId),
    Number(NumberId),
    Domain(DomainId),
    User(UserId),
    Trunk(TrunkId),
    /// The node itself: limits met, settings changed.
    Node,
}

/// The kinds of event, each with its data. `type` and `data` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all_fields = "snake_case")]
pub enum Change {
    #[serde(rename = "call.started")]
    CallStarted {
        application: ApplicationId,
        direction: Direction,
        caller: String,
        called: String,
        number: String,
        sip_call_id: String,
    },
    #[serde(rename = "call.ringing")]
    CallRinging { status: u16 },
    #[serde(rename = "call.answered")]
    CallAnswered,
    #[serde(rename = "call.ended")]
    CallEnded { cause: EndCause, answered: bool, duration_us: u64, connected_us: u64 },
    /// Several addresses are dialled at once, or one by one.
    #[serde(rename = "leg.started")]
    LegStarted { leg: u32, address: String },
    #[serde(rename = "leg.ringing")]
    LegRinging { leg: u32, status: u16 },
    #[serde(rename = "leg.answered")]
    LegAnswered { leg: u32 },
    #[serde(rename = "leg.bridged")]
    LegBridged { leg: u32, with: u32 },
    #[serde(rename = "leg.parted")]
    LegParted { leg: u32 },
    /// Its far end asked for a transfer, or was sent elsewhere; the status is what was answered.
    #[serde(rename = "leg.referred")]
    LegReferred { leg: u32, to: String, status: u16, remote: bool },
    /// Another far end took this one's place (RFC 3891).
    #[serde(rename = "leg.replaced")]
    LegReplaced { leg: u32, address: String },
    #[serde(rename = "leg.given")]
    LegGiven { leg: u32, to: CallId },
    #[serde(rename = "leg.adopted")]
    LegAdopted { leg: u32, from: CallId, address: String },
    #[serde(rename = "leg.media")]
    LegMedia { leg: u32, codec: String },
    #[serde(rename = "leg.held")]
    LegHeld { leg: u32, held: bool },
    #[serde(rename = "leg.ended")]
    LegEnded { leg: u32, cause: EndCause },
    #[serde(rename = "control.started")]
    ControlStarted { run: RunId, module: Option<ModuleId>, module_name: String, version: u32, handler: u32 },
    #[serde(rename = "control.ended")]
    ControlEnded { run: RunId, reason: EndReason },
    #[serde(rename = "control.fault")]
    ControlFault { run: RunId, handler: u32, fault: Fault },
    /// A step that takes time began. `detail` says what is played, asked or recorded.
    #[serde(rename = "step.started")]
    StepStarted { step: StepId, kind: String, detail: String },
    #[serde(rename = "step.ended")]
    StepEnded { step: StepId, kind: String, outcome: String },
    /// What was gathered; `*` for each digit when it was sensitive.
    #[serde(rename = "call.gathered")]
    Gathered { step: StepId, digits: String, by: GatheredBy },
    /// A digit that nobody was gathering.
    #[serde(rename = "call.digit")]
    DigitPressed { leg: u32, digit: char, length_ms: u32 },
    #[serde(rename = "call.message")]
    MessageSent { sender: String },
    #[serde(rename = "recording.started")]
    RecordingStarted { recording: RecordingId, step: StepId },
    #[serde(rename = "recording.ended")]
    RecordingEnded { recording: RecordingId, length_ms: u32, bytes: u64, failed: Option<String> },
    /// A line of the module's log.
    #[serde(rename = "module.log")]
    Log { run: RunId, level: String, message: String },
    #[serde(rename = "limit.reached")]
    LimitReached { limit: String, detail: String },
    #[serde(rename = "tenant.created")]
    TenantCreated { name: String },
    #[serde(rename = "tenant.changed")]
    TenantChanged { what: String },
    /// An API key was given out. An operator's has the node as its subject.
    #[serde(rename = "key.created")]
    KeyCreated { key: KeyId, name: String },
    #[serde(rename = "key.revoked")]
    KeyRevoked { key: KeyId, name: String },
    #[serde(rename = "module.uploaded")]
    ModuleUploaded { name: String, version: u32, digest: String },
    #[serde(rename = "module.refused")]
    ModuleRefused { name: String, code: String, detail: String },
    #[serde(rename = "module.changed")]
    ModuleChanged { what: String },
    #[serde(rename = "application.created")]
    ApplicationCreated { name: String },
    #[serde(rename = "application.changed")]
    ApplicationChanged { what: String },
    #[serde(rename = "application.deleted")]
    ApplicationDeleted { name: String },
    #[serde(rename = "number.bound")]
    NumberBound { address: String, application: Option<ApplicationId> },
    #[serde(rename = "number.deleted")]
    NumberDeleted { address: String },
    #[serde(rename = "number.changed")]
    NumberChanged { address: String, what: String },
    #[serde(rename = "domain.created")]
    DomainCreated { name: String },
    #[serde(rename = "domain.changed")]
    DomainChanged { name: String, what: String },
    #[serde(rename = "domain.deleted")]
    DomainDeleted { name: String },
    #[serde(rename = "user.created")]
    UserCreated { user: UserId, address: String },
    #[serde(rename = "user.changed")]
    UserChanged { user: UserId, what: String },
    #[serde(rename = "user.deleted")]
    UserDeleted { user: UserId, address: String },
    /// A phone can be reached under another contact, or no longer under one.
    #[serde(rename = "user.registered")]
    UserRegistered { user: UserId, contact: String, expires: Wall },
    #[serde(rename = "user.unregistered")]
    UserUnregistered { user: UserId, contact: String, why: String },
    #[serde(rename = "trunk.created")]
    TrunkCreated { name: String },
    #[serde(rename = "trunk.changed")]
    TrunkChanged { name: String, what: String },
    #[serde(rename = "trunk.deleted")]
    TrunkDeleted { name: String },
    #[serde(rename = "trunk.state")]
    TrunkStateChanged { name: String, state: TrunkState },
}

impl Change {
    /// True for what may be left out, and counted, when the node cannot write fast enough.
    pub const fn is_detail(&self) -> bool {
        matches!(self, Self::StepStarted { .. } | Self::StepEnded { .. } | Self::DigitPressed { .. } | Self::Log { .. })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(id) => id.fmt(f),
            Self::Tenant(id) => id.fmt(f),
            Self::Module(id) => id.fmt(f),
            Self::Application(id) => id.fmt(f),
            Self::Number(id) => id.fmt(f),
            Self::Domain(id) => id.fmt(f),
            Self::User(id) => id.fmt(f),
            Self::Trunk(id) => id.fmt(f),
            Self::Node => f.write_str("node"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = crate::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split('_').next().unwrap_or_default() {
            TenantId::PREFIX => text.parse().map(Self::Tenant),
            ModuleId::PREFIX => text.parse().map(Self::Module),
            ApplicationId::PREFIX => text.parse().map(Self::Application),
            NumberId::PREFIX => text.parse().map(Self::Number),
            DomainId::PREFIX => text.parse().map(Self::Domain),
            UserId::PREFIX => text.parse().map(Self::User),
            TrunkId::PREFIX => text.parse().map(Self::Trunk),
            "node" => Ok(Self::Node),
            _ => text.parse().map(Self::Call),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_its_json() {
        let event = Event {
            subject: Subject::Call(CallId::from_u128(7)),
            sequence: 1,
            tenant: Some(TenantId::from_u128(9)),
            at: Wall(1),
            change: Change::CallRinging { status: 180 },
        };
        let json = serde_json::to_string(&event).unwrap();
        assert!(json.contains(r#""type":"call.ringing""#), "{json}");
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
