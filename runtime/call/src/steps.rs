//! What the module in control asks for. Each ask is answered once: here, or when its step is done.

use callbox_model::{GatherOptions, LegNumber, Outcome, RunId, Source, Step, StepError, StepId};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::line::LegAsk;

/// How an ask goes on.
pub(crate) enum Answer {
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
        let is_note = matches!(step, Step::Info | Step::Legs | Step::Checkpoint { .. });
        if let (Some(cause), false) = (self.ended(), is_note) {
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
                self.check_reason(reason.as_deref())?;
                self.ask_to_hang_up(leg, reason, out)
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
            Step::Legs => Ok(Answer::Now(Outcome::Legs(self.standing_legs()))),
            Step::LegHeaders { leg } => {
                let headers = self.visible(&self.legs.check(leg)?.line.headers);
                Ok(Answer::Now(Outcome::Headers(headers)))
            }
            Step::Dial { targets, options } => self.dial(targets, options, out),
            Step::Bridge { a, b, digits } => self.bridge(a, b, digits, out).map(Answer::When),
            Step::Part { leg } => self.part(leg, out).map(Answer::When),
            Step::Hold { leg } => self.hold(leg, out),
            Step::Resume { leg } => self.resume(leg, out),
            Step::Refer { leg, to, timeout } => self.refer(leg, to, timeout, out).map(Answer::When),
            Step::AnswerRefer { leg, status } => self.answer_refer(leg, status, out).map(Answer::When),
            Step::Give { leg, to } => self.give(leg, &to, out).map(Answer::When),
            Step::Send { to, body } => self.send(&to, body, out).map(Answer::When),
            Step::SendDigits { leg, digits } => self.send_digits(leg, &digits, out).map(Answer::When),
            // `step` has taken care of these two: they must know their ask before they begin.
            Step::Next { .. } | Step::Gather { .. } => Ok(Answer::Now(Outcome::Event(None))),
        }
    }

    /// One leg, or the call: all of them.
    fn ask_to_hang_up(
        &mut self,
        leg: Option<LegNumber>,
        reason: Option<String>,
        out: &mut Vec<Output>,
    ) -> Result<Answer, StepError> {
        // Of the call, the good-bye to its own leg is waited for, or to the first that is left.
        let first = self.legs.all.first().map_or(1, |leg| leg.number);
        let number = self.check_leg(Some(leg.unwrap_or(first)))?;
        match leg {
            Some(number) => self.hang_up_leg(number, reason, out),
            None => self.hang_up(reason.as_deref(), out),
        }
        let is_asked = self.legs.get(number).is_some_and(|leg| leg.line.asks.has(LegAsk::Hangup));
        Ok(if is_asked { Answer::When(Wait::Hangup(number)) } else { Answer::Now(Outcome::Done) })
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
        let begun = match self.ended() {
            Some(cause) => Err(StepError::Ended(cause.clone())),
            None => self.gather(prompt, options, out),
        };
        match begun {
            Err(error) => out.push(Output::Outcome { run, ask, outcome: Outcome::Failed(error) }),
            Ok(gathering) => {
                let step = gathering.step;
                if wait {
                    self.wait(ask, Wait::Gather(step));
                } else {
                    out.push(Output::Outcome { run, ask, outcome: Outcome::Started(step) });
                }
                self.begin_gather(gathering, out);
            }
        }
    }
}

fn waited(wait: bool, step: StepId, what: Wait) -> Answer {
    if wait { Answer::When(what) } else { Answer::Now(Outcome::Started(step)) }
}
