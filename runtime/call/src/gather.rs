//! Collecting digits: a prompt that the first digit stops, a time for the first, a time between.

use std::time::Duration;

use callbox_model::{
    Change, GatherOptions, Gathered, GatheredBy, Instant, MediaCommand, Outcome, PlayEnd, Sound, Source, StepError,
    StepId,
};

use crate::call::Call;
use crate::control::Wait;
use crate::play::Player;
use crate::{Output, line};

#[derive(Debug)]
pub(crate) struct Gather {
    step: StepId,
    min: u32,
    max: u32,
    terminators: String,
    first_digit: Duration,
    inter_digit: Duration,
    secrecy: Secrecy,
    digits: String,
    /// As they are written down.
    shown: String,
    stage: Stage,
}

/// A sensitive gather's module fell while the caller was typing. What they go on to type is nobody's
/// business either, until they pause, or somebody asks for digits anew.
#[derive(Debug)]
pub(crate) struct Secret {
    until: Instant,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrecy {
    Open,
    /// The digits reach the module alone.
    Sensitive,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// No digit yet; the time begins with the prompt's end.
    Prompt,
    First {
        until: Instant,
    },
    Between {
        until: Instant,
    },
}

impl Call {
    /// Sets it up; [`Self::begin_gather`] follows when it is known who waits for it.
    pub(crate) fn gather(
        &mut self,
        prompt: Vec<Source>,
        options: GatherOptions,
        out: &mut Vec<Output>,
    ) -> Result<(StepId, Vec<Sound>), StepError> {
        self.check_leg(options.leg)?;
        let (min, max) = self.check_gather(&options)?;
        let (sounds, words) = self.sounds(prompt)?;
        self.check_heard()?;
        if let Some(step) = self.gather.as_ref().map(|gather| gather.step) {
            self.stop_gather(step, out);
        }
        let step = self.next_step();
        let secrecy = if options.sensitive == Some(true) { Secrecy::Sensitive } else { Secrecy::Open };
        self.record(Change::StepStarted { step, kind: "gather".to_owned(), detail: words }, out);
        match secrecy {
            Secrecy::Sensitive => out.push(Output::Media(self.leg, MediaCommand::Sensitive(true))),
            Secrecy::Open if self.is_secret() => out.push(Output::Media(self.leg, MediaCommand::Sensitive(false))),
            Secrecy::Open => {}
        }
        self.secret = None;
        let first_digit = Duration::from_millis(options.first_digit.unwrap_or(FIRST_DIGIT_MS).into());
        self.gather = Some(Gather {
            step,
            min,
            max,
            terminators: options.terminators.unwrap_or_else(|| "#".to_owned()),
            first_digit,
            inter_digit: Duration::from_millis(options.inter_digit.unwrap_or(INTER_DIGIT_MS).into()),
            secrecy,
            digits: String::new(),
            shown: String::new(),
            stage: if sounds.is_empty() { Stage::First { until: self.now.at + first_digit } } else { Stage::Prompt },
        });
        Ok((step, sounds))
    }

    /// Digits that were pressed before count; with them, the prompt is not heard at all.
    pub(crate) fn begin_gather(&mut self, step: StepId, prompt: Vec<Sound>, out: &mut Vec<Output>) {
        let mut waiting = self.mailbox.take_digit();
        if waiting.is_none() && !prompt.is_empty() {
            self.play_sounds(step, Player::Prompt, prompt, out);
        }
        while let Some((digit, at)) = waiting {
            self.gather_digit(digit, at, out);
            waiting = if self.gather.is_some() { self.mailbox.take_digit() } else { None };
        }
    }

    /// One digit for the gather.
    pub(crate) fn gather_digit(&mut self, digit: char, at: usize, out: &mut Vec<Output>) {
        let Some(gather) = &mut self.gather else { return };
        if gather.secrecy == Secrecy::Sensitive
            && let Some(place) = self.digits.get_mut(at)
        {
            *place = '*';
        }
        let step = gather.step;
        let is_first = gather.digits.is_empty();
        if gather.terminators.contains(digit) {
            // Fewer than `min` are not ended by a terminator: it is left out, and more is awaited.
            if gather.digits.chars().count() >= gather.min as usize || is_first {
                self.gathered(GatheredBy::Terminator, out);
                self.stop_play(step, out);
            }
            return;
        }
        gather.digits.push(digit);
        gather.shown.push(self.digits.get(at).copied().unwrap_or('*'));
        gather.stage = Stage::Between { until: self.now.at + gather.inter_digit };
        let is_full = gather.digits.chars().count() >= gather.max as usize;
        if is_first {
            self.stop_play(step, out);
        }
        if is_full {
            self.gathered(GatheredBy::Max, out);
        }
    }

