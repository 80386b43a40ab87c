//! Kamailio, a proxy and registrar that carriers run, with a configuration of
//! `tests/fixtures/kamailio`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::server::fixture;

pub struct Kamailio {
    pub address: Ipv4Addr,
    folder: PathBuf,
    child: Child,
}

impl Kamailio {
    /// A record-routing dispatcher in front of `node`.
    pub async fn dispatcher(address: Ipv4Addr, folder: &Path, node: Ipv4Addr) -> Result<Self> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("dispatcher.list"), format!("1 sip:{node}:5060\n"))?;
        Self::start("dispatcher", address, folder, &[]).await
    }

    /// A carrier where `node` is a customer; numbers that it calls are all `callee`'s. Its digest is
    /// of `algorithm`.
    pub async fn carrier(
        address: Ipv4Addr,
        folder: &Path,
        node: Ipv4Addr,
        callee: Ipv4Addr,
        password: &str,
        algorithm: &str,
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (node, callee) = (node.to_string(), callee.to_string());
        let with = [("NODE", node.as_str()), ("CALLEE", &callee), ("PASSWORD", password), ("ALGORITHM", algorithm)];
        Self::start("carrier", address, folder, &with).await
    }

    async fn start(name: &str, address: Ipv4Addr, folder: &Path, with: &[(&str, &str)]) -> Result<Self> {
        let mut text = fs::read_to_string(fixture(&format!("kamailio/{name}.cfg")))?
            .replace("@ADDRESS@", &address.to_string())
            .replace("@FOLDER@", &folder.display().to_string());
        for (word, value) in with {
            text = text.replace(&format!("@{word}@"), value);
        }
        fs::write(folder.join("kamailio.cfg"), text)?;
        let log = fs::File::create(folder.join("kamailio.log"))?;
        let child = Command::new("/usr/sbin/kamailio")
            // In the foreground, with its log on stderr, and little memory.
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
            .arg(folder.join("kamailio.cfg"))
            .arg("-Y")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run kamailio (Debian package kamailio)")?;
        let mut kamailio = Self { address, folder: folder.to_owned(), child };
        kamailio.until_ready().await?;
        Ok(kamailio)
    }

    /// Until its socket is taken: an address can be bound once.
    async fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::UdpSocket::bind((self.address, 5_060)).is_ok() {
            if let Some(status) = self.child.try_wait()? {
                bail!("kamailio ended at its start with {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("kamailio opened no socket in 30 s:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Bound, and its children are about to read; what comes before that waits in the socket.
        Ok(())
    }

    /// Until its log says so.
    pub async fn until(&self, words: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self.log().contains(words) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("kamailio did not say `{words}`:\n{}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("kamailio.log")).unwrap_or_default()
    }
}

impl Drop for Kamailio {
    /// It takes its children with it when it is asked to end, not when it is killed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("── kamailio's log ──\n{}", self.log());
        }
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
