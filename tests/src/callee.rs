//! SIPp that is called.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::server::fixture;

pub struct Callee {
    child: Child,
    scratch: PathBuf,
}

impl Callee {
    /// Takes `calls` calls on port 5060, each as the scenario of `tests/fixtures/sipp` says.
    pub fn start(scenario: &str, address: Ipv4Addr, calls: u32, scratch: &Path) -> Result<Self> {
        fs::create_dir_all(scratch)?;
        let address = address.to_string();
        let child = Command::new("sipp")
            .current_dir(scratch)
            .arg("-sf")
            .arg(fixture(&format!("sipp/{scenario}.xml")))
            .args(["-nostdin", "-trace_err", "-error_file", "errors.log", "-timeout", "100", "-timeout_error"])
            .args(["-i", &address, "-mi", &address, "-p", "5060", "-m", &calls.to_string()])
            .stdin(Stdio::null())
            .stdout(fs::File::create(scratch.join("screen"))?)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run sipp (Debian package sip-tester)")?;
        Ok(Self { child, scratch: scratch.to_owned() })
    }

    /// Until it had all its calls. Fails when one did not go as the scenario says.
    pub async fn done(mut self) -> Result<()> {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = match ended {
            Ok(status) => status?,
            Err(_) => {
                self.child.kill().await?;
                bail!("SIPp was not called as it should be: {}", self.errors())
            }
        };
        if !status.success() {
            bail!("SIPp was called otherwise ({status}): {}", self.errors());
        }
        Ok(())
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.scratch.join("errors.log")).unwrap_or_default()
    }
}
