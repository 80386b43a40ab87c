//! What is said on a leg, kept.

use std::time::Duration;

use crate::bindings::callbox::voice::media::{self, RecordOptions, Tracks};
use crate::{LegId, Recorded, Result, StepId};

/// A recording to be made.
#[must_use = "nothing is recorded before `wait` or `start`"]
#[derive(Debug, Default)]
pub struct Record {
    options: RecordOptions,
}

impl Record {
    /// Ends it after so long.
    pub fn max(mut self, length: Duration) -> Self {
        self.options.max = Some(crate::milliseconds(length));
        self
    }

    /// Ends it after so much silence.
    pub fn silence(mut self, length: Duration) -> Self {
        self.options.silence = Some(crate::milliseconds(length));
        self
    }

    /// These digits end it.
    pub fn stop_on(mut self, digits: &str) -> Self {
        self.options.stop_on = Some(digits.to_owned());
        self
    }

    pub fn beep(mut self) -> Self {
        self.options.beep = Some(true);
        self
    }

    /// What is heard and what is played on a track each.
    pub fn separate_tracks(mut self) -> Self {
        self.options.tracks = Some(Tracks::Separate);
        self
    }

    pub fn on_leg(mut self, leg: LegId) -> Self {
        self.options.leg = Some(leg);
        self
    }

    /// Records to the end.
    pub fn wait(self) -> Result<Recorded> {
        media::record(Some(&self.options))
    }

    /// Records while the handler goes on.
    pub fn start(self) -> Result<Recording> {
        media::start_record(Some(&self.options)).map(|step| Recording { step })
    }
}

/// A recording that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its number in the events.
    pub step: StepId,
}

impl Recording {
    /// Goes on with silence in place of what is said.
    pub fn mute(self) -> Result {
        media::pause_record(self.step, true)
    }

    /// Leaves out what is said.
    pub fn pause(self) -> Result {
        media::pause_record(self.step, false)
    }

    pub fn resume(self) -> Result {
        media::resume_record(self.step)
    }

    pub fn stop(self) -> Result {
        media::stop(self.step)
    }
}
