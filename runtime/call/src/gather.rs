//! Collecting digits of a leg: a prompt that the first digit stops, a time for the first, a time between.

use std::time::Duration;

use callbox_model::{
    Change, GatherOptions, Gathered, GatheredBy, Instant, LegNumber, MediaCommand, Outcome, PlayEnd, Sound, Source,
    StepError, StepId,
};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::leg::Leg;
use crate::play::Player;
use crate::sound::media_words;

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

/// Secrecy that outlives its gather, until somebody asks for digits anew at the latest.
#[derive(Debug)]
pub(crate) struct Secret {
    until: Instant,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The gather's module fell while the far end was typing. What it goes on to type is nobody's
    /// business either, until it pauses for so long.
    Typing { pause: Duration },
    /// The last digit is still held down.
    Held,
}

/// One that is set up, and has not begun.
pub(crate) struct Gathering {
    pub(crate) leg: LegNumber,
    pub(crate) step: StepId,
    prompt: Vec<Sound>,
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
    ) -> Result<Gathering, StepError> {
        let number = self.check_leg(options.leg)?;
        let (min, max) = self.check_gather(&options)?;
        let (sounds, words) = self.sounds(prompt)?;
        self.check_heard(number)?;
        if let Some(step) = self.legs.get(number).and_then(|leg| Some(leg.gather.as_ref()?.step)) {
            self.stop_gather(step, out);
        }
        let step = self.next_step();
        let secrecy = if options.sensitive == Some(true) { Secrecy::Sensitive } else { Secrecy::Open };
        self.record(Change::StepStarted { step, kind: "gather".to_owned(), detail: words }, out);
        let first_digit = Duration::from_millis(options.first_digit.unwrap_or(FIRST_DIGIT_MS).into());
        let gather = Gather {
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
        };
        if let Some(leg) = self.legs.get_mut(number) {
            leg.gather = Some(gather);
            match (secrecy, leg.secret.take()) {
                (Secrecy::Sensitive, _) => leg.line.media(MediaCommand::Sensitive(true), out),
                (Secrecy::Open, Some(_)) => leg.line.media(MediaCommand::Sensitive(false), out),
                (Secrecy::Open, None) => {}
            }
        }
        self.rejoin(number, out);
        Ok(Gathering { leg: number, step, prompt: sounds })
    }

    /// Digits that were pressed before count; with them, the prompt is not heard at all.
    pub(crate) fn begin_gather(&mut self, gathering: Gathering, out: &mut Vec<Output>) {
        let Gathering { leg: number, step, prompt } = gathering;
        let mut waiting = self.mailbox.take_digit(number);
        if waiting.is_none() && !prompt.is_empty() {
            self.play_sounds(number, step, Player::Prompt, prompt, out);
        }
        while let Some((digit, at)) = waiting {
            self.gather_digit(number, digit, at, out);
            waiting = if self.is_gathering(number) { self.mailbox.take_digit(number) } else { None };
        }
    }

    pub(crate) fn is_gathering(&self, number: LegNumber) -> bool {
        self.legs.get(number).is_some_and(|leg| leg.gather.is_some())
    }

    /// One digit for the gather.
    pub(crate) fn gather_digit(&mut self, number: LegNumber, digit: char, at: usize, out: &mut Vec<Output>) {
        let Some(gather) = self.legs.get_mut(number).and_then(|leg| leg.gather.as_mut()) else { return };
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
                self.gathered(number, GatheredBy::Terminator, out);
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
            self.gathered(number, GatheredBy::Max, out);
        }
    }

    /// Its prompt is over, or was never heard.
    pub(crate) fn prompt_ended(&mut self, number: LegNumber, step: StepId, end: &PlayEnd, out: &mut Vec<Output>) {
        let gather = self.legs.get_mut(number).and_then(|leg| leg.gather.as_mut());
        let Some(gather) = gather.filter(|gather| gather.step == step) else { return };
        if let PlayEnd::Failed(fault) = end {
            let error = StepError::Unavailable(media_words(fault));
            self.gather_ends(number, Outcome::Failed(error), out);
        } else if gather.stage == Stage::Prompt {
            gather.stage = Stage::First { until: self.now.at + gather.first_digit };
        }
    }

    /// Ends it with its leg, or because its leg is given away.
    pub(crate) fn end_gather(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get(number).filter(|leg| leg.gather.is_some()) else { return };
        let error = match leg.ended() {
            Some(cause) => StepError::Ended(cause.clone()),
            None => StepError::Stopped,
        };
        self.gather_ends(number, Outcome::Failed(error), out);
    }

    /// `stop` of a gather. False when there is no such gather.
    pub(crate) fn stop_gather(&mut self, step: StepId, out: &mut Vec<Output>) -> bool {
        let is_it = |leg: &&Leg| leg.gather.as_ref().is_some_and(|gather| gather.step == step);
        let Some(number) = self.legs.all.iter().find(is_it).map(|leg| leg.number) else { return false };
        self.gather_ends(number, Outcome::Failed(StepError::Stopped), out);
        self.stop_play(step, out);
        true
    }

    fn gathered(&mut self, number: LegNumber, by: GatheredBy, out: &mut Vec<Output>) {
        let Some(gather) = self.legs.get(number).and_then(|leg| leg.gather.as_ref()) else { return };
        let step = gather.step;
        let (digits, shown) = (gather.digits.clone(), gather.shown.clone());
        if gather.secrecy == Secrecy::Sensitive
            && by != GatheredBy::Timeout
            && let Some(leg) = self.legs.get_mut(number)
        {
            leg.secret = Some(Secret { until: self.now.at + HELD_WITHIN, why: Why::Held });
        }
        self.record(Change::Gathered { step, digits: shown, by }, out);
        self.gather_ends(number, Outcome::Gathered(Gathered { digits, by }), out);
    }

    /// Its module is gone: the digits are its successor's, and nobody is told of its end.
    pub(crate) fn drop_gather(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        if let Some(leg) = self.legs.get_mut(number)
            && let Some(gather) = leg.gather.as_ref().filter(|gather| gather.secrecy == Secrecy::Sensitive)
        {
            let pause = gather.inter_digit;
            leg.secret = Some(Secret { until: now + pause, why: Why::Typing { pause } });
        }
        self.close_gather(number, &Outcome::Failed(StepError::Stopped), out);
    }

    /// Of every leg.
    pub(crate) fn drop_gathers(&mut self, out: &mut Vec<Output>) {
        while let Some(leg) = self.legs.all.iter().find(|leg| leg.gather.is_some()) {
            self.drop_gather(leg.number, out);
        }
    }

    fn gather_ends(&mut self, number: LegNumber, outcome: Outcome, out: &mut Vec<Output>) {
        if let Some(step) = self.close_gather(number, &outcome, out) {
            self.done(step, |wait| *wait == Wait::Gather(step), outcome, out);
        }
    }

    fn close_gather(&mut self, number: LegNumber, outcome: &Outcome, out: &mut Vec<Output>) -> Option<StepId> {
        let leg = self.legs.get_mut(number)?;
        let gather = leg.gather.take()?;
        let step = gather.step;
        if gather.secrecy == Secrecy::Sensitive && leg.secret.is_none() && leg.can_be_heard() {
            leg.line.media(MediaCommand::Sensitive(false), out);
        }
        self.rejoin(number, out);
        let words = crate::play::outcome_words(outcome);
        self.record(Change::StepEnded { step, kind: "gather".to_owned(), outcome: words }, out);
        Some(step)
    }

    /// Whether a digit that is pressed now is nobody's business. It makes the time begin anew.
    pub(crate) fn is_secret(&mut self, number: LegNumber) -> bool {
        let now = self.now.at;
        let Some(secret) = self.legs.get_mut(number).and_then(|leg| leg.secret.as_mut()) else { return false };
        let Why::Typing { pause } = secret.why else { return false };
        secret.until = now + pause;
        true
    }

    /// A digit was let go: the last of a sensitive gather is over.
    pub(crate) fn secret_let_go(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        if leg.secret.take_if(|secret| secret.why == Why::Held).is_some() && leg.can_be_heard() {
            leg.line.media(MediaCommand::Sensitive(false), out);
        }
    }

    pub(crate) fn secret_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(leg) = self.legs.get_mut(number) else { return };
        if leg.secret.take_if(|secret| secret.until <= now).is_some() && leg.can_be_heard() {
            leg.line.media(MediaCommand::Sensitive(false), out);
        }
    }

    pub(crate) fn gather_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let deadline = self.legs.get(number).and_then(Leg::gather_deadline);
        if deadline.is_some_and(|(until, _)| until <= self.now.at) {
            self.gathered(number, GatheredBy::Timeout, out);
        }
    }
}

impl Leg {
    pub(crate) fn secret_deadline(&self) -> Option<(Instant, &'static str)> {
        self.secret.as_ref().map(|secret| (secret.until, "the end of sensitive digits"))
    }

    pub(crate) fn gather_deadline(&self) -> Option<(Instant, &'static str)> {
        match self.gather.as_ref()?.stage {
            Stage::Prompt => None,
            Stage::First { until } => Some((until, "the first digit")),
            Stage::Between { until } => Some((until, "the next digit")),
        }
    }
}

/// Nobody holds a digit for longer, and should its end be lost, the sound is heard again.
const HELD_WITHIN: Duration = Duration::from_secs(1);
/// Until the first digit, from the prompt's end.
const FIRST_DIGIT_MS: u32 = 5_000;
const INTER_DIGIT_MS: u32 = 3_000;
