//! Sounds are prepared here: read, spoken, made, encoded. Threads of their own, a bounded queue
//! that is fair: tenants take turns, a sound each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use callbox_audio::g711::Law;
use callbox_audio::{Tone, read_wav, scale};
use callbox_model::{LegKey, MediaFault, Millis, Sound, StepId, TenantId};

use crate::clips::{Account, Clip, Clips, Kept};
use crate::{Assets, Config, Error, Voice};

/// Where a prepared clip goes, or why there is none.
pub(crate) type Ready = Box<dyn Fn(LegKey, StepId, Result<Clip, MediaFault>) + Send>;

/// One play's sounds, to be prepared in order.
pub(crate) struct Job {
    pub(crate) tenant: TenantId,
    pub(crate) leg: LegKey,
    pub(crate) step: StepId,
    pub(crate) sounds: VecDeque<Sound>,
    pub(crate) law: Law,
    pub(crate) gain_db: i8,
    /// Gone when nobody waits for it any more.
    pub(crate) wanted: Weak<()>,
    /// Called once for each sound, until one fails.
    pub(crate) ready: Ready,
    /// Of what was prepared and takes memory.
    pub(crate) prepared_bytes: u64,
}

/// Where jobs go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Files(Arc<Queue>);

struct Queue {
    turns: Mutex<Turns>,
    more: Condvar,
    most: usize,
}

/// Tenants in the order in which they are served next.
#[derive(Default)]
struct Turns {
    order: VecDeque<TenantId>,
    jobs: BTreeMap<TenantId, VecDeque<Job>>,
    count: usize,
}

struct Workshop {
    assets: Arc<dyn Assets>,
    voice: Arc<dyn Voice>,
    clips: Mutex<Clips>,
    accounts: Mutex<BTreeMap<TenantId, Account>>,
    longest_s: u64,
    tenant_bytes: u64,
}

impl Files {
    pub(crate) fn start(config: &Config, assets: Arc<dyn Assets>, voice: Arc<dyn Voice>) -> Result<Self, Error> {
        let queue = Arc::new(Queue { turns: Mutex::default(), more: Condvar::new(), most: config.files_queue.max(4) });
        let clips = Mutex::new(Clips::new(config.clips_bytes));
        let (longest_s, tenant_bytes) = (config.longest_s, config.tenant_sound_bytes);
        let accounts = Mutex::default();
        let workshop = Arc::new(Workshop { assets, voice, clips, accounts, longest_s, tenant_bytes });
        for number in 0..config.files_threads.max(1) {
            let (queue, workshop) = (queue.clone(), workshop.clone());
            std::thread::Builder::new()
                .name(format!("files-{number}"))
                .spawn(move || work(&queue, &workshop))
                .map_err(Error::Thread)?;
        }
        Ok(Self(queue))
    }

    /// Never waits: a full queue is a failure of the play.
    pub(crate) fn prepare(&self, job: Job) {
        if let Err(job) = self.0.put(job) {
            metrics::counter!("media_refused_total", "reason" => "files-queue").increment(1);
            (job.ready)(job.leg, job.step, Err(MediaFault::Node("too many sounds are being prepared".to_owned())));
        }
    }
}

impl Queue {
    /// A tenant may have a quarter of the queue.
    fn put(&self, job: Job) -> Result<(), Job> {
        let mut turns = self.turns();
        let theirs = turns.jobs.get(&job.tenant).map_or(0, VecDeque::len);
        if turns.count >= self.most || theirs >= self.most / 4 {
            return Err(job);
        }
        turns.put(job);
        self.more.notify_one();
        Ok(())
    }

