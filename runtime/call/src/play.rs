//! What a leg hears. Media plays one thing at a time; what is replaced is told so when its
//! successor's first frame is ready, so for a moment two are known here.

use std::collections::BTreeMap;

use callbox_model::{
    Change, LegNumber, MediaCommand, MediaFault, Millis, Outcome, PlayEnd, PlayOptions, Played, Sound, Source, Speech,
    StepError, StepId, StepOutcome, Tone,
};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::leg::Leg;
use crate::sound::media_words;

#[derive(Debug, Default)]
pub(crate) struct Plays {
    open: BTreeMap<StepId, Play>,
}

impl Plays {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[derive(Debug)]
struct Play {
    player: Player,
    stop_on: String,
    stopped: Stopped,
}

/// Who hears how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    /// A module's `play` or `start-play`.
    Module,
    /// The prompt of the gather with the same step.
    Prompt,
    Callbox,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stopped {
    No,
    ByDigit(char),
    /// By `stop`.
    Asked,
}

impl Call {
    pub(crate) fn play(
        &mut self,
        sources: Vec<Source>,
        options: PlayOptions,
        out: &mut Vec<Output>,
    ) -> Result<StepId, StepError> {
        let number = self.check_leg(options.leg)?;
        self.check_play(&options)?;
        if sources.is_empty() {
            return Err(StepError::Argument("sources: there is nothing to play".to_owned()));
        }
        let (sounds, words) = self.sounds(sources)?;
        self.check_heard(number)?;
        // Whoever plays takes the leg over from a gather's prompt; the gather goes on without it.
        let step = self.next_step();
        self.record(Change::StepStarted { step, kind: "play".to_owned(), detail: words }, out);
        let stop_on = options.stop_on.unwrap_or_default();
        let (repeat, gain_db) = (options.repeat.unwrap_or(1), options.gain_db.unwrap_or(0));
        if let Some(leg) = self.legs.get_mut(number) {
            leg.plays.open.insert(step, Play { player: Player::Module, stop_on, stopped: Stopped::No });
            leg.line.media(MediaCommand::Play { step, sounds, repeat, gain_db }, out);
        }
        Ok(step)
    }

    /// callbox's own words.
    pub(crate) fn speak(&mut self, number: LegNumber, step: StepId, speech: Speech, out: &mut Vec<Output>) {
        let detail = format!("say \"{}\"", speech.text);
        self.record(Change::StepStarted { step, kind: "play".to_owned(), detail }, out);
        self.play_sounds(number, step, Player::Callbox, vec![Sound::Speech(speech)], out);
    }

    pub(crate) fn play_sounds(
        &mut self,
        number: LegNumber,
        step: StepId,
        player: Player,
        sounds: Vec<Sound>,
        out: &mut Vec<Output>,
    ) {
        if let Some(leg) = self.legs.get_mut(number) {
            leg.plays.open.insert(step, Play { player, stop_on: String::new(), stopped: Stopped::No });
            leg.line.media(MediaCommand::Play { step, sounds, repeat: 1, gain_db: 0 }, out);
        }
    }

    /// `stop` of a play. False when there is no such play.
    pub(crate) fn stop_play(&mut self, step: StepId, out: &mut Vec<Output>) -> bool {
        for leg in &mut self.legs.all {
            let Some(play) = leg.plays.open.get_mut(&step) else { continue };
            if play.stopped == Stopped::No {
                play.stopped = Stopped::Asked;
                leg.line.media(MediaCommand::StopPlay { step }, out);
            }
            return true;
        }
        false
    }

    /// All that plays on a leg, and what is recorded there.
    pub(crate) fn stop_sounds(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        for (&step, play) in &mut leg.plays.open {
            if play.stopped == Stopped::No {
                play.stopped = Stopped::Asked;
                leg.line.media(MediaCommand::StopPlay { step }, out);
            }
        }
        if let Some(recorder) = &leg.recorder {
            leg.line.media(MediaCommand::StopRecord { step: recorder.step }, out);
        }
    }

    /// A digit ends what named it in `stop-on`.
    pub(crate) fn stop_plays_on(&mut self, number: LegNumber, digit: char, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        for (&step, play) in &mut leg.plays.open {
            if play.stopped == Stopped::No && play.stop_on.contains(digit) {
                play.stopped = Stopped::ByDigit(digit);
                leg.line.media(MediaCommand::StopPlay { step }, out);
            }
        }
    }

