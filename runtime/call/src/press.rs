//! Digits that are sent to a leg: as telephone-event where that was agreed (RFC 4733), else one by
//! one by INFO.

use std::collections::VecDeque;
use std::time::Duration;

use callbox_model::{Instant, LegCommand, LegNumber, MediaCommand, MediaFault, Outcome, Refused, StepError};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::line::LegAsk;
use crate::signalling::refusal;
use crate::sound::media_words;

/// Digits on their way.
#[derive(Debug)]
pub(crate) struct Pressing {
    by: By,
    whose: For,
}

#[derive(Debug)]
enum By {
    /// Until `DigitsSent`.
    Media,
    Info {
        left: VecDeque<char>,
        stage: Stage,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A digit is being answered.
    Asked,
    Pause {
        until: Instant,
    },
}

/// Who wanted them sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The step that waits.
    Step,
    /// `send-digits` of a dial: nobody waits.
    Dial,
}

impl Pressing {
    pub(crate) const fn deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.by {
            By::Info { stage: Stage::Pause { until }, .. } => Some((*until, "the next digit to send")),
            By::Info { .. } | By::Media => None,
        }
    }
}

impl Call {
    pub(crate) fn send_digits(
        &mut self,
        number: LegNumber,
        digits: &str,
        out: &mut Vec<Output>,
    ) -> Result<Wait, StepError> {
        self.check_sent_digits("digits", Some(digits))?;
        let leg = self.legs.check_talking(number)?;
        if digits.is_empty() {
            return Err(StepError::Argument("digits: there are none".to_owned()));
        }
        if leg.pressing.is_some() {
            return Err(StepError::State(format!("digits are being sent to leg {number} already")));
        }
        self.press(number, digits, For::Step, out);
        Ok(Wait::Press(number))
    }

    pub(crate) fn press(&mut self, number: LegNumber, digits: &str, whose: For, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let takes_events = leg.line.agreed.as_ref().is_some_and(|agreed| agreed.events.is_some());
        if takes_events {
            leg.pressing = Some(Pressing { by: By::Media, whose });
            leg.line.media(MediaCommand::SendDigits { digits: digits.to_owned() }, out);
        } else {
            let left = digits.chars().collect();
            leg.pressing = Some(Pressing { by: By::Info { left, stage: Stage::Asked }, whose });
            self.press_next(number, out);
        }
    }

    fn press_next(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(Pressing { by: By::Info { left, stage }, .. }) = &mut leg.pressing else { return };
        match left.pop_front() {
            None => self.pressed(number, Outcome::Done, out),
            Some('w' | 'W') => *stage = Stage::Pause { until: now + PAUSE },
            Some(digit) => {
                *stage = Stage::Asked;
                let info = |ask| LegCommand::Info { ask, digit, length_ms: LENGTH_MS };
                leg.line.command(LegAsk::Info, out, info);
            }
        }
    }

    pub(crate) fn info_replied(&mut self, number: LegNumber, result: Result<(), Refused>, out: &mut Vec<Output>) {
        match result {
            Ok(()) => self.press_next(number, out),
            Err(refused) => self.pressed(number, Outcome::Failed(refusal(refused)), out),
        }
    }

    pub(crate) fn press_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let deadline = self.legs.get(number).and_then(|leg| leg.pressing.as_ref()?.deadline());
        if deadline.is_some_and(|(until, _)| until <= now) {
            self.press_next(number, out);
        }
    }

    pub(crate) fn digits_sent(&mut self, number: LegNumber, result: Result<(), MediaFault>, out: &mut Vec<Output>) {
        let outcome = match result {
            Ok(()) => Outcome::Done,
            Err(fault) => Outcome::Failed(StepError::Unavailable(media_words(&fault))),
        };
        self.pressed(number, outcome, out);
    }

    /// Who was to hear them is not there any more.
    pub(crate) fn stop_infos(&mut self, number: LegNumber, outcome: &Outcome, out: &mut Vec<Output>) {
        let pressing = self.legs.get(number).and_then(|leg| leg.pressing.as_ref());
        if pressing.is_some_and(|pressing| matches!(pressing.by, By::Info { .. })) {
            self.pressed(number, outcome.clone(), out);
        }
    }

    fn pressed(&mut self, number: LegNumber, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(Pressing { whose, .. }) = self.legs.get_mut(number).and_then(|leg| leg.pressing.take()) else {
            self.strays += 1;
            return;
        };
        if whose == For::Step {
            self.finish(|wait| *wait == Wait::Press(number), outcome, out);
        }
    }
}

/// What `w` waits.
const PAUSE: Duration = Duration::from_millis(500);
/// Of a digit by INFO.
const LENGTH_MS: u32 = 160;
