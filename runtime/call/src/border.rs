//! What the brain is told, and what it says.

use callbox_model::{
    CallId, CallInfo, Event, LegCommand, LegEvent, LegKey, MediaCommand, MediaEvent, ModuleId, Outcome, Run, RunId,
    RunUsage, Step, StepError, TenantId, Way,
};

use crate::GivenLeg;

#[derive(Clone, Debug)]
pub enum Input {
    Leg(LegKey, LegEvent),
    Media(LegKey, MediaEvent),
    /// A module asks for something; `ask` is the module's own count.
    Step {
        run: RunId,
        ask: u64,
        step: Step,
    },
    /// What a module has used so far. Times and frames are not in it.
    Sampled {
        run: RunId,
        usage: RunUsage,
    },
    /// Exactly once for each [`Output::StartControl`].
    ControlEnded {
        run: RunId,
        end: GuestEnd,
        usage: RunUsage,
    },
    Log {
        run: RunId,
        level: &'static str,
        message: String,
    },
    /// By the API, an operator, or the node's end.
    HangUp {
        by: String,
    },
    /// From outside, for the module.
    Message {
        sender: String,
        body: String,
    },
    Peer(CallId, PeerMessage),
    /// The answer to [`Output::Resolve`]: for each target in turn, the ways that lead there (the
    /// phones of a user, for example).
    Resolved {
        ask: u32,
        result: Result<Vec<Vec<Way>>, StepError>,
    },
    /// A deadline has come.
    Tick,
}

/// How a module ended.
#[derive(Clone, Debug, PartialEq)]
pub enum GuestEnd {
    Ok,
    Err(StepError),
    Fault(callbox_model::Fault),
    /// As it was told to by [`Output::StopControl`].
    Stopped,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Leg(LegKey, LegCommand),
    Media(LegKey, MediaCommand),
    StartControl {
        run: RunId,
        module: ModuleId,
        info: Box<CallInfo>,
    },
    Outcome {
        run: RunId,
        ask: u64,
        outcome: Outcome,
    },
    /// Drop the module where it stands.
    StopControl {
        run: RunId,
    },
    /// Ask for [`Input::Sampled`].
    Sample {
        run: RunId,
    },
    /// Write this down. Outputs are written in their order.
    Record(Box<Event>),
    /// Write this row of the ledger, over what stood there.
    Mark(Box<Run>),
    /// To another call of the node, or to this one. Where there is no such call (any more), the
    /// node answers in its name with [`PeerMessage::undelivered`].
    Peer(CallId, PeerMessage),
    /// To the call that has this leg. Where there is none, [`PeerMessage::undelivered`] comes back.
    PeerOfLeg(LegKey, PeerMessage),
    /// Ask for [`Input::Resolved`]: where these targets are, and whether they may be called.
    Resolve {
        ask: u32,
        targets: Vec<String>,
        caller_id: Option<String>,
    },
    /// A leg of this call from now on: what comes of it comes here. Said before anything else of
    /// the leg, also of one that was given, whose earlier owner releases it a moment later. Not said
    /// of the leg that was offered to begin the call with.
    Own {
        leg: LegKey,
    },
    /// The leg is another call's now; what still comes of it goes there.
    Release {
        leg: LegKey,
        to: CallId,
    },
    /// What came of a leg while it was on offer. Follows its `Release`, before anything that comes
    /// later: all that goes from one call to another keeps its order. Where the other is over
    /// meanwhile, a far end that wants in (`Offered`) is refused in its name; the rest is stray.
    Pass {
        to: CallId,
        leg: LegKey,
        what: Passed,
    },
    /// Nothing will come of this leg any more.
    Forget {
        leg: LegKey,
    },
    /// Nothing will ever come of this call again. What it still owns is forgotten with it.
    Over,
}

/// An input of a leg on its way to the leg's next owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    Leg(LegEvent),
    Media(MediaEvent),
}

impl Passed {
    pub fn into_input(self, leg: LegKey) -> Input {
        match self {
            Self::Leg(event) => Input::Leg(leg, event),
            Self::Media(event) => Input::Media(leg, event),
        }
    }
}

/// Between two calls, which may live on different lanes. A leg has one owner at every moment: the
/// offering call keeps it until `Adopted` comes, and has it again with `Declined`. None is lost: a
/// call that has a leg on offer is not over before it is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerMessage {
    /// `tenant` is the sender's: calls of others do not exist. `ask` is set when this is the
    /// answer to a `Take`.
    Offer {
        tenant: TenantId,
        leg: Box<GivenLeg>,
        ask: Option<u32>,
    },
    Adopted {
        leg: LegKey,
    },
    Declined {
        leg: LegKey,
        why: String,
    },
    /// For the module there. Answered by `Sent`.
    Send {
        tenant: TenantId,
        ask: u32,
        body: String,
    },
    Sent {
        ask: u32,
        result: Result<(), String>,
    },
    /// The sender's far end was told to take the place of this leg (an attended transfer between
    /// two calls of the node): it wants the leg that talks with it, and `replaced` hung up.
    /// Answered by `Offer` or `NotTaken`.
    Take {
        tenant: TenantId,
        ask: u32,
        replaced: LegKey,
    },
    NotTaken {
        ask: u32,
        why: String,
    },
}

impl PeerMessage {
    /// What comes back when there is no such call (any more). None: nothing is awaited.
    pub fn undelivered(&self) -> Option<Self> {
        match self {
            Self::Offer { leg, .. } => Some(Self::Declined { leg: leg.key(), why: NO_SUCH_CALL.to_owned() }),
            Self::Send { ask, .. } => Some(Self::Sent { ask: *ask, result: Err(NO_SUCH_CALL.to_owned()) }),
            Self::Take { ask, .. } => Some(Self::NotTaken { ask: *ask, why: "there is no such leg".to_owned() }),
            Self::Adopted { .. } | Self::Declined { .. } | Self::Sent { .. } | Self::NotTaken { .. } => None,
        }
    }
}

/// Also said of calls of other tenants, so that nobody learns of them.
pub(crate) const NO_SUCH_CALL: &str = "there is no such call";
