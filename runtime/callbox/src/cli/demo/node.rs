//! The demo's node: this very binary, started as an operator would start it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::cli::rest::read_key;
use crate::cli::show;

pub struct Running {
    pub sip: SocketAddr,
    pub api: SocketAddr,
    pub key: String,
    pub log: PathBuf,
    child: Child,
}

impl Running {
    pub async fn start(folder: &Path) -> Result<Self> {
        let (sip, api, health) = (sip_address()?, tcp_address(8_080)?, tcp_address(9_090)?);
        let (config, key_file, log) =
            (folder.join("callbox.toml"), folder.join("operator.key"), folder.join("callbox.log"));
        let text = format!(
            "[node]\ndata_dir = {:?}\ndrain_s = 2\n\n[sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\n\n\
             [api]\nlisten = \"{api}\"\nhealth_listen = \"{health}\"\n",
            folder.join("data")
        );
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let output = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(std::env::current_exe().context("cannot find this program")?)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--key-file")
            .arg(&key_file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for the demo, which then stops the node.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the node")?;
        let mut running = Self { sip, api, key: String::new(), log, child };
        let busy = show::busy("starting".to_owned());
        let ready = running.until_ready(health).await;
        busy.finish_and_clear();
        ready?;
        running.key = read_key(&key_file)?;
        Ok(running)
    }

    async fn until_ready(&mut self, health: SocketAddr) -> Result<()> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the node ended at its start ({status}):\n{}", self.said());
            }
            if client.get(format!("http://{health}/readyz")).send().await.is_ok_and(|ready| ready.status().is_success())
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the node was not ready within a minute:\n{}", self.said())
    }

    pub async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
            rustix::process::kill_process(id, rustix::process::Signal::TERM).context("cannot stop the node")?;
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = ended.context("the node did not stop within 30 s")??;
        if !status.success() {
            bail!("the node ended with {status}:\n{}", self.said());
        }
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The usual port, or any when that is taken.
fn sip_address() -> Result<SocketAddr> {
    for port in [5_060, 0] {
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        let address = listener.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port for SIP is free on loopback")
}

fn tcp_address(usual: u16) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, usual))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("no port is free on loopback")?;
    Ok(listener.local_addr()?)
}
