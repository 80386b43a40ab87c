//! What the brain is told, and what it says.

use callbox_model::{
    CallId, CallInfo, Event, LegCommand, LegEvent, LegKey, MediaCommand, MediaEvent, ModuleId, Outcome, Run, RunId,
    RunUsage, Step, StepError,
};

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
    /// Nothing will ever come of this call again.
    Over,
}

/// Between two calls, which may live on different lanes. A leg has one owner at every moment: the
/// offering call keeps it until `Adopted` comes, and has it again with `Declined`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    Offer { leg: LegKey },
    Adopted { leg: LegKey },
    Declined { leg: LegKey, why: String },
}