    pub(crate) fn played(
        &mut self,
        number: LegNumber,
        step: StepId,
        length: Millis,
        end: PlayEnd,
        out: &mut Vec<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(play) = leg.plays.open.remove(&step) else {
            self.strays += 1;
            return;
        };
        let ended = leg.ended().or_else(|| self.stage.cause()).cloned();
        let outcome = match (&end, &play.stopped) {
            (PlayEnd::Failed(fault), _) => Outcome::Failed(play_error(fault)),
            // Media ends what plays when the leg ends.
            (_, _) if ended.is_some() => Outcome::Failed(ended.map_or(StepError::Stopped, StepError::Ended)),
            (PlayEnd::Finished, _) => Outcome::Played(Played { length, stopped_by: None }),
            (_, Stopped::ByDigit(digit)) => Outcome::Played(Played { length, stopped_by: Some(digit.to_string()) }),
            (PlayEnd::Stopped | PlayEnd::Replaced, _) => Outcome::Failed(StepError::Stopped),
        };
        if play.player != Player::Prompt {
            self.record(Change::StepEnded { step, kind: "play".to_owned(), outcome: outcome_words(&outcome) }, out);
        }
        match play.player {
            Player::Module => self.done(step, |wait| *wait == Wait::Play(step), outcome, out),
            Player::Prompt => self.prompt_ended(number, step, &end, out),
            Player::Callbox => self.last_words_said(step, out),
        }
    }

    /// Tells of a step's end: as the answer of the ask that waits for it, or as an event.
    pub(crate) fn done(
        &mut self,
        step: StepId,
        is_it: impl Fn(&Wait) -> bool,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        if !self.finish(is_it, outcome.clone(), out) {
            let done = StepOutcome { step, outcome: Box::new(outcome) };
            self.tell(callbox_model::GuestEvent::Done(done), out);
        }
    }

    /// Media's port is closed: nothing that still seems to play does.
    pub(crate) fn forget_plays(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        while let Some(step) = self.legs.get(number).and_then(|leg| leg.plays.open.first_key_value()) {
            self.played(number, *step.0, 0, PlayEnd::Stopped, out);
        }
    }

    pub(crate) fn running_steps(&self) -> Vec<StepId> {
        let of_a_leg = |leg: &Leg| {
            let record = leg.recorder.as_ref().map(|recorder| recorder.step);
            leg.plays.open.keys().copied().chain(record).collect::<Vec<_>>()
        };
        let mut steps: Vec<_> = self.legs.all.iter().flat_map(of_a_leg).collect();
        steps.sort_unstable();
        steps
    }

    pub(crate) fn next_step(&mut self) -> StepId {
        self.last_step += 1;
        self.last_step
    }

    /// The sounds of a prompt or a play, and the words for the timeline.
    pub(crate) fn sounds(&self, sources: Vec<Source>) -> Result<(Vec<Sound>, String), StepError> {
        self.check_sources(&sources)?;
        let words: Vec<_> = sources.iter().map(source_words).collect();
        let sounds = sources
            .into_iter()
            .map(|source| match source {
                Source::Asset(name) => Sound::Asset { application: self.application.id, name },
                Source::Text(speech) => Sound::Speech(Speech {
                    voice: speech.voice.or_else(|| self.application.voice.clone()),
                    language: speech.language.or_else(|| self.application.language.clone()),
                    text: speech.text,
                }),
                Source::Tone { first, second, length } => {
                    Sound::Tone(Tone { first_hz: first, second_hz: second, length })
                }
                Source::Silence(length) => Sound::Silence(length),
            })
            .collect();
        Ok((sounds, words.join(", ")))
    }
}

fn play_error(fault: &MediaFault) -> StepError {
    let words = media_words(fault);
    match fault {
        MediaFault::NoAsset(_) => StepError::Argument(words),
        _ => StepError::Unavailable(words),
    }
}

fn source_words(source: &Source) -> String {
    match source {
        Source::Asset(name) => format!("play `{name}`"),
        Source::Text(speech) => format!("say \"{}\"", speech.text),
        Source::Tone { first, second: None, .. } => format!("tone of {first} Hz"),
        Source::Tone { first, second: Some(second), .. } => format!("tone of {first} and {second} Hz"),
        Source::Silence(length) => format!("silence of {length} ms"),
    }
}

pub(crate) fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Played(Played { length, stopped_by: None }) => format!("played {length} ms"),
        Outcome::Played(Played { length, stopped_by: Some(by) }) => format!("stopped by {by} after {length} ms"),
        Outcome::Recorded(recorded) => format!("recorded {} ms", recorded.length),
        Outcome::Gathered(_) => "gathered".to_owned(),
        Outcome::Failed(StepError::Ended(_)) => "ended with the call".to_owned(),
        Outcome::Failed(StepError::Stopped) => "stopped".to_owned(),
        Outcome::Failed(StepError::Timeout) => "timeout".to_owned(),
        Outcome::Failed(
            StepError::State(why)
            | StepError::Argument(why)
            | StepError::Quota(why)
            | StepError::Denied(why)
            | StepError::Unavailable(why)
            | StepError::Other(why),
        ) => format!("failed: {why}"),
        // Of steps that are not written down.
        Outcome::Done
        | Outcome::Info(_)
        | Outcome::Started(_)
        | Outcome::Event(_)
        | Outcome::Legs(_)
        | Outcome::Headers(_)
        | Outcome::Dialling(_)
        | Outcome::Status(_) => "done".to_owned(),
    }
}
