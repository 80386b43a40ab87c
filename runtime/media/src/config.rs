//! What the driver is set to.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    /// Threads of packets. One per core.
    pub threads: usize,
    /// First and last port; two for each leg. Half of what carriers' firewalls usually open.
    pub ports: (u16, u16),
    /// How long a port rests after its leg, so that late packets reach no stranger.
    pub quarantine: Duration,
    /// Nothing heard for so long, while something should be, is told.
    pub silence: Duration,
    pub recordings_dir: PathBuf,
    /// Threads that read files and run voices: as many sounds are prepared at once.
    pub files_threads: usize,
    /// Plays whose sounds wait to be prepared. One tenant may have a quarter of them.
    pub files_queue: usize,
    /// Legs of one thread: what it may be told is bounded by them.
    pub legs_per_thread: usize,
    /// Prepared sounds kept in memory. An hour of sound takes 29 MB.
    pub clips_bytes: usize,
    /// The longest file that is played, and all files and speech of one play together.
    pub longest_s: u64,
    /// Different sounds of one tenant's calls in memory: two hours and a half.
    pub tenant_sound_bytes: u64,
    /// The longest that a voice may take to speak.
    pub speak_within: Duration,
    /// Recorded seconds that wait for the disk before a recording is given up.
    pub recorder_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            ports: (16_384, 32_767),
            quarantine: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            recordings_dir: PathBuf::from("recordings"),
            files_threads: 2,
            files_queue: 4_096,
            legs_per_thread: 8_192,
            clips_bytes: 256 << 20,
            longest_s: 3_600,
            tenant_sound_bytes: 72 << 20,
            speak_within: Duration::from_secs(10),
            recorder_queue: 4_096,
        }
    }
}