    fn take(&self) -> Job {
        let mut turns = self.turns();
        loop {
            if let Some(job) = turns.take() {
                return job;
            }
            turns = self.more.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn put(&mut self, job: Job) {
        let jobs = self.jobs.entry(job.tenant).or_default();
        if jobs.is_empty() {
            self.order.push_back(job.tenant);
        }
        jobs.push_back(job);
        self.count += 1;
    }

    fn take(&mut self) -> Option<Job> {
        let tenant = self.order.pop_front()?;
        let jobs = self.jobs.get_mut(&tenant)?;
        let job = jobs.pop_front()?;
        self.count -= 1;
        if jobs.is_empty() {
            self.jobs.remove(&tenant);
        } else {
            self.order.push_back(tenant);
        }
        Some(job)
    }
}

fn work(queue: &Queue, workshop: &Workshop) {
    loop {
        let mut job = queue.take();
        // A leg that is closed, or that hears something else meanwhile.
        if job.wanted.strong_count() == 0 {
            continue;
        }
        let Some(sound) = job.sounds.pop_front() else { continue };
        let clip = workshop.clip(&sound, &mut job);
        let failed = clip.is_err();
        (job.ready)(job.leg, job.step, clip);
        if !failed && !job.sounds.is_empty() {
            // The rest of it takes its turn. It has been let in already.
            queue.turns().put(job);
            queue.more.notify_one();
        }
    }
}

impl Workshop {
    fn clip(&self, sound: &Sound, job: &mut Job) -> Result<Clip, MediaFault> {
        let (law, gain_db) = (job.law, job.gain_db);
        match sound {
            Sound::Silence(length) => {
                let bytes = u64::from(*length) * BYTES_A_MS;
                return Ok(Clip::cycle(Vec::new(), vec![law.silence(); 160], bytes, Vec::new()));
            }
            Sound::Tone(tone) if tone.length > KEPT_MS => return Ok(long_tone(tone, law, gain_db)),
            _ => {}
        }
        let key = format!("{} {law:?} {gain_db}", self.key(sound)?);
        let known = self.clips().get(&key);
        let kept = match known {
            Some(kept) => kept,
            None => {
                let account = self.account(job.tenant)?;
                let mut samples = self.samples(sound)?;
                scale(&mut samples, gain_db);
                let kept = Kept::charged(law.encode_all(&samples), &account);
                self.clips().put(key, &kept);
                kept
            }
        };
        let clip = Clip::whole(kept);
        job.prepared_bytes += clip.len();
        if job.prepared_bytes > self.longest_s * 1_000 * BYTES_A_MS {
            let why = format!("the sounds of one play are longer than {} s together", self.longest_s);
            return Err(MediaFault::BadAsset(why));
        }
        Ok(clip)
    }

    /// What its tenant is charged by, if there is room for more.
    fn account(&self, tenant: TenantId) -> Result<Account, MediaFault> {
        let account = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            if accounts.len() >= MOST_ACCOUNTS {
                accounts.retain(|_, account| Arc::strong_count(account) > 1);
            }
            accounts.entry(tenant).or_default().clone()
        };
        if account.load(Ordering::Relaxed) >= self.tenant_bytes {
            self.clips().forget_of(&account);
        }
        if account.load(Ordering::Relaxed) >= self.tenant_bytes {
            metrics::counter!("media_refused_total", "reason" => "tenant-sound").increment(1);
            let why = format!("the tenant's calls play more than {} MiB of different sounds", self.tenant_bytes >> 20);
            return Err(MediaFault::Node(why));
        }
        Ok(account)
    }

    /// Under which name it is kept.
    fn key(&self, sound: &Sound) -> Result<String, MediaFault> {
        Ok(match sound {
            Sound::Asset { application, name } => {
                let digest = self
                    .assets
                    .find(*application, name)
                    .map_err(MediaFault::Node)?
                    .ok_or_else(|| MediaFault::NoAsset(name.clone()))?;
                format!("asset {digest}")
            }
            Sound::Speech(speech) => format!("speech {:?} {:?} {}", speech.voice, speech.language, speech.text),
            Sound::Tone(tone) => format!("tone {tone:?}"),
            Sound::Silence(length) => format!("silence {length}"),
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
            Sound::Silence(_) => Ok(Vec::new()),
        }
    }

    fn clips(&self) -> MutexGuard<'_, Clips> {
        self.clips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frequencies are whole hertz: every second of a tone is like the one before, but for its ends.
fn long_tone(tone: &callbox_model::Tone, law: Law, gain_db: i8) -> Clip {
    let rest: Millis = tone.length % 1_000;
    let mut samples = Tone::new(tone.first_hz, tone.second_hz, 3_000 + rest).samples();
    scale(&mut samples, gain_db);
    let mut head = law.encode_all(&samples);
    let mut cycle = head.split_off(SECOND_BYTES);
    let tail = cycle.split_off(SECOND_BYTES);
    let cycles = u64::from(tone.length / 1_000).saturating_sub(2);
    Clip::cycle(head, cycle, cycles * SECOND_BYTES as u64, tail)
}

const BYTES_A_MS: u64 = 8;
const SECOND_BYTES: usize = 8_000;
/// Tones that are longer take the memory of three seconds.
const KEPT_MS: Millis = 10_000;
/// Before those of tenants that play nothing are forgotten.
const MOST_ACCOUNTS: usize = 4_096;

#[cfg(test)]
mod tests {
    use callbox_model::Speech;

    use super::*;

    struct Nothing;

    impl Assets for Nothing {
        fn find(&self, _: callbox_model::ApplicationId, name: &str) -> Result<Option<String>, String> {
            Ok(Some(name.to_owned()))
        }

        fn read(&self, _: callbox_model::ApplicationId, _: &str) -> Result<Vec<u8>, String> {
            Err("there are no assets here".to_owned())
        }
    }

    /// A second for each letter.
    struct Reader;

    impl Voice for Reader {
        fn speak(&self, speech: &Speech) -> Result<Vec<i16>, MediaFault> {
            Ok(vec![1; speech.text.len() * 8_000])
        }
    }

    fn workshop(longest_s: u64, tenant_bytes: u64) -> Workshop {
        let clips = Mutex::new(Clips::new(1 << 20));
        Workshop {
            assets: Arc::new(Nothing),
            voice: Arc::new(Reader),
            clips,
            accounts: Mutex::default(),
            longest_s,
            tenant_bytes,
        }
    }

    fn job(tenant: u128, step: StepId, wanted: &Arc<()>) -> Job {
        Job {
            tenant: TenantId::from_u128(tenant),
            leg: LegKey(1),
            step,
            sounds: VecDeque::new(),
            law: Law::Mu,
            gain_db: 0,
            wanted: Arc::downgrade(wanted),
            ready: Box::new(|_, _, _| {}),
            prepared_bytes: 0,
        }
    }

    fn say(text: &str) -> Sound {
        Sound::Speech(Speech { text: text.to_owned(), voice: None, language: None })
    }

    #[test]
    fn an_hour_of_tone_or_silence_takes_no_memory() {
        let (shop, wanted) = (workshop(3_600, 1), Arc::new(()));
        let tone = callbox_model::Tone { first_hz: 440, second_hz: Some(620), length: 3_600_500 };
        let clip = shop.clip(&Sound::Tone(tone), &mut job(1, 1, &wanted)).unwrap();
        assert_eq!(clip.len(), 3_600_500 * 8);
        // A second in its middle is what a short tone has there.
        let short = Tone::new(440, Some(620), 3_000).samples();
        let (mut at, mut heard) = (1_800 * 8_000, Vec::new());
        while heard.len() < 8_000 {
            let mut out = [0; 160];
            let count = clip.read(at, &mut out);
            heard.extend(out[..count].iter().map(|&byte| Law::Mu.decode(byte)));
            at += count as u64;
        }
        assert!(heard.iter().zip(&short[8_000..16_000]).all(|(one, other)| one.abs_diff(*other) < 700));
        let clip = shop.clip(&Sound::Silence(3_600_000), &mut job(1, 1, &wanted)).unwrap();
        assert_eq!(clip.len(), 3_600_000 * 8);
        assert!(shop.accounts.lock().unwrap().is_empty(), "nobody is charged");
    }

    #[test]
    fn one_play_and_one_tenant_have_their_bounds() {
        let (shop, wanted) = (workshop(5, 6 * 8_000), Arc::new(()));
        let mut first = job(1, 1, &wanted);
        let four = shop.clip(&say("abcd"), &mut first).unwrap();
        assert!(matches!(shop.clip(&say("ef"), &mut first), Err(MediaFault::BadAsset(_))), "6 s in one play");
        let mut second = job(1, 2, &wanted);
        assert!(shop.clip(&say("abcd"), &mut second).is_ok(), "the same sound is shared");
        let more = shop.clip(&say("xyz"), &mut job(1, 3, &wanted)).unwrap();
        let Err(MediaFault::Node(why)) = shop.clip(&say("uvw"), &mut job(1, 4, &wanted)) else { panic!() };
        assert!(why.contains("tenant"), "{why}");
        assert!(shop.clip(&say("uvw"), &mut job(2, 4, &wanted)).is_ok(), "another tenant does not notice");
        drop((four, more));
        assert!(shop.clip(&say("uvw x"), &mut job(1, 5, &wanted)).is_ok(), "what nobody plays is forgotten");
    }

    #[test]
    fn tenants_take_turns_and_none_has_the_whole_queue() {
        let queue = Queue { turns: Mutex::default(), more: Condvar::new(), most: 16 };
        let wanted = Arc::new(());
        for step in 0..4 {
            assert!(queue.put(job(1, step, &wanted)).is_ok());
        }
        assert!(queue.put(job(1, 9, &wanted)).is_err());
        assert!(queue.put(job(2, 0, &wanted)).is_ok());
        let order: Vec<_> = (0..5).map(|_| queue.take()).map(|job| (job.tenant.as_u128(), job.step)).collect();
        assert_eq!(order, [(1, 0), (2, 0), (1, 1), (1, 2), (1, 3)]);
    }
}
