//! Sounds are prepared here: read, spoken, made, encoded. Threads of their own, a bounded queue.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use callbox_audio::g711::Law;
use callbox_audio::{Tone, read_wav, scale};
use callbox_model::{LegKey, MediaFault, Sound, StepId};

use crate::clips::{Clip, Clips};
use crate::{Assets, Config, Error, Voice};

/// Where a prepared clip goes, or why there is none.
pub(crate) type Ready = Box<dyn Fn(LegKey, StepId, Result<Clip, MediaFault>) + Send>;

/// One play's sounds, to be prepared in order.
pub(crate) struct Job {
    pub(crate) leg: LegKey,
    pub(crate) step: StepId,
    pub(crate) sounds: Vec<Sound>,
    pub(crate) law: Law,
    pub(crate) gain_db: i8,
    /// Called once for each sound, until one fails.
    pub(crate) ready: Ready,
}

/// Where jobs go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Files {
    jobs: SyncSender<Job>,
}

struct Workshop {
    assets: Arc<dyn Assets>,
    voice: Arc<dyn Voice>,
    clips: Mutex<Clips>,
    longest_s: u64,
}

impl Files {
    pub(crate) fn start(config: &Config, assets: Arc<dyn Assets>, voice: Arc<dyn Voice>) -> Result<Self, Error> {
        let (jobs, queue) = sync_channel(config.files_queue);
        let queue = Arc::new(Mutex::new(queue));
        let clips = Mutex::new(Clips::new(config.clips_bytes));
        let workshop = Arc::new(Workshop { assets, voice, clips, longest_s: config.longest_s });
        for number in 0..config.files_threads.max(1) {
            let (queue, workshop) = (queue.clone(), workshop.clone());
            std::thread::Builder::new()
                .name(format!("files-{number}"))
                .spawn(move || work(&queue, &workshop))
                .map_err(Error::Thread)?;
        }
        Ok(Self { jobs })
    }

    /// Never waits: a full queue is a failure of the play.
    pub(crate) fn prepare(&self, job: Job) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.jobs.try_send(job) {
            metrics::counter!("media_refused_total", "reason" => "files-queue").increment(1);
            (job.ready)(job.leg, job.step, Err(MediaFault::Node("too many sounds are being prepared".to_owned())));
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, workshop: &Workshop) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        for sound in &job.sounds {
            let clip = workshop.clip(sound, job.law, job.gain_db);
            let failed = clip.is_err();
            (job.ready)(job.leg, job.step, clip);
            if failed {
                break;
            }
        }
    }
}

impl Workshop {
    fn clip(&self, sound: &Sound, law: Law, gain_db: i8) -> Result<Clip, MediaFault> {
        let key = self.key(sound)?.map(|key| format!("{key} {law:?} {gain_db}"));
        if let Some(key) = &key
            && let Some(clip) = self.clips().get(key)
        {
            return Ok(clip);
        }
        let mut samples = self.samples(sound)?;
        scale(&mut samples, gain_db);
        let clip: Clip = law.encode_all(&samples).into();
        if let Some(key) = key {
            self.clips().put(key, clip.clone());
        }
        Ok(clip)
    }

    /// Under which name it is kept. None: not worth it.
    fn key(&self, sound: &Sound) -> Result<Option<String>, MediaFault> {
        Ok(match sound {
            Sound::Asset { application, name } => {
                let digest = self
                    .assets
                    .find(*application, name)
                    .map_err(MediaFault::Node)?
                    .ok_or_else(|| MediaFault::NoAsset(name.clone()))?;
                Some(format!("asset {digest}"))
            }
            Sound::Speech(speech) => Some(format!("speech {:?} {:?} {}", speech.voice, speech.language, speech.text)),
            Sound::Tone(tone) if tone.length <= KEPT_MS => Some(format!("tone {tone:?}")),
            Sound::Tone(_) | Sound::Silence(_) => None,
        })
    }

    fn samples(&self, sound: &Sound) -> Result<Vec<i16>, MediaFault> {
        match sound {
            Sound::Asset { application, name } => {
                let bytes = self.assets.read(*application, name).map_err(MediaFault::Node)?;
                read_wav(&bytes, self.longest_s).map_err(|error| MediaFault::BadAsset(format!("`{name}`: {error}")))
            }
            Sound::Speech(speech) => self.voice.speak(speech),
            Sound::Tone(tone) => Ok(Tone::new(tone.first_hz, tone.second_hz, tone.length).samples()),
            Sound::Silence(length) => Ok(vec![0; *length as usize * 8]),
        }
    }

    fn clips(&self) -> std::sync::MutexGuard<'_, Clips> {
        self.clips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tones that are longer are made anew each time.
const KEPT_MS: u32 = 10_000;
