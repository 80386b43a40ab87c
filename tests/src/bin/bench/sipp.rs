//! SIPp as the load, and as the yardstick that answers it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use callbox_tests::address;
use callbox_tests::server::fixture;
use tokio::process::{Child, Command};

/// Calls to place.
pub struct Load<'a> {
    /// Of `tests/fixtures/sipp`.
    pub scenario: &'a str,
    pub to: Ipv4Addr,
    pub number: &'a str,
    pub calls: u32,
    /// A second.
    pub rate: u32,
    /// Length of `<pause/>`.
    pub pause: Duration,
    /// Where the far end is to send its sound: to where the calls come from, for it goes nowhere else.
    pub sound_to: (Ipv4Addr, u16),
}

/// Calls under way.
pub struct Calls {
    child: Child,
    folder: PathBuf,
    placed: u32,
}

/// How they went.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub good: u32,
    pub failed: u32,
    pub repeated: u32,
}

impl Load<'_> {
    pub fn start(&self, folder: &Path) -> Result<Calls> {
        fs::create_dir_all(folder)?;
        // SIPp would open the port that [media_port] names.
        let scenario = fs::read_to_string(fixture(&format!("sipp/{}.xml", self.scenario)))?
            .replace("[media_ip_type]", "4")
            .replace("[media_ip]", &self.sound_to.0.to_string())
            .replace("[media_port]", &self.sound_to.1.to_string());
        fs::write(folder.join("scenario.xml"), scenario)?;
        let from = self.sound_to.0.to_string();
        let child = sipp(folder)
            .arg(format!("{}:5060", self.to))
            .args(["-sf", "scenario.xml", "-s", self.number, "-i", &from, "-mi", &from, "-p", "5070"])
            .args(["-m", &self.calls.to_string(), "-r", &self.rate.to_string(), "-l", &self.calls.to_string()])
            .args(["-d", &self.pause.as_millis().to_string(), "-timeout", "150"])
            .args(["-trace_stat", "-fd", "1", "-stf", "stat.csv", "-trace_err", "-error_file", "errors.log"])
            .spawn()
            .context("cannot run sipp (Debian package sip-tester)")?;
        Ok(Calls { child, folder: folder.to_owned(), placed: self.calls })
    }
}

impl Calls {
    /// Until the last one is over.
    pub async fn end(mut self) -> Result<Told> {
        let ended = tokio::time::timeout(Duration::from_secs(180), self.child.wait()).await;
        let status = ended.context("SIPp did not come to its end")??;
        let told = self.told()?;
        // 1: some calls failed, which is counted. Others: it did not work at all.
        if !matches!(status.code(), Some(0 | 1)) || told.good + told.failed == 0 {
            let errors = fs::read_to_string(self.folder.join("errors.log")).unwrap_or_default();
            bail!("SIPp: {status}, {told:?} of {} calls\n{errors}", self.placed);
        }
        if told.failed > 0 {
            let errors = fs::read_to_string(self.folder.join("errors.log")).unwrap_or_default();
            eprintln!("   SIPp: {told:?}\n{}", errors.lines().take(20).collect::<Vec<_>>().join("\n"));
        }
        Ok(told)
    }

    /// Until the last one is over: how many went well in each second.
    pub async fn seconds(mut self) -> Result<Vec<u32>> {
        let ended = tokio::time::timeout(Duration::from_secs(180), self.child.wait()).await;
        ended.context("SIPp did not come to its end")??;
        let text = fs::read_to_string(self.folder.join("stat.csv")).context("SIPp wrote no statistics")?;
        let mut lines = text.lines();
        let names: Vec<_> = lines.next().unwrap_or_default().split(';').collect();
        let place = names.iter().position(|name| *name == "SuccessfulCall(P)");
        let place = place.context("SIPp told no SuccessfulCall(P)")?;
        let good = |line: &str| line.split(';').nth(place).and_then(|value| value.parse().ok()).unwrap_or(0);
        // The first row is of the moment at which it starts.
        Ok(lines.skip(1).map(good).collect())
    }

    fn told(&self) -> Result<Told> {
        let text = fs::read_to_string(self.folder.join("stat.csv")).context("SIPp wrote no statistics")?;
        let mut lines = text.lines();
        let names: Vec<_> = lines.next().unwrap_or_default().split(';').collect();
        let values: Vec<_> = lines.next_back().unwrap_or_default().split(';').collect();
        let value = |name: &str| -> Result<u32> {
            let place = names.iter().position(|one| *one == name);
            let value = place.and_then(|place| values.get(place)).with_context(|| format!("SIPp told no {name}"))?;
            Ok(value.parse()?)
        };
        Ok(Told {
            good: value("SuccessfulCall(C)")?,
            failed: value("FailedCall(C)")?,
            repeated: value("Retransmissions(C)")?,
        })
    }
}

/// SIPp at the other end: answers and hangs up.
pub struct Answerer {
    child: Child,
    pub address: Ipv4Addr,
}

impl Answerer {
    pub async fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let address = address::fresh();
        let child = sipp(folder)
            .arg("-sf")
            .arg(fixture("sipp/answerer.xml"))
            .args(["-i", &address.to_string(), "-mi", &address.to_string(), "-p", "5060"])
            .spawn()
            .context("cannot run sipp (Debian package sip-tester)")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { child, address })
    }

    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("SIPp's answering side has ended")
    }
}

fn sipp(folder: &Path) -> Command {
    let mut command = Command::new("sipp");
    command
        .current_dir(folder)
        .arg("-nostdin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
