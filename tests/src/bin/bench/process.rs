//! What a process took, as the kernel counted it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// CPU time, user and system, of a process and of its threads by name.
#[derive(Clone, Debug)]
pub struct Cpu {
    pub at: Instant,
    pub whole: Duration,
    /// `lane-0` and `lane-1` are both `lane`. Threads that ended are only in the whole.
    pub threads: BTreeMap<String, Duration>,
}

/// What was spent between two looks.
#[derive(Clone, Debug)]
pub struct Spent {
    pub wall: Duration,
    pub whole: Duration,
    pub threads: BTreeMap<String, Duration>,
}

impl Cpu {
    pub fn of(process: u32) -> Result<Self> {
        let folder = format!("/proc/{process}");
        let mut threads = BTreeMap::<_, Duration>::new();
        for entry in fs::read_dir(format!("{folder}/task"))? {
            // A thread may end while it is looked at.
            let task = entry?.path();
            let Ok((name, ticks)) = stat(&task) else { continue };
            *threads.entry(family(&name).to_owned()).or_default() += scheduled(&task).unwrap_or(ticks);
        }
        let (_, whole) = stat(Path::new(&folder)).with_context(|| format!("process {process} is gone"))?;
        Ok(Self { at: Instant::now(), whole, threads })
    }
}

impl Sub<&Cpu> for Cpu {
    type Output = Spent;

    fn sub(self, before: &Cpu) -> Spent {
        let threads = self
            .threads
            .into_iter()
            .map(|(name, spent)| {
                let earlier = before.threads.get(&name).copied().unwrap_or_default();
                (name, spent.saturating_sub(earlier))
            })
            .collect();
        Spent { wall: self.at - before.at, whole: self.whole.saturating_sub(before.whole), threads }
    }
}

impl Spent {
    /// Without what the process takes when nothing is asked of it.
    pub fn without(&self, idle: &Spent) -> Self {
        let scale = self.wall.as_secs_f64() / idle.wall.as_secs_f64();
        let less = |spent: Duration, idle: Duration| spent.saturating_sub(idle.mul_f64(scale));
        let threads = self
            .threads
            .iter()
            .map(|(name, spent)| (name.clone(), less(*spent, idle.threads.get(name).copied().unwrap_or_default())))
            .collect();
        Self { wall: self.wall, whole: less(self.whole, idle.whole), threads }
    }

    pub fn of_threads(&self, names: &[&str]) -> Duration {
        names.iter().map(|name| self.thread(name)).sum()
    }

    pub fn thread(&self, name: &str) -> Duration {
        self.threads.get(name).copied().unwrap_or_default()
    }
}

/// What a process has in memory, in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// What it takes of the machine: a page that is mapped a thousand times is there once (`Pss`).
    pub taken: u64,
    /// Every page of every mapping, as `top` shows it (`Rss`).
    pub resident: u64,
}

pub fn memory(process: u32) -> Result<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let read = |name: &str| -> Result<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let figure = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = figure.with_context(|| format!("no {name} in smaps_rollup"))?.parse()?;
        Ok(kib * 1_024)
    };
    Ok(Memory { taken: read("Pss")?, resident: read("Rss")? })
}

/// Name, and user and system time.
fn stat(folder: &Path) -> Result<(String, Duration)> {
    let text = fs::read_to_string(folder.join("stat"))?;
    // The name may hold anything, parentheses too: the last one ends it.
    let (head, rest) = text.rsplit_once(')').context("no name in stat")?;
    let (_, name) = head.split_once('(').context("no name in stat")?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks = |place: usize| -> Result<u64> { Ok(fields.get(place).context("stat is short")?.parse()?) };
    // proc_pid_stat(5): fields 14 and 15, of which the state is field 3.
    Ok((name.to_owned(), Duration::from_millis((ticks(11)? + ticks(12)?) * TICK_MS)))
}

/// The scheduler's own count, in nanoseconds instead of ticks; not every kernel keeps it.
fn scheduled(task: &Path) -> Option<Duration> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

fn family(name: &str) -> &str {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches('-')
}

/// USER_HZ is 100 on every Linux that Rust runs on.
const TICK_MS: u64 = 10;
