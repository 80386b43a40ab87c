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
    Peer(CallId, PeerMessage),
    /// To the call that has this leg. Where there is none, `NotTaken` comes back.
    PeerOfLeg(LegKey, PeerMessage),
    /// Ask for [`Input::Resolved`]: where these targets are, and whether they may be called.
    Resolve {
        ask: u32,
        targets: Vec<String>,
        caller_id: Option<String>,
    },
    /// A leg of this call from now on: what comes of it comes here.
    Own {
        leg: LegKey,
    },
    /// The leg is another call's now; what still comes of it goes there.
    Release {
        leg: LegKey,
        to: CallId,
    },
    /// Nothing will come of this leg any more.
    Forget {
        leg: LegKey,
    },
    /// Nothing will ever come of this call again.
    Over,
}

/// Between two calls, which may live on different lanes. A leg has one owner at every moment: the
/// offering call keeps it until `Adopted` comes, and has it again with `Declined`.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerMessage {
    /// `tenant` is the sender's: calls of others do not exist. `ask` is set when this is the
    /// answer to a `Take`.
    Offer { tenant: TenantId, leg: Box<GivenLeg>, ask: Option<u32> },
    Adopted { leg: LegKey },
    Declined { leg: LegKey, why: String },
    /// For the module there. Answered by `Sent`.
    Send { tenant: TenantId, ask: u32, body: String },
    Sent { ask: u32, result: Result<(), String> },
    /// The sender's far end was told to take the place of this leg (an attended transfer between
    /// two calls of the node): it wants the leg that talks with it, and `replaced` hung up.
    /// Answered by `Offer` or `NotTaken`.
    Take { tenant: TenantId, ask: u32, replaced: LegKey },
    NotTaken { ask: u32, why: String },
}
