//! What the module in control asks for. Each ask is answered once: here, or when its step is done.

use callbox_model::{GatherOptions, Outcome, RunId, Source, Step, StepError, StepId};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;

/// How an ask goes on.
enum Answer {
    Now(Outcome),
    When(Wait),
}

impl Call {
    pub(crate) fn step(&mut self, run: RunId, ask: u64, step: Step, out: &mut Vec<Output>) {
        // One that is no longer in control changes nothing. One that asks twice at once cannot be:
        // it is suspended while it waits; should it happen, the second is not begun.
        if self.control.run() != Some(run) || self.is_asking() {
            self.strays += 1;
            return;
        }
        let answer = match step {
            Step::Next { timeout } => {
                self.wait_for_next(ask, timeout, out);
                return;
            }
            Step::Gather { prompt, options, wait } => {
                self.ask_to_gather(run, ask, prompt, options, wait, out);
                return;
            }
            other => self.begin(other, out),
        };
        match answer {
            Ok(Answer::Now(outcome)) => out.push(Output::Outcome { run, ask, outcome }),
            Ok(Answer::When(wait)) => self.wait(ask, wait),
            Err(error) => out.push(Output::Outcome { run, ask, outcome: Outcome::Failed(error) }),
        }
    }

    fn begin(&mut self, step: Step, out: &mut Vec<Output>) -> Result<Answer, StepError> {
        let is_note = matches!(step, Step::Info | Step::Checkpoint { .. });
        if let (Some(cause), false) = (self.line.ended(), is_note) {
            return Err(StepError::Ended(cause.clone()));
        }
        match step {
            Step::Info => Ok(Answer::Now(Outcome::Info(Box::new(self.info(None))))),
            Step::Ring { early_media } => self.ring(early_media, out).map(Answer::When),
            Step::Answer { headers } => {
                self.check_headers(&headers)?;
                Ok(self.answer(headers, out)?.map_or(Answer::Now(Outcome::Done), Answer::When))
            }
            Step::Reject { status, reason, headers } => {
                self.check_reject(status, &reason, &headers)?;
                self.reject(status, reason, headers, out).map(Answer::When)
            }
            Step::Hangup { leg, reason } => {
                self.check_leg(leg)?;
                self.check_reason(reason.as_deref())?;
                if matches!(self.line.signal, crate::line::Signal::Leaving { .. }) {
                    return Ok(Answer::Now(Outcome::Done));
                }
                self.hang_up(reason, out);
                Ok(Answer::When(Wait::Hangup))
            }
            Step::Play { sources, options, wait } => {
                let step = self.play(sources, options, out)?;
                Ok(waited(wait, step, Wait::Play(step)))
            }
            Step::Record { options, wait } => {
                let step = self.start_recording(options, out)?;
                Ok(waited(wait, step, Wait::Record(step)))
            }
            Step::Stop { step } => {
                let is_stopped =
                    self.stop_gather(step, out) || self.stop_play(step, out) || self.stop_recording(step, out);
                if is_stopped {
                    Ok(Answer::Now(Outcome::Done))
                } else {
                    Err(StepError::State(format!("step {step} is not running")))
                }
            }
            Step::PauseRecord { step, silence } => {
                self.pause_recording(step, silence, out)?;
                Ok(Answer::Now(Outcome::Done))
            }
            Step::ResumeRecord { step } => {
                self.resume_recording(step, out)?;
                Ok(Answer::Now(Outcome::Done))
            }
            Step::Checkpoint { state } => {
                let most = self.application.limits.checkpoint_bytes as usize;
                if state.len() > most {
                    let why = format!("state: {} bytes, more than {most}", state.len());
                    return Err(StepError::Argument(why));
                }
                self.control.keep(state);
                Ok(Answer::Now(Outcome::Done))
            }
            // `step` has taken care of these two: they must know their ask before they begin.
            Step::Next { .. } | Step::Gather { .. } => Ok(Answer::Now(Outcome::Event(None))),
        }
    }

    /// Digits that wait in line may end it at once: who waits for it stands before it begins.
    fn ask_to_gather(
        &mut self,
        run: RunId,
        ask: u64,
        prompt: Vec<Source>,
        options: GatherOptions,
        wait: bool,
        out: &mut Vec<Output>,
    ) {
        let begun = match self.line.ended() {
            Some(cause) => Err(StepError::Ended(cause.clone())),
            None => self.gather(prompt, options, out),
        };
        match begun {
            Err(error) => out.push(Output::Outcome { run, ask, outcome: Outcome::Failed(error) }),
            Ok((step, prompt)) => {
                if wait {
                    self.wait(ask, Wait::Gather(step));
                } else {
                    out.push(Output::Outcome { run, ask, outcome: Outcome::Started(step) });
                }
                self.begin_gather(step, prompt, out);
            }
        }
    }
}

fn waited(wait: bool, step: StepId, what: Wait) -> Answer {
    if wait { Answer::When(what) } else { Answer::Now(Outcome::Started(step)) }
}
