//! Carries what a call's brain says to the drivers.

mod assets;
mod lend;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use callbox_call::{Input, Output, PeerMessage};
use callbox_model::{
    CallId, CallInfo, IdSource, LegCommand, LegEvent, LegKey, LegSource, ModuleId, Refused, RunId, StepError, Way,
};
use callbox_sandbox::{GuestEnd, SandboxEvent, StartControl, What};
use callbox_store::WriterHandle;
use callbox_usage::Over;

use crate::admission::Lanes;
use crate::directory::{Directory, Route};
use crate::lane::Message;
use crate::outbound::Outbounds;
use crate::reach::{Reach, Unreachable};

pub use assets::Assets;
pub use lend::Lent;

/// Cheap to clone: each lane has one.
#[derive(Clone)]
pub struct Drive {
    pub signal: callbox_signal::Handle,
    pub media: callbox_media::Handle,
    pub sandbox: callbox_sandbox::Handle,
    pub writer: WriterHandle,
    pub lanes: Arc<Lanes>,
    pub ids: Arc<IdSource>,
    pub legs: Arc<LegSource>,
    pub directory: Arc<ArcSwap<Directory>>,
    pub outbounds: Arc<Outbounds>,
    /// To name in session descriptions of legs that are dialled to where no network leads yet.
    pub local: IpAddr,
}

/// Why a target is not called now.
pub enum NoWay {
    Unreachable(Unreachable),
    Over(Over),
}

impl Drive {
    /// False for the last output of a call.
    pub fn carry(&self, call: CallId, output: Output) -> bool {
        match output {
            Output::Leg(leg, command) => self.signal.send(leg, command),
            Output::Media(leg, command) => self.media.send(leg, command),
            Output::Outcome { run, ask, outcome } => self.sandbox.outcome(run, ask, outcome),
            Output::StopControl { run } => self.sandbox.stop(run),
            Output::Sample { run } => self.sandbox.sample(run),
            // A detail that is left out is counted by the writer.
            Output::Record(event) => drop(self.writer.try_record(*event)),
            Output::Mark(run) => drop(self.writer.try_record(*run)),
            Output::Peer(to, message) => match self.lanes.of_call(to) {
                Some(_) => self.to_call(to, Input::Peer(call, message)),
                None => self.undelivered(call, to, message),
            },
            Output::PeerOfLeg(leg, message) => {
                if let Some(home) = self.lanes.of_leg(leg) {
                    home.send(Message::OfLeg { leg, from: call, message: Box::new(message) });
                }
            }
            Output::Pass { to, leg, what } => self.to_call(to, what.into_input(leg)),
            // The lane has seen to these.
            Output::StartControl { .. }
            | Output::Resolve { .. }
            | Output::Own { .. }
            | Output::Release { .. }
            | Output::Forget { .. } => {}
            Output::Over => return false,
        }
        true
    }

    pub fn start(&self, call: CallId, route: &Route, run: RunId, module: ModuleId, info: CallInfo) {
        self.sandbox.start(StartControl {
            call,
            run,
            tenant: route.tenant,
            application: route.plan.id,
            module,
            digest: route.settings.digests.get(&module).cloned().unwrap_or_default(),
            info,
            config: route.settings.config.clone(),
            secrets: route.settings.secrets.clone(),
            limits: route.plan.limits.clone(),
        });
    }

    /// To a call of any lane. One that is over hears nothing.
    pub fn to_call(&self, call: CallId, input: Input) {
        if let Some(inbox) = self.lanes.of_call(call) {
            inbox.send(Message::Ask { call, input: Box::new(input), found: None });
        }
    }

    /// Answers in the name of a call that is not there.
    pub fn undelivered(&self, from: CallId, to: CallId, message: PeerMessage) {
        if let Some(answer) = message.undelivered() {
            self.to_call(from, Input::Peer(to, answer));
        }
    }

    /// A leg that was admitted to a call which is gone meanwhile.
    pub fn refuse(&self, leg: LegKey) {
        let reason = String::new();
        self.signal.send(leg, LegCommand::Reject { ask: 0, status: 481, reason, headers: Vec::new() });
    }

    /// Where targets are, and whether they may be called now.
    pub fn resolve(
        &self,
        route: &Route,
        caller: Option<&str>,
        targets: &[String],
        caller_id: Option<&str>,
    ) -> Result<Vec<Vec<Way>>, StepError> {
        let directory = self.directory.load();
        let reach = self.reach(&directory, route, caller);
        let ways = |target: &String| match self.allowed(&reach, target, caller_id) {
            Ok(ways) => Ok(ways),
            Err(NoWay::Unreachable(why)) => Err(why.into()),
            Err(NoWay::Over(over)) => Err(StepError::Quota(over.to_string())),
        };
        targets.iter().map(ways).collect()
    }

    /// As [`Self::resolve`], of one target of a call that is yet to begin.
    pub fn ways(&self, route: &Route, target: &str, caller_id: Option<&str>) -> Result<Vec<Way>, NoWay> {
        let directory = self.directory.load();
        self.allowed(&self.reach(&directory, route, None), target, caller_id)
    }

    fn allowed(&self, reach: &Reach<'_>, target: &str, caller_id: Option<&str>) -> Result<Vec<Way>, NoWay> {
        let ways = reach.ways(target, caller_id).map_err(NoWay::Unreachable)?;
        for way in &ways {
            self.outbounds.would(reach.tenant, reach.bought(way).as_ref()).map_err(NoWay::Over)?;
        }
        Ok(ways)
    }

    /// Counts a leg that is about to be dialled. One that may not be hears so.
    pub fn may_dial(&self, call: CallId, leg: LegKey, route: &Route, way: &Way, ask: u32) -> bool {
        let directory = self.directory.load();
        let bought = self.reach(&directory, route, None).bought(way);
        let bought = way.trunk.zip(bought);
        let Err(over) = self.outbounds.begin(leg, call, route.tenant, bought) else { return true };
        let refused = LegEvent::Reply { ask, result: Err(Refused::Denied(over.to_string())) };
        self.to_call(call, Input::Leg(leg, refused));
        false
    }

    fn reach<'a>(&'a self, directory: &'a Directory, route: &'a Route, caller: Option<&'a str>) -> Reach<'a> {
        Reach {
            directory,
            tenant: route.tenant,
            outgoing: &route.outgoing,
            caller,
            local: self.local,
            contacts: &self.signal,
        }
    }
}

/// What a module says, in the brain's words.
pub fn from_sandbox(event: SandboxEvent) -> (CallId, Input) {
    let run = event.run;
    let input = match event.what {
        What::Step { ask, step } => Input::Step { run, ask, step },
        What::Sampled(usage) => Input::Sampled { run, usage },
        What::Log { level, message } => Input::Log { run, level, message },
        What::Ended { end, usage } => {
            let end = match end {
                GuestEnd::Ok => callbox_call::GuestEnd::Ok,
                GuestEnd::Err(error) => callbox_call::GuestEnd::Err(error),
                GuestEnd::Fault(fault) => callbox_call::GuestEnd::Fault(fault),
                GuestEnd::Stopped => callbox_call::GuestEnd::Stopped,
            };
            Input::ControlEnded { run, end, usage }
        }
    };
    (event.call, input)
}
