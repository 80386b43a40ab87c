//! What a guest asks for, and how it ended. The contract's `call`, `media`, `events` and
//! `handover` interfaces as values.

use serde::{Deserialize, Serialize};

use crate::{BridgeDigits, CallInfo, EndCause, Header, Leg, LegNumber, LegState, Millis};

/// Numbers a step within its call. Never used twice, not even by a successor.
pub type StepId = u32;

/// One host call that needs the call. `None` legs mean leg 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Info,
    Ring {
        early_media: bool,
    },
    Answer {
        headers: Vec<Header>,
    },
    Reject {
        status: u16,
        reason: String,
        headers: Vec<Header>,
    },
    Hangup {
        leg: Option<LegNumber>,
        reason: Option<String>,
    },
    Play {
        sources: Vec<Source>,
        options: PlayOptions,
        wait: bool,
    },
    Gather {
        prompt: Vec<Source>,
        options: GatherOptions,
        wait: bool,
    },
    Record {
        options: RecordOptions,
        wait: bool,
    },
    Stop {
        step: StepId,
    },
    PauseRecord {
        step: StepId,
        silence: bool,
    },
    ResumeRecord {
        step: StepId,
    },
    /// `events.next`.
    Next {
        timeout: Option<Millis>,
    },
    Checkpoint {
        state: Vec<u8>,
    },
    Legs,
    LegHeaders {
        leg: LegNumber,
    },
    Dial {
        targets: Vec<String>,
        options: DialOptions,
    },
    Bridge {
        a: LegNumber,
        b: LegNumber,
        digits: BridgeDigits,
    },
    Part {
        leg: LegNumber,
    },
    Hold {
        leg: LegNumber,
    },
    Resume {
        leg: LegNumber,
    },
    Refer {
        leg: LegNumber,
        to: ReferTarget,
        timeout: Option<Millis>,
    },
    AnswerRefer {
        leg: LegNumber,
        status: u16,
    },
    /// To another call of the tenant, by its id.
    Give {
        leg: LegNumber,
        to: String,
    },
    Send {
        to: String,
        body: String,
    },
    SendDigits {
        leg: LegNumber,
        digits: String,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialOrder {
    /// The first to answer wins; the others are cancelled.
    #[default]
    All,
    OneByOne,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    pub order: Option<DialOrder>,
    pub caller_id: Option<String>,
    pub headers: Vec<Header>,
    /// Default 60,000; 1,000 to 600,000.
    pub timeout: Option<Millis>,
    /// The new leg is hung up after so long.
    pub time_limit: Option<Millis>,
    /// Sent after the answer; `w` waits half a second.
    pub send_digits: Option<String>,
    /// Leg 1 hears the far end's early media. Default no.
    pub early_media: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferTarget {
    Address(String),
    Leg(LegNumber),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    Info(Box<CallInfo>),
    Played(Played),
    Gathered(Gathered),
    Recorded(Recorded),
    /// The id of a step begun and not waited for.
    Started(StepId),
    Event(Option<GuestEvent>),
    Legs(Vec<Leg>),
    Headers(Vec<Header>),
    /// The number of a leg that is being dialled.
    Dialling(LegNumber),
    /// Of a REFER.
    Status(u16),
    Failed(StepError),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A file among the application's assets.
    Asset(String),
    Text(Speech),
    Tone {
        first: u16,
        second: Option<u16>,
        length: Millis,
    },
    Silence(Millis),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speech {
    pub text: String,
    pub voice: Option<String>,
    pub language: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlayOptions {
    pub leg: Option<LegNumber>,
    /// Default 1; 0 is for ever.
    pub repeat: Option<u32>,
    pub stop_on: Option<String>,
    /// Default 0; -60 to 20.
    pub gain_db: Option<i8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    pub length: Millis,
    pub stopped_by: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatherOptions {
    pub leg: Option<LegNumber>,
    /// Default 1; 1 to 128.
    pub min: Option<u32>,
    /// Default 128; `min` to 128.
    pub max: Option<u32>,
    /// Default `#`.
    pub terminators: Option<String>,
    /// Until the first digit, from the prompt's end. Default 5,000.
    pub first_digit: Option<Millis>,
    /// Between digits. Default 3,000.
    pub inter_digit: Option<Millis>,
    pub sensitive: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatheredBy {
    Max,
    Terminator,
    Timeout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    pub digits: String,
    pub by: GatheredBy,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordOptions {
    pub leg: Option<LegNumber>,
    pub separate_tracks: Option<bool>,
    pub max: Option<Millis>,
    /// Ends it after so much silence.
    pub silence: Option<Millis>,
    pub stop_on: Option<String>,
    pub beep: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// A [`crate::RecordingId`] as text.
    pub id: String,
    pub length: Millis,
    pub stopped_by: Option<String>,
}

/// Why a step did not do what it was asked. None of these is a fault: the module goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepError {
    Ended(EndCause),
    State(String),
    Argument(String),
    Quota(String),
    Denied(String),
    Unavailable(String),
    Stopped,
    Timeout,
    Other(String),
}

/// What `events.next` tells. Named apart from [`crate::Event`], which is written down.
#[derive(Clone, Debug, PartialEq)]
pub enum GuestEvent {
    Digit(Digit),
    Leg(LegChange),
    Ended(EndCause),
    Done(StepOutcome),
    Message(Message),
    Refer(ReferRequest),
    /// A leg that another call gave to this one.
    Given(LegNumber),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferRequest {
    pub leg: LegNumber,
    /// The Refer-To URI.
    pub to: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digit {
    pub leg: LegNumber,
    pub digit: char,
    pub length: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegChange {
    pub leg: LegNumber,
    pub state: LegState,
}

/// `outcome` is one of `Played`, `Gathered`, `Recorded` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    pub step: StepId,
    pub outcome: Box<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub sender: String,
    /// JSON.
    pub body: String,
}
