//! The real binary, started as an operator would start it, on a loopback address of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::address;
use crate::rest::Rest;

pub struct Server {
    pub address: Ipv4Addr,
    folder: tempfile::TempDir,
    child: Option<Child>,
    /// What `RUST_LOG` says to it, instead of what it says to the tests.
    level: Option<&'static str>,
    /// 0: as the node likes it, which is beside signalling on a small machine.
    lanes: usize,
}

impl Server {
    /// `extra` is TOML that is put behind the harness's own settings: whole tables, and before the
    /// first of them, if need be, more keys of `[sip]`.
    pub async fn start(extra: &str) -> Result<Self> {
        Self::start_at(address::fresh(), extra, None).await
    }

    /// Whose log says what an operator would see at this level.
    pub async fn start_at_level(level: &'static str, extra: &str) -> Result<Self> {
        Self::start_at(address::fresh(), extra, Some(level)).await
    }

    /// Where phones can reach it that do not believe in 127.0.0.0/8.
    pub async fn start_outside() -> Result<Self> {
        let allow = "[sip.allow]\nnetworks = [\"10.99.0.0/16\"]\n";
        Self::start_at(address::outside(), allow, None).await
    }

    /// Whose tenants may call the phones of tests, and whose calls are on two threads. `extra` names
    /// neither `egress` nor `sip.allow`.
    pub async fn start_open(extra: &str) -> Result<Self> {
        let mut server = Self::prepare(address::fresh(), None)?;
        server.lanes = 2;
        server.begin(&format!("{OPEN}{extra}")).await
    }

    /// The same, over TLS too, on port 5061: with a certificate for its address that nobody vouches for.
    pub async fn start_open_with_tls() -> Result<Self> {
        let server = Self::prepare(address::fresh(), None)?;
        let (certificate, key) = (server.scratch("certificate.pem"), server.scratch("key.pem"));
        let ended = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=callbox", "-addext", &format!("subjectAltName=IP:{}", server.address)])
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .stderr(Stdio::null())
            .status()
            .context("cannot run openssl (Debian package openssl)")?;
        if !ended.success() {
            bail!("openssl made no certificate: {ended}");
        }
        let address = server.address;
        server.begin(&format!("tls = [\"{address}:5061\"]\ncertificate = {certificate:?}\nkey = {key:?}\n{OPEN}")).await
    }

    async fn start_at(address: Ipv4Addr, extra: &str, level: Option<&'static str>) -> Result<Self> {
        Self::prepare(address, level)?.begin(extra).await
    }

    fn prepare(address: Ipv4Addr, level: Option<&'static str>) -> Result<Self> {
        Ok(Self { address, folder: tempfile::tempdir()?, child: None, level, lanes: 0 })
    }

    async fn begin(mut self, extra: &str) -> Result<Self> {
        fs::write(
            self.folder.path().join("callbox.toml"),
            format!(
                "[node]\ndata_dir = {data:?}\ndrain_s = 2\nlanes = {lanes}\n\
                 [api]\nlisten = \"{address}:8080\"\nhealth_listen = \"{address}:9090\"\n\
                 requests_per_s_per_key = {API_RATE}\n\
                 [sip]\nudp = [\"{address}:5060\"]\ntcp = [\"{address}:5060\"]\n{extra}",
                data = self.folder.path().join("data"),
                address = self.address,
                lanes = self.lanes,
            ),
        )?;
        self.run().await?;
        Ok(self)
    }

    /// Starts it again after [`Self::kill`], over the same data.
    pub async fn run(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let usual = || std::env::var("RUST_LOG").unwrap_or_else(|_| "info,callbox=debug".to_owned());
        let child = Command::new(binary())
            .arg("serve")
            .arg("--config")
            .arg(self.folder.path().join("callbox.toml"))
            .arg("--key-file")
            .arg(self.key_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .env("RUST_LOG", self.level.map_or_else(usual, str::to_owned))
            .spawn()
            .with_context(|| format!("cannot start {}", binary().display()))?;
        self.child = Some(child);
        self.until_ready().await
    }

    async fn until_ready(&mut self) -> Result<()> {
        let url = format!("http://{}:9090/readyz", self.address);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()? {
                bail!("the node ended at its start with {status}:\n{}", self.log());
            }
            if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the node was not ready in a minute:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: no good-bye, nothing flushed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, as a service manager sends it; returns how it ended.
    pub async fn terminate(&mut self) -> Result<std::process::ExitStatus> {
        let mut child = self.child.take().context("the node is not running")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                bail!("the node did not stop in a minute:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn host(&self) -> IpAddr {
        IpAddr::V4(self.address)
    }

    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}:5060", self.address)
    }

    /// The API as the operator of the first key.
    pub fn operator(&self) -> Result<Rest> {
        let key = fs::read_to_string(self.key_path()).context("the node wrote no key")?;
        Rest::new(&format!("http://{}:8080", self.address), key.trim())
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for a test's own files, gone with the server.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn key_path(&self) -> PathBuf {
        self.folder.path().join("operator.key")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("── the node's log, its end ──");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
        self.kill();
    }
}

/// A key's rate is tested where the API is.
const API_RATE: u32 = 100_000;

/// Loopback for most phones, the other network for those that do not believe in it.
const OPEN: &str = "[egress]\nnetworks = [\"127.0.0.0/8\", \"10.99.0.0/16\"]\n\
    [sip.allow]\nnetworks = [\"127.0.0.0/8\", \"10.99.0.0/16\"]\n";

/// Built by `tests/run` before the tests; beside the test binaries.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CALLBOX_BIN") {
        return path.into();
    }
    let mut path = std::env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("callbox")
}

pub fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/guests").join(format!("{name}.wasm"))
}

pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}