    /// Its prompt is over, or was never heard.
    pub(crate) fn prompt_ended(&mut self, step: StepId, end: &PlayEnd, out: &mut Vec<Output>) {
        let Some(gather) = self.gather.as_mut().filter(|gather| gather.step == step) else { return };
        if let PlayEnd::Failed(fault) = end {
            let error = StepError::Unavailable(line::media_words(fault));
            self.gather_ends(Outcome::Failed(error), out);
        } else if gather.stage == Stage::Prompt {
            gather.stage = Stage::First { until: self.now.at + gather.first_digit };
        }
    }

    /// Ends it with its call.
    pub(crate) fn end_gather(&mut self, out: &mut Vec<Output>) {
        let error = match self.line.ended() {
            Some(cause) => StepError::Ended(cause.clone()),
            None => StepError::Stopped,
        };
        self.gather_ends(Outcome::Failed(error), out);
    }

    /// `stop` of a gather. False when there is no such gather.
    pub(crate) fn stop_gather(&mut self, step: StepId, out: &mut Vec<Output>) -> bool {
        if self.gather.as_ref().is_none_or(|gather| gather.step != step) {
            return false;
        }
        self.gather_ends(Outcome::Failed(StepError::Stopped), out);
        self.stop_play(step, out);
        true
    }

    fn gathered(&mut self, by: GatheredBy, out: &mut Vec<Output>) {
        let Some(gather) = &self.gather else { return };
        let step = gather.step;
        let (digits, shown) = (gather.digits.clone(), gather.shown.clone());
        self.record(Change::Gathered { step, digits: shown, by }, out);
        self.gather_ends(Outcome::Gathered(Gathered { digits, by }), out);
    }

    /// Its module is gone: the digits are its successor's, and nobody is told of its end.
    pub(crate) fn drop_gather(&mut self, out: &mut Vec<Output>) {
        if let Some(gather) = self.gather.as_ref().filter(|gather| gather.secrecy == Secrecy::Sensitive) {
            let pause = gather.inter_digit;
            self.secret = Some(Secret { until: self.now.at + pause, pause });
        }
        self.close_gather(&Outcome::Failed(StepError::Stopped), out);
    }

    fn gather_ends(&mut self, outcome: Outcome, out: &mut Vec<Output>) {
        if let Some(step) = self.close_gather(&outcome, out) {
            self.done(step, |wait| *wait == Wait::Gather(step), outcome, out);
        }
    }

    fn close_gather(&mut self, outcome: &Outcome, out: &mut Vec<Output>) -> Option<StepId> {
        let gather = self.gather.take()?;
        let step = gather.step;
        if gather.secrecy == Secrecy::Sensitive && self.secret.is_none() && self.line.ended().is_none() {
            out.push(Output::Media(self.leg, MediaCommand::Sensitive(false)));
        }
        let words = crate::play::outcome_words(outcome);
        self.record(Change::StepEnded { step, kind: "gather".to_owned(), outcome: words }, out);
        Some(step)
    }

    /// Whether a digit that is pressed now is nobody's business. It makes the time begin anew.
    pub(crate) fn is_secret(&mut self) -> bool {
        let now = self.now.at;
        let Some(secret) = &mut self.secret else { return false };
        secret.until = now + secret.pause;
        true
    }

    pub(crate) fn secret_deadline(&self) -> Option<(Instant, &'static str)> {
        self.secret.as_ref().map(|secret| (secret.until, "the end of sensitive digits"))
    }

    pub(crate) fn secret_tick(&mut self, out: &mut Vec<Output>) {
        if self.secret_deadline().is_some_and(|(until, _)| until <= self.now.at) {
            self.secret = None;
            if self.line.ended().is_none() {
                out.push(Output::Media(self.leg, MediaCommand::Sensitive(false)));
            }
        }
    }

    pub(crate) fn gather_deadline(&self) -> Option<(Instant, &'static str)> {
        match self.gather.as_ref()?.stage {
            Stage::Prompt => None,
            Stage::First { until } => Some((until, "the first digit")),
            Stage::Between { until } => Some((until, "the next digit")),
        }
    }

    pub(crate) fn gather_tick(&mut self, out: &mut Vec<Output>) {
        if self.gather_deadline().is_some_and(|(until, _)| until <= self.now.at) {
            self.gathered(GatheredBy::Timeout, out);
        }
    }
}

/// Until the first digit, from the prompt's end.
const FIRST_DIGIT_MS: u32 = 5_000;
const INTER_DIGIT_MS: u32 = 3_000;
