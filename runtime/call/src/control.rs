//! Who runs the call: the chain of handlers, and what the one in control waits for.

use callbox_model::{
    Change, EndReason, Fault, FaultCode, Instant, LegNumber, Millis, ModuleId, Outcome, Predecessor, Run, RunEnd,
    RunId, RunKind, RunUsage, StepError, StepId,
};

use crate::call::Call;
use crate::last_resort::LastResort;
use crate::{GuestEnd, Output};

#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) holder: Holder,
    /// Place in the chain of the next handler.
    next: usize,
    faults: u32,
    checkpoint: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) enum Holder {
    Module(Module),
    /// callbox itself; the row is there to tile the call.
    Callbox {
        run: RunId,
        doing: LastResort,
    },
    /// After the call.
    Nobody,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) run: RunId,
    handler: usize,
    asking: Option<Asking>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// The call is over.
    Grace {
        until: Instant,
    },
    /// Told to stop; its end is to come.
    Stopping {
        why: Stop,
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Its call is over, and so is its grace.
    CallEnded,
    HandlerTime,
}

#[derive(Debug)]
struct Asking {
    ask: u64,
    wait: Wait,
}

/// What an ask waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Ring,
    Answer,
    Reject,
    /// That our good-bye to this leg is out.
    Hangup(LegNumber),
    Play(StepId),
    Gather(StepId),
    Record(StepId),
    /// Where a target is.
    Resolve(u32),
    Bridge(LegNumber, LegNumber),
    Part(LegNumber),
    /// Or a resume.
    Hold(LegNumber),
    Press(LegNumber),
    Refer(LegNumber),
    AnswerRefer(LegNumber),
    Give(LegNumber),
    Send(u32),
    Next {
        until: Option<Instant>,
    },
}

impl Wait {
    /// What ends with that leg.
    pub(crate) fn is_of_leg(&self, leg: LegNumber) -> bool {
        match self {
            Self::Ring | Self::Answer | Self::Reject => leg == 1,
            Self::Bridge(a, b) => *a == leg || *b == leg,
            Self::Part(of) | Self::Press(of) | Self::Give(of) => *of == leg,
            _ => self.is_of_dialog(leg),
        }
    }

    /// What its far end is asked.
    pub(crate) fn is_of_dialog(&self, leg: LegNumber) -> bool {
        matches!(self, Self::Hold(of) | Self::Refer(of) | Self::AnswerRefer(of) if *of == leg)
    }

    pub(crate) fn is_bridge_of(&self, one: LegNumber, other: LegNumber) -> bool {
        *self == Self::Bridge(one, other) || *self == Self::Bridge(other, one)
    }
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { holder: Holder::Nobody, next: 0, faults: 0, checkpoint: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.holder, Holder::Nobody)
    }

    pub(crate) fn keep(&mut self, state: Vec<u8>) {
        self.checkpoint = Some(state);
    }

    /// The one whose steps count.
    pub(crate) fn run(&self) -> Option<RunId> {
        match &self.holder {
            Holder::Module(module) if !matches!(module.stage, Stage::Stopping { .. }) => Some(module.run),
            _ => None,
        }
    }
}

impl Call {
    pub(crate) fn start_first_handler(&mut self, out: &mut Vec<Output>) {
        self.start_next(None, out);
    }

