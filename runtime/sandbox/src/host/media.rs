//! `media`: sound, to and from a leg.

use callbox_model as model;
use callbox_model::{Outcome, Step};

use super::types::told;
use crate::contract::callbox::voice::{media, types};
use crate::guest::{Guest, unfit};

type Told<T> = wasmtime::Result<Result<T, types::StepError>>;

impl Guest {
    async fn started(&mut self, name: &'static str, step: Step) -> Told<u32> {
        match self.step(name, step).await? {
            Outcome::Started(step) => Ok(Ok(step)),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit(name, &other)),
        }
    }
}

impl media::Host for Guest {
    async fn play(&mut self, given: Vec<media::Source>, options: Option<media::PlayOptions>) -> Told<media::Played> {
        let step = Step::Play { sources: sources(given), options: play_options(options), wait: true };
        match self.step("media.play", step).await? {
            Outcome::Played(played) => Ok(Ok(played.into())),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit("media.play", &other)),
        }
    }

    async fn gather(
        &mut self,
        prompt: Vec<media::Source>,
        options: Option<media::GatherOptions>,
    ) -> Told<media::Gathered> {
        let step = Step::Gather { prompt: sources(prompt), options: gather_options(options), wait: true };
        match self.step("media.gather", step).await? {
            Outcome::Gathered(gathered) => Ok(Ok(gathered.into())),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit("media.gather", &other)),
        }
    }

    async fn record(&mut self, options: Option<media::RecordOptions>) -> Told<media::Recorded> {
        let step = Step::Record { options: record_options(options), wait: true };
        match self.step("media.record", step).await? {
            Outcome::Recorded(recorded) => Ok(Ok(recorded.into())),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit("media.record", &other)),
        }
    }

    async fn start_play(&mut self, given: Vec<media::Source>, options: Option<media::PlayOptions>) -> Told<u32> {
        let step = Step::Play { sources: sources(given), options: play_options(options), wait: false };
        self.started("media.start-play", step).await
    }

    async fn start_gather(&mut self, prompt: Vec<media::Source>, options: Option<media::GatherOptions>) -> Told<u32> {
        let step = Step::Gather { prompt: sources(prompt), options: gather_options(options), wait: false };
        self.started("media.start-gather", step).await
    }

    async fn start_record(&mut self, options: Option<media::RecordOptions>) -> Told<u32> {
        let step = Step::Record { options: record_options(options), wait: false };
        self.started("media.start-record", step).await
    }

    async fn stop(&mut self, step: u32) -> Told<()> {
        self.done("media.stop", Step::Stop { step }).await.map(told)
    }

    async fn pause_record(&mut self, step: u32, silence: bool) -> Told<()> {
        self.done("media.pause-record", Step::PauseRecord { step, silence }).await.map(told)
    }

    async fn resume_record(&mut self, step: u32) -> Told<()> {
        self.done("media.resume-record", Step::ResumeRecord { step }).await.map(told)
    }
}

fn sources(given: Vec<media::Source>) -> Vec<model::Source> {
    given.into_iter().map(source).collect()
}

fn source(given: media::Source) -> model::Source {
    match given {
        media::Source::Asset(name) => model::Source::Asset(name),
        media::Source::Text(media::Speech { text, voice, language }) => {
            model::Source::Text(model::Speech { text, voice, language })
        }
        media::Source::Tone(media::Tone { first, second, length }) => model::Source::Tone { first, second, length },
        media::Source::Silence(length) => model::Source::Silence(length),
    }
}

fn play_options(given: Option<media::PlayOptions>) -> model::PlayOptions {
    given.map_or_else(model::PlayOptions::default, |media::PlayOptions { leg, repeat, stop_on, gain_db }| {
        model::PlayOptions { leg, repeat, stop_on, gain_db }
    })
}

fn gather_options(given: Option<media::GatherOptions>) -> model::GatherOptions {
    let Some(given) = given else { return model::GatherOptions::default() };
    let media::GatherOptions { leg, min, max, terminators, first_digit, inter_digit, sensitive } = given;
    model::GatherOptions { leg, min, max, terminators, first_digit, inter_digit, sensitive }
}

fn record_options(given: Option<media::RecordOptions>) -> model::RecordOptions {
    let Some(given) = given else { return model::RecordOptions::default() };
    let media::RecordOptions { leg, tracks, max, silence, stop_on, beep } = given;
    let separate_tracks = tracks.map(|tracks| matches!(tracks, media::Tracks::Separate));
    model::RecordOptions { leg, separate_tracks, max, silence, stop_on, beep }
}

impl From<model::Played> for media::Played {
    fn from(given: model::Played) -> Self {
        Self { length: given.length, stopped_by: given.stopped_by }
    }
}

impl From<model::Gathered> for media::Gathered {
    fn from(given: model::Gathered) -> Self {
        let by = match given.by {
            model::GatheredBy::Max => media::GatheredBy::Max,
            model::GatheredBy::Terminator => media::GatheredBy::Terminator,
            model::GatheredBy::Timeout => media::GatheredBy::Timeout,
        };
        Self { digits: given.digits, by }
    }
}

impl From<model::Recorded> for media::Recorded {
    fn from(given: model::Recorded) -> Self {
        Self { id: given.id, length: given.length, stopped_by: given.stopped_by }
    }
}
