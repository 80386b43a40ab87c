//! Sounds, one after the other.

use std::time::Duration;

use crate::bindings::callbox::voice::media::{self, PlayOptions, Source, Speech, Tone};
use crate::{LegId, Played, Result, StepId};

/// Sounds to be played: [`wait`](Play::wait) for their end, or [`start`](Play::start) them and go on.
///
/// Sound that is started takes the place of what plays on that leg.
#[must_use = "nothing is played before `wait` or `start`"]
#[derive(Debug, Default)]
pub struct Play {
    sources: Vec<Source>,
    options: PlayOptions,
}

/// What can be played, for [`Play`] and for the prompt of [`Gather`](crate::Gather).
macro_rules! sounds {
    ($sources:ident) => {
        /// Speaks with the application's voice.
        pub fn say(self, text: impl Into<String>) -> Self {
            self.sound(Source::Text(Speech { text: text.into(), voice: None, language: None }))
        }

        /// Speaks in a language, such as `de` or `en-GB`.
        pub fn say_in(self, language: &str, text: impl Into<String>) -> Self {
            let language = Some(language.to_owned());
            self.sound(Source::Text(Speech { text: text.into(), voice: None, language }))
        }

        /// A file among the application's assets.
        pub fn asset(self, name: impl Into<String>) -> Self {
            self.sound(Source::Asset(name.into()))
        }

        /// One frequency.
        pub fn tone(self, hertz: u16, length: Duration) -> Self {
            self.sound(Source::Tone(Tone { first: hertz, second: None, length: crate::milliseconds(length) }))
        }

        /// Two frequencies at once, as in dial tones.
        pub fn chord(self, first: u16, second: u16, length: Duration) -> Self {
            self.sound(Source::Tone(Tone { first, second: Some(second), length: crate::milliseconds(length) }))
        }

        pub fn silence(self, length: Duration) -> Self {
            self.sound(Source::Silence(crate::milliseconds(length)))
        }

        /// Any source of the contract.
        pub fn sound(mut self, source: Source) -> Self {
            self.$sources.push(source);
            self
        }
    };
}
pub(crate) use sounds;

impl Play {
    sounds!(sources);

    /// All of it so many times.
    pub fn repeat(mut self, times: u32) -> Self {
        // To the contract 0 is for ever, and that has a name of its own here.
        self.options.repeat = Some(times.max(1));
        self
    }

    pub fn forever(mut self) -> Self {
        self.options.repeat = Some(0);
        self
    }

    /// These digits end it. The digit stays in line for [`Call::gather`](crate::Call::gather) or
    /// the events.
    pub fn stop_on(mut self, digits: &str) -> Self {
        self.options.stop_on = Some(digits.to_owned());
        self
    }

    /// Louder or softer, by -60 to 20.
    pub fn gain_db(mut self, gain: i8) -> Self {
        self.options.gain_db = Some(gain);
        self
    }

    pub fn on_leg(mut self, leg: LegId) -> Self {
        self.options.leg = Some(leg);
        self
    }

    /// Plays to the end.
    pub fn wait(self) -> Result<Played> {
        media::play(&self.sources, Some(&self.options))
    }

    /// Plays while the handler goes on.
    pub fn start(self) -> Result<StepId> {
        media::start_play(&self.sources, Some(&self.options))
    }
}
