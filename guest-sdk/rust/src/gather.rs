//! Digits the caller presses.

use std::time::Duration;

use crate::bindings::callbox::voice::media::{self, GatherOptions, Source, Speech, Tone};
use crate::play::sounds;
use crate::{Gathered, LegId, Result, StepId};

/// Digits to be collected, while a prompt is played that the first digit stops.
///
/// Without more words: up to 128 digits, ended by `#`, by 5 s without a first digit after the
/// prompt, or by 3 s without another.
#[must_use = "nothing is gathered before `digits`, `wait` or `start`"]
#[derive(Debug, Default)]
pub struct Gather {
    prompt: Vec<Source>,
    options: GatherOptions,
}

impl Gather {
    sounds!(prompt);

    pub fn min(mut self, digits: u32) -> Self {
        self.options.min = Some(digits);
        self
    }

    pub fn max(mut self, digits: u32) -> Self {
        self.options.max = Some(digits);
        self
    }

    /// Digits that end it and are no part of the result.
    pub fn terminators(mut self, digits: &str) -> Self {
        self.options.terminators = Some(digits.to_owned());
        self
    }

    /// How long to wait for the first digit, from the prompt's end.
    pub fn first_digit(mut self, within: Duration) -> Self {
        self.options.first_digit = Some(crate::milliseconds(within));
        self
    }

    /// How long to wait between digits.
    pub fn inter_digit(mut self, within: Duration) -> Self {
        self.options.inter_digit = Some(crate::milliseconds(within));
        self
    }

    /// Card numbers and PINs: the digits reach this module alone, no log, event or recording.
    pub fn sensitive(mut self) -> Self {
        self.options.sensitive = Some(true);
        self
    }

    pub fn on_leg(mut self, leg: LegId) -> Self {
        self.options.leg = Some(leg);
        self
    }

    /// The digits; empty when there were none in time.
    pub fn digits(self) -> Result<String> {
        Ok(self.wait()?.digits)
    }

    /// The digits, and what ended them.
    pub fn wait(self) -> Result<Gathered> {
        media::gather(&self.prompt, Some(&self.options))
    }

    /// Gathers while the handler goes on.
    pub fn start(self) -> Result<StepId> {
        media::start_gather(&self.prompt, Some(&self.options))
    }
}