    /// The next handler that can be started, or the last resort: after the last one, or after as many
    /// faults as a call may have.
    fn start_next(&mut self, mut predecessor: Option<Predecessor>, out: &mut Vec<Output>) {
        let application = self.application.clone();
        while let Some(handler) = application.handlers.get(self.control.next) {
            let place = self.control.next;
            self.control.next += 1;
            let run = RunId::new(&self.ids, self.now.wall);
            let most = application.limits.faults_per_call;
            let is_too_often = self.control.faults >= most;
            let unusable = match (&handler.unusable, handler.module) {
                _ if is_too_often => Err(Fault::new(
                    FaultCode::TooManySwitches,
                    format!("`{}` is not tried: the call has had its {most} faults (faults_per_call)", handler.name),
                )),
                (Some(fault), _) => Err(fault.clone()),
                (None, Some(module)) => Ok(module),
                (None, None) => {
                    Err(Fault::new(FaultCode::ModuleMissing, format!("there is no module `{}`", handler.name)))
                }
            };
            match unusable {
                Ok(module) => {
                    let boundary = self.frame_boundary(out);
                    let row = self.row(run, Some(module), &handler.name, handler.version, place);
                    self.ledger.hold(self.now, row, boundary, true, out);
                    self.record(
                        Change::ControlStarted {
                            run,
                            module: Some(module),
                            module_name: handler.name.clone(),
                            version: handler.version,
                            handler: place as u32,
                        },
                        out,
                    );
                    self.control.holder =
                        Holder::Module(Module { run, handler: place, asking: None, stage: Stage::Running });
                    let info = Box::new(self.info(predecessor));
                    out.push(Output::StartControl { run, module, info });
                    return;
                }
                Err(fault) => {
                    self.control.faults += 1;
                    self.record(Change::ControlFault { run, handler: place as u32, fault: fault.clone() }, out);
                    if is_too_often {
                        break;
                    }
                    predecessor = Some(self.predecessor(place, fault));
                }
            }
        }
        self.start_last_resort(out);
    }

    /// callbox holds the call under its own name, until it is over.
    pub(crate) fn hold_by_callbox(&mut self, out: &mut Vec<Output>) -> RunId {
        let run = RunId::new(&self.ids, self.now.wall);
        let boundary = self.frame_boundary(out);
        let place = self.control.next;
        let row = self.row(run, None, "callbox", 0, place);
        self.ledger.hold(self.now, row, boundary, false, out);
        self.record(
            Change::ControlStarted {
                run,
                module: None,
                module_name: "callbox".to_owned(),
                version: 0,
                handler: place as u32,
            },
            out,
        );
        self.control.holder = Holder::Callbox { run, doing: LastResort::Waiting };
        run
    }

    /// Until who is dialled answers, and the first handler has the call.
    pub(crate) fn hold_until_answered(&mut self, out: &mut Vec<Output>) {
        let run = self.hold_by_callbox(out);
        self.control.holder = Holder::Callbox { run, doing: LastResort::Dialling };
    }

    pub(crate) fn begin_after_answer(&mut self, out: &mut Vec<Output>) {
        if let Holder::Callbox { run, doing: LastResort::Dialling } = self.control.holder {
            let reason = EndReason::Returned;
            self.ledger.close(self.now, run, RunEnd { reason, fault: None }, None);
            self.record(Change::ControlEnded { run, reason }, out);
            self.start_first_handler(out);
        }
    }

    fn row(&self, id: RunId, module: Option<ModuleId>, name: &str, version: u32, handler: usize) -> Run {
        Run {
            id,
            kind: RunKind::Control,
            call: self.id,
            tenant: self.tenant,
            application: self.application.id,
            module,
            module_name: name.to_owned(),
            module_version: version,
            handler: handler as u32,
            began: self.now.wall,
            marked: self.now.wall,
            usage: RunUsage::default(),
            end: None,
        }
    }

    fn predecessor(&self, place: usize, fault: Fault) -> Predecessor {
        let handler = self.application.handlers.get(place);
        Predecessor {
            module: handler.map(|handler| handler.name.clone()).unwrap_or_default(),
            version: handler.map(|handler| handler.version.to_string()).unwrap_or_default(),
            fault,
            attempt: self.control.faults,
            state: self.control.checkpoint.clone(),
            digits: self.digits.iter().collect(),
            steps: self.running_steps(),
            legs: self.standing_legs(),
        }
    }

    // How a module ends.

