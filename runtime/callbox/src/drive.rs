//! Carries what a call's brain says to the drivers.

mod assets;
mod lend;

use std::sync::Arc;

use callbox_call::{Input, Output};
use callbox_model::{CallId, IdSource};
use callbox_sandbox::{GuestEnd, SandboxEvent, StartControl, What};
use callbox_store::WriterHandle;

use crate::admission::Lanes;
use crate::directory::Route;
use crate::lane::Message;

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
}

impl Drive {
    /// False for the last output of a call.
    pub fn carry(&self, call: CallId, route: &Route, output: Output) -> bool {
        match output {
            Output::Leg(leg, command) => self.signal.send(leg, command),
            Output::Media(leg, command) => self.media.send(leg, command),
            Output::StartControl { run, module, info } => self.sandbox.start(StartControl {
                call,
                run,
                tenant: route.tenant,
                application: route.plan.id,
                module,
                digest: route.settings.digests.get(&module).cloned().unwrap_or_default(),
                info: *info,
                config: route.settings.config.clone(),
                secrets: route.settings.secrets.clone(),
                limits: route.plan.limits.clone(),
            }),
            Output::Outcome { run, ask, outcome } => self.sandbox.outcome(run, ask, outcome),
            Output::StopControl { run } => self.sandbox.stop(run),
            Output::Sample { run } => self.sandbox.sample(run),
            // A detail that is left out is counted by the writer.
            Output::Record(event) => drop(self.writer.try_record(*event)),
            Output::Mark(run) => drop(self.writer.try_record(*run)),
            Output::Peer(to, message) => {
                if let Some(inbox) = self.lanes.of_call(to) {
                    let input = Box::new(Input::Peer(call, message));
                    inbox.send(Message::Ask { call: to, input, found: None });
                }
            }
            Output::Over => return false,
        }
        true
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
