//! PJSUA2 phones that stay, and do as they are told: they take calls, begin some, transfer them, and
//! speak a tone of their own into each.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use crate::ear::Ear;
use crate::server::fixture;

pub struct Agent {
    pub address: Ipv4Addr,
    child: Child,
    commands: ChildStdin,
    told: usize,
    folder: PathBuf,
}

impl Agent {
    /// `hz` is what it speaks. It answers at once until it is told otherwise.
    pub async fn start(address: Ipv4Addr, folder: &Path, hz: u32) -> Result<Self> {
        Self::start_over("udp", address, folder, hz).await
    }

    pub async fn start_over(transport: &str, address: Ipv4Addr, folder: &Path, hz: u32) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/phones/bin/python");
        let log = fs::File::create(folder.join("log"))?;
        let mut child = Command::new(&python)
            .arg(fixture("phones/agent.py"))
            .args([&address.to_string(), "5060"])
            .arg(folder)
            .args([&hz.to_string(), transport])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {} (made by tests/setup/phones)", python.display()))?;
        let commands = child.stdin.take().context("the phone takes no commands")?;
        let phone = Self { address, child, commands, told: 0, folder: folder.to_owned() };
        phone.until("ready").await?;
        Ok(phone)
    }

    pub fn uri(&self) -> String {
        format!("sip:bob@{}:5060", self.address)
    }

    /// Returns when it has heard. Its commands are in `tests/fixtures/phones/agent.py`.
    pub async fn tell(&mut self, command: &str) -> Result<()> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await?;
        self.told += 1;
        for _ in 0..500 {
            if self.said().lines().filter(|line| line.starts_with("> ")).count() >= self.told {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the phone at {} did not hear `{command}`:\n{}", self.address, self.said());
    }

    /// Until it says a line that begins so.
    pub async fn until(&self, words: &str) -> Result<()> {
        self.until_within(words, Duration::from_secs(20)).await
    }

    pub async fn until_within(&self, words: &str, within: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        while tokio::time::Instant::now() < deadline {
            if self.has_said(words) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the phone at {} did not say `{words}`:\n{}", self.address, self.said());
    }

    pub fn has_said(&self, words: &str) -> bool {
        // A line that is being written has no end yet.
        let said = self.said();
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        whole.lines().any(|line| line.starts_with(words))
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The request of its call N, which came in.
    pub fn request(&self, call: u32) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join(format!("incoming-{call}.sip")))?)
    }

    /// What was heard in its call N, once that is over.
    pub async fn heard(&self, call: u32) -> Result<Ear> {
        self.until(&format!("{call} ended")).await?;
        Ear::open(&self.folder.join(format!("heard-{call}.wav")))
    }

    /// Hangs up whatever it has, and ends.
    pub async fn quit(mut self) -> Result<()> {
        self.tell("quit").await?;
        tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await.context("the phone did not end")??;
        Ok(())
    }
}