    pub(crate) fn control_ended(&mut self, run: RunId, end: GuestEnd, usage: RunUsage, out: &mut Vec<Output>) {
        let (place, stage) = match &mut self.control.holder {
            Holder::Module(module) if module.run == run => {
                // Whatever it waited for, it does not wait any more.
                module.asking = None;
                (module.handler, module.stage)
            }
            // Its row was closed without it.
            _ => {
                self.ledger.late_usage(run, usage);
                self.strays += 1;
                return;
            }
        };
        let fault = match (end, stage) {
            (_, Stage::Stopping { why: Stop::HandlerTime, .. }) => {
                let most = self.application.limits.handler_time_s;
                Some(Fault::new(FaultCode::HandlerTime, format!("the handlers held the call for more than {most} s")))
            }
            (GuestEnd::Ok | GuestEnd::Err(StepError::Ended(_)), _) => None,
            (GuestEnd::Stopped, _) => None,
            (GuestEnd::Err(error), _) => Some(Fault::new(FaultCode::ReturnedError, words(&error))),
            (GuestEnd::Fault(fault), _) => Some(fault),
        };
        let reason = match (&fault, stage) {
            (Some(_), _) => EndReason::Fault,
            (None, Stage::Stopping { .. }) => EndReason::CallEnded,
            (None, _) => EndReason::Returned,
        };
        self.ledger.close(self.now, run, RunEnd { reason, fault: fault.clone() }, Some(usage));
        self.record(Change::ControlEnded { run, reason }, out);
        match fault {
            Some(fault) => self.fell(run, place, fault, stage, out),
            None if self.is_live() => {
                self.resolving = None;
                self.hold_by_callbox(out);
                self.hang_up(None, out);
            }
            None => self.control.holder = Holder::Nobody,
        }
    }

    fn fell(&mut self, run: RunId, place: usize, fault: Fault, stage: Stage, out: &mut Vec<Output>) {
        self.record(Change::ControlFault { run, handler: place as u32, fault: fault.clone() }, out);
        self.control.faults += 1;
        if !self.is_live() {
            // Nothing is left to take over.
            self.control.holder = Holder::Nobody;
            return;
        }
        // Digits are the successor's now; sounds, recordings, bridges and legs that are being dialled
        // go on. A leg of which the module has not even had the number is not begun.
        self.drop_gathers(out);
        self.resolving = None;
        let is_out_of_time = matches!(stage, Stage::Stopping { why: Stop::HandlerTime, .. });
        if is_out_of_time {
            self.start_last_resort(out);
        } else {
            let predecessor = self.predecessor(place, fault);
            self.start_next(Some(predecessor), out);
        }
    }

    /// The call is over: the module may write its notes, callbox is done.
    pub(crate) fn begin_grace(&mut self, out: &mut Vec<Output>) {
        let until = self.now.at + self.application.limits.grace();
        match &mut self.control.holder {
            Holder::Module(module) if module.stage == Stage::Running => module.stage = Stage::Grace { until },
            Holder::Module(_) => {}
            Holder::Callbox { run, .. } => {
                let run = *run;
                self.control.holder = Holder::Nobody;
                let end = RunEnd { reason: EndReason::CallEnded, fault: None };
                self.ledger.close(self.now, run, end, None);
                self.record(Change::ControlEnded { run, reason: EndReason::CallEnded }, out);
            }
            Holder::Nobody => {}
        }
    }

    // What it waits for.

    pub(crate) fn wait(&mut self, ask: u64, wait: Wait) {
        if let Holder::Module(module) = &mut self.control.holder {
            module.asking = Some(Asking { ask, wait });
        }
    }

    /// It goes on to wait for something else.
    pub(crate) fn wait_on(&mut self, is_it: impl Fn(&Wait) -> bool, next: Wait) {
        if let Holder::Module(Module { asking: Some(asking), .. }) = &mut self.control.holder
            && is_it(&asking.wait)
        {
            asking.wait = next;
        }
    }

    pub(crate) fn is_asking(&self) -> bool {
        matches!(&self.control.holder, Holder::Module(Module { asking: Some(_), .. }))
    }

    /// Answers what waits for this. Nothing happens when nobody does.
    pub(crate) fn finish(&mut self, is_it: impl Fn(&Wait) -> bool, outcome: Outcome, out: &mut Vec<Output>) -> bool {
        let Holder::Module(module) = &mut self.control.holder else { return false };
        let Some(asking) = module.asking.take_if(|asking| is_it(&asking.wait)) else { return false };
        out.push(Output::Outcome { run: module.run, ask: asking.ask, outcome });
        true
    }

