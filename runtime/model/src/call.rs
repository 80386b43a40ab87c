//! A call and its legs, as a guest and the API see them.

use serde::{Deserialize, Serialize};

use crate::{CallId, Fault, StepId};

/// Numbers a leg within its call. Leg 1 is the leg the call began with.
pub type LegNumber = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// A SIP header that the application's allow-list lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// What a handler is told about its call (contract: `types.call-info`).
#[derive(Clone, Debug, PartialEq)]
pub struct CallInfo {
    pub id: CallId,
    pub direction: Direction,
    pub caller: String,
    pub called: String,
    /// The number (address pattern) that led to this application.
    pub number: String,
    /// The application's name.
    pub application: String,
    pub headers: Vec<Header>,
    pub answered: bool,
    pub input: Option<String>,
    pub predecessor: Option<Predecessor>,
    pub resume: Option<String>,
}

/// What a handler learns about the one before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Predecessor {
    pub module: String,
    pub version: String,
    pub fault: Fault,
    /// 1 for the first fallback, 2 for the second.
    pub attempt: u32,
    /// What it last gave to `checkpoint`.
    pub state: Option<Vec<u8>>,
    /// `*` stands for each digit that was gathered as sensitive.
    pub digits: String,
    /// Media steps still running.
    pub steps: Vec<StepId>,
    pub legs: Vec<Leg>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub id: LegNumber,
    pub address: String,
    pub state: LegState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegState {
    Trying,
    /// With the SIP status, 180 or 183 for example.
    Ringing(u16),
    Answered,
    Held,
    Ended(EndCause),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndCause {
    /// SIP status, or 0 when the leg ended by BYE.
    pub status: u16,
    /// Text of the Reason header or of the status line.
    pub reason: String,
    /// True when the far end ended it.
    pub remote: bool,
}
