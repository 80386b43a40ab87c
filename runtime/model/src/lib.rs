//! The words that cross borders between crates: ids, units, steps and outcomes, commands and
//! events, faults, usage, limits, and the things tenants own.
//!
//! This crate does nothing. It has no clock, no socket and no runtime; every other crate of
//! `runtime/` may name it, and it names none of them. A word stands here when two crates must
//! mean the same by it; a word that one crate alone uses lives there.

mod call;
mod egress;
mod entity;
mod event;
mod fault;
mod id;
mod leg;
mod limits;
mod media;
mod run;
mod sip;
mod step;
mod time;

pub use call::{CallInfo, Direction, EndCause, Header, Leg, LegNumber, LegState, Predecessor};
pub use egress::{Egress, EgressError};
pub use entity::{
    Application, ApplicationSpec, Asset, CallRecord, CallStatus, Handler, KvEntry, KvError, Module, ModuleState,
    ModuleVersion, Number, Recording, Tenant, TenantState, World,
};
pub use event::{Change, Event, Subject};
pub use fault::{Blame, Fault, FaultCode};
pub use id::{
    ApplicationId, CallId, DomainId, IdError, IdSource, KeyId, ModuleId, NumberId, RecordingId, RunId, TenantId,
    TrunkId, UserId,
};
pub use leg::{Body, Credentials, LegCommand, LegEvent, LegKey, LegSource, Offered, Origin, ReferTo, Refused, Way};
pub use limits::Limits;
pub use media::{
    BridgeDigits, Codec, Frames, MediaCommand, MediaEvent, MediaFault, MediaPlan, PlayEnd, RecordEnd, RecordPlan,
    Remote, Sound, Tone, Tracks,
};
pub use run::{EndReason, HostCalls, Run, RunEnd, RunKind, RunUsage, UsageRow};
pub use sip::{Domain, Outbound, Registration, Trunk, TrunkSpec, TrunkState, User, Verifiers};
pub use step::{
    DialOptions, DialOrder, Digit, GatherOptions, Gathered, GatheredBy, GuestEvent, LegChange, Message, Outcome,
    PlayOptions, Played, RecordOptions, Recorded, ReferRequest, ReferTarget, Source, Speech, Step, StepError, StepId,
    StepOutcome,
};
pub use time::{Instant, Millis, Now, Wall};