    pub(crate) fn wait_for_next(&mut self, ask: u64, timeout: Option<Millis>, out: &mut Vec<Output>) {
        let until = timeout.map(|ms| self.now.at + std::time::Duration::from_millis(ms.into()));
        self.wait(ask, Wait::Next { until });
        self.deliver(out);
    }

    /// Hands the module the next event, when it waits for one and there is one.
    pub(crate) fn deliver(&mut self, out: &mut Vec<Output>) {
        let waits = matches!(
            &self.control.holder,
            Holder::Module(Module { asking: Some(Asking { wait: Wait::Next { .. }, .. }), .. })
        );
        if !waits {
            return;
        }
        let Some((event, at)) = self.mailbox.next() else { return };
        if let callbox_model::GuestEvent::Digit(digit) = &event {
            // `*` for one that is nobody's business.
            let shown = at.and_then(|at| self.digits.get(at).copied()).unwrap_or(digit.digit);
            let (leg, digit, length_ms) = (digit.leg, shown, digit.length);
            self.record(Change::DigitPressed { leg, digit, length_ms }, out);
        }
        self.finish(|wait| matches!(wait, Wait::Next { .. }), Outcome::Event(Some(event)), out);
    }

    pub(crate) fn control_deadline(&self) -> Option<(Instant, &'static str)> {
        let Holder::Module(module) = &self.control.holder else { return self.last_resort_deadline() };
        match module.stage {
            Stage::Stopping { until, .. } => Some((until, "a stopped module's end")),
            Stage::Grace { until } => {
                Some((self.next_timeout().map_or(until, |at| at.min(until)), "the module's grace"))
            }
            Stage::Running => {
                let end = self.started + std::time::Duration::from_secs(self.application.limits.handler_time_s.into());
                Some((self.next_timeout().map_or(end, |at| at.min(end)), "the module's patience"))
            }
        }
    }

    pub(crate) fn control_tick(&mut self, out: &mut Vec<Output>) {
        if self.next_timeout().is_some_and(|at| at <= self.now.at) {
            self.finish(|wait| matches!(wait, Wait::Next { .. }), Outcome::Event(None), out);
        }
        let now = self.now.at;
        let out_of_time =
            self.started + std::time::Duration::from_secs(self.application.limits.handler_time_s.into()) <= now;
        let Holder::Module(module) = &mut self.control.holder else {
            self.last_resort_tick(out);
            return;
        };
        let why = match module.stage {
            Stage::Running if out_of_time => Stop::HandlerTime,
            Stage::Grace { until } if until <= now => Stop::CallEnded,
            Stage::Stopping { until, .. } if until <= now => {
                // The sandbox owes us its end; a call never waits for ever.
                let run = module.run;
                self.control_ended(run, GuestEnd::Stopped, RunUsage::default(), out);
                return;
            }
            _ => return,
        };
        module.asking = None;
        module.stage = Stage::Stopping { why, until: now + STOP_WITHIN };
        out.push(Output::StopControl { run: module.run });
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.control.holder {
            Holder::Module(Module { asking: Some(Asking { wait: Wait::Next { until }, .. }), .. }) => *until,
            _ => None,
        }
    }
}

/// A step error as the message of a fault.
fn words(error: &StepError) -> String {
    match error {
        StepError::Ended(cause) => format!("ended: {}", cause.reason),
        StepError::State(why) => format!("state: {why}"),
        StepError::Argument(why) => format!("argument: {why}"),
        StepError::Quota(why) => format!("quota: {why}"),
        StepError::Denied(why) => format!("denied: {why}"),
        StepError::Unavailable(why) => format!("unavailable: {why}"),
        StepError::Stopped => "stopped".to_owned(),
        StepError::Timeout => "timeout".to_owned(),
        StepError::Other(why) => why.clone(),
    }
}

/// The sandbox drops a module at once.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
