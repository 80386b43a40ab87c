//! More calls than a node can carry, which is held to a fifth of a core so that there can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::server::Server;

use crate::row::Row;
use crate::sipp::Load;
use crate::{SETTLE, node, print};

/// The knee, goodput beyond it, and how soon it is as before. Nothing where processor time cannot
/// be held back.
pub async fn overload() -> Result<Vec<Row>> {
    let (server, _tenant) = node(&[("100", "hang-up-at-once")]).await?;
    let pid = server.pid().context("the node is not running")?;
    // Warm, with all the time that it wants.
    offered(&server, 20, Duration::from_secs(5)).await?;
    let Some(_share) = Share::of(pid)? else {
        eprintln!("── overload: left out: there is no control group for processor time that may be written");
        return Ok(Vec::new());
    };
    eprintln!("── overload: the node has a fifth of a core");
    let knee = knee(&server).await?;
    // Each is printed when it is known: all of them take minutes.
    let mut rows = print(vec![Row::new("overload", "knee", knee.into(), "calls/s")])?;
    for times in [2, 5, 10] {
        tokio::time::sleep(SETTLE).await;
        let good = offered(&server, knee * times, LONG).await?;
        let row = Row::new("overload", format!("goodput at {times} times the knee"), steady(&good, LONG), "calls/s")
            .beside(knee.into())
            .at_least(f64::from(knee) * 0.9);
        rows.extend(print(vec![row])?);
    }
    // At once after the worst, what it could carry before.
    let rate = (knee * 9 / 10).max(1);
    let good = offered(&server, rate, LONG).await?;
    let is_back = |good: &u32| f64::from(*good) >= f64::from(rate) * 0.9;
    let back = good.iter().position(is_back).map_or(f64::INFINITY, |second| (second + 1) as f64);
    let row = Row::new("overload", "seconds until it carries that again", back.min(9_999.0), "s").limit(10.0);
    rows.extend(print(vec![row])?);
    Ok(rows)
}

/// The highest rate, within a sixth, of which nearly all calls are carried.
async fn knee(server: &Server) -> Result<u32> {
    let (mut carried, mut rate) = (0, START);
    while rate < MOST {
        let good = steady(&offered(server, rate, SHORT).await?, SHORT);
        eprintln!("   {rate} a second: {good:.0} carried");
        if good < f64::from(rate) * 0.95 {
            break;
        }
        carried = rate;
        rate += rate / 6;
        tokio::time::sleep(SETTLE).await;
    }
    anyhow::ensure!(carried > 0, "not even {START} calls a second are carried");
    tokio::time::sleep(Duration::from_secs(8)).await;
    Ok(carried)
}

/// Calls at this rate for so long, from as many sources as keep below the rate of one: how many
/// went well, by the second.
async fn offered(server: &Server, rate: u32, length: Duration) -> Result<Vec<u32>> {
    let sources = rate.div_ceil(PER_SOURCE);
    let mut loads = Vec::new();
    for source in 0..sources {
        let rate = rate / sources;
        let load = Load {
            scenario: "overload",
            to: server.address,
            number: "100",
            calls: rate * length.as_secs() as u32,
            rate,
            pause: Duration::ZERO,
            sound_to: (address::fresh(), 40_000),
        };
        let folder = server.scratch(&format!("overload-{source}"));
        let _ = fs::remove_dir_all(&folder);
        loads.push(load.start(&folder)?);
    }
    let mut all = vec![0; length.as_secs() as usize];
    for load in loads {
        for (sum, good) in all.iter_mut().zip(load.seconds().await?) {
            *sum += good;
        }
    }
    Ok(all)
}

/// A second, after the first quarter.
fn steady(good: &[u32], length: Duration) -> f64 {
    let skipped = good.len() / 4;
    f64::from(good.iter().skip(skipped).sum::<u32>()) / (length.as_secs_f64() - skipped as f64)
}

/// A process' share of processor time. Gone when it is dropped, which needs the process to be gone
/// or elsewhere: it is sent back.
struct Share {
    folder: PathBuf,
    back: PathBuf,
    process: u32,
}

impl Share {
    /// A fifth of a core, in slices short enough not to be felt as pauses.
    fn of(process: u32) -> Result<Option<Self>> {
        // Version 1 has a folder for each controller, version 2 one for all.
        let one = Path::new("/sys/fs/cgroup/cpu");
        let (root, limits) = if one.join("cgroup.procs").exists() {
            let quota = ("cpu.cfs_quota_us", (PERIOD_US / 5).to_string());
            (one, vec![("cpu.cfs_period_us", PERIOD_US.to_string()), quota])
        } else {
            (Path::new("/sys/fs/cgroup"), vec![("cpu.max", format!("{} {PERIOD_US}", PERIOD_US / 5))])
        };
        let folder = root.join(format!("callbox-bench-{process}"));
        if fs::create_dir(&folder).is_err() {
            return Ok(None);
        }
        let share = Self { folder, back: root.join("cgroup.procs"), process };
        for (file, value) in limits {
            if fs::write(share.folder.join(file), value).is_err() {
                return Ok(None);
            }
        }
        // Where real time is shared out as well, threads of that kind do not go in without a part.
        let _ = fs::write(share.folder.join("cpu.rt_runtime_us"), RT_RUNTIME_US);
        fs::write(share.folder.join("cgroup.procs"), process.to_string()).context("the node does not go in")?;
        Ok(Some(share))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = fs::write(&self.back, self.process.to_string());
        let _ = fs::remove_dir(&self.folder);
    }
}

const PERIOD_US: u32 = 10_000;
/// Of each second, for media, which has nothing to do here.
const RT_RUNTIME_US: &str = "100000";
const START: u32 = 50;
const MOST: u32 = 5_000;
/// Below `sip.requests_per_s_per_source`, so that it is the node that is measured and not that limit.
const PER_SOURCE: u32 = 900;
const SHORT: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(20);
