//! Phones that nobody here wrote, driven from the outside.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::server::fixture;

/// callbox's own phone, as a user starts it: whether it was answered, what it printed, what it heard.
pub async fn callbox(uri: &str, heard: &Path, with: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(crate::server::binary());
    command.args(["call", uri, "--record"]).arg(heard).args(with).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(120), command.output())
        .await
        .context("callbox call did not come to its end")??;
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    Ok((ended.status.success(), said))
}

/// One run of a SIPp scenario of `tests/fixtures/sipp`.
pub struct Sipp<'a> {
    pub scenario: &'a str,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub number: &'a str,
    pub calls: u32,
    pub rate: u32,
    /// Length of `<pause/>`.
    pub pause_ms: u32,
    pub tcp: bool,
}

impl Sipp<'_> {
    /// Fails with SIPp's own words when a single call does not go as the scenario says.
    pub async fn run(&self, scratch: &Path) -> Result<()> {
        fs::create_dir_all(scratch)?;
        let mut command = Command::new("sipp");
        command
            .current_dir(scratch)
            .arg(format!("{}:5060", self.to))
            .arg("-sf")
            .arg(fixture(&format!("sipp/{}.xml", self.scenario)))
            .args(["-s", self.number, "-nostdin", "-trace_err", "-trace_stat", "-error_file", "errors.log"])
            .args(["-i", &self.from.to_string(), "-mi", &self.from.to_string(), "-p", "5070"])
            .args(["-m", &self.calls.to_string(), "-r", &self.rate.to_string(), "-l", &self.calls.to_string()])
            .args(["-d", &self.pause_ms.to_string(), "-timeout", "100", "-timeout_error"])
            .args(["-t", if self.tcp { "t1" } else { "u1" }])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(120), command.output())
            .await
            .context("SIPp did not come to its end")?
            .context("cannot run sipp (Debian package sip-tester)")?;
        if ended.status.success() {
            return Ok(());
        }
        let errors = fs::read_to_string(scratch.join("errors.log")).unwrap_or_default();
        let screen = String::from_utf8_lossy(&ended.stdout);
        let tail: Vec<_> = screen.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
        bail!("SIPp {}: {}\n{}\n{}", self.scenario, ended.status, errors, tail.join("\n"));
    }
}

/// Takes as many calls (dialogs, registrations) as a scenario of `tests/fixtures/sipp` says, as a
/// carrier does. Fails when one does not go as it says.
pub async fn sipp_takes(scenario: &str, at: Ipv4Addr, calls: u32, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let mut command = Command::new("sipp");
    command
        .current_dir(scratch)
        .arg("-sf")
        .arg(fixture(&format!("sipp/{scenario}.xml")))
        .args(["-nostdin", "-trace_err", "-error_file", "errors.log", "-t", "u1"])
        .args(["-i", &at.to_string(), "-mi", &at.to_string(), "-p", "5060", "-m", &calls.to_string()])
        .args(["-timeout", "40", "-timeout_error"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .context("SIPp did not come to its end")?
        .context("cannot run sipp (Debian package sip-tester)")?;
    if ended.status.success() {
        return Ok(());
    }
    let errors = fs::read_to_string(scratch.join("errors.log")).unwrap_or_default();
    bail!("SIPp {scenario}: {}\n{errors}\n{}", ended.status, String::from_utf8_lossy(&ended.stdout));
}

/// baresip, remote-controlled over its netstring socket.
pub struct Baresip {
    child: Child,
    control: tokio::net::TcpStream,
    folder: PathBuf,
}

impl Baresip {
    /// `plays` is a WAV of 8 kHz, mono.
    pub async fn start(address: Ipv4Addr, folder: &Path, plays: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("rec"))?;
        fs::write(
            folder.join("config"),
            format!(
                "sip_listen {address}:5060\naudio_source aufile,{plays}\naudio_player aufile,{folder}/played.wav\n\
                 audio_alert aufile,{plays}\nrtp_ports 21000-21100\nmodule_path /usr/lib/baresip/modules\n\
                 module g711.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp uuid.so\nmodule_tmp account.so\n\
                 module_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {address}:4444\nsnd_path {folder}/rec\n\
                 net_interface lo\n",
                plays = plays.display(),
                folder = folder.display(),
            ),
        )?;
        fs::write(
            folder.join("accounts"),
            format!("<sip:baresip@{address}:5060>;regint=0;audio_codecs=PCMU,PCMA;dtmfmode=rtpevent\n"),
        )?;
        fs::write(folder.join("contacts"), "")?;
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new("baresip")
            .arg("-f")
            .arg(folder)
            .arg("-v")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run baresip (Debian package baresip-core)")?;
        for _ in 0..200 {
            if let Ok(control) = tokio::net::TcpStream::connect((address, 4_444)).await {
                return Ok(Self { child, control, folder: folder.to_owned() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("baresip did not open its control socket:\n{}", fs::read_to_string(folder.join("log"))?);
    }

    pub async fn dial(&mut self, uri: &str) -> Result<()> {
        self.command("dial", uri).await
    }

    pub async fn press(&mut self, digit: char) -> Result<()> {
        self.command("sndcode", &digit.to_string()).await
    }

    pub async fn hang_up(&mut self) -> Result<()> {
        self.command("hangup", "").await
    }

    async fn command(&mut self, name: &str, with: &str) -> Result<()> {
        let body = serde_json::json!({ "command": name, "params": with, "token": "t" }).to_string();
        self.control.write_all(format!("{}:{body},", body.len()).as_bytes()).await?;
        // Answers and events are not needed, but must be read, or the phone stops.
        let mut sink = [0u8; 65_536];
        let _ = tokio::time::timeout(Duration::from_millis(50), self.control.read(&mut sink)).await;
        Ok(())
    }

    /// Until its log says so.
    pub async fn until(&self, words: &str, within: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        while tokio::time::Instant::now() < deadline {
            if self.log().contains(words) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("baresip did not say `{words}`:\n{}", self.log());
    }

    /// Ends the phone; what it heard.
    pub async fn heard(mut self) -> Result<PathBuf> {
        let _ = self.command("quit", "").await;
        if tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        let mut recordings: Vec<_> = fs::read_dir(self.folder.join("rec"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        recordings.sort();
        recordings.pop().with_context(|| format!("baresip recorded nothing:\n{}", self.log()))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// linphonec, by its console. What it heard is in the WAV.
pub async fn linphone(
    address: Ipv4Addr,
    folder: &Path,
    plays: &Path,
    uri: &str,
    presses: &[(Duration, &str)],
    length: Duration,
) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let heard = folder.join("heard.wav");
    fs::write(
        folder.join("rc"),
        format!("[net]\nmtu=1300\n[sip]\nguess_hostname=0\ncontact=sip:linphone@{address}\n[sound]\nremote_ring=\n"),
    )?;
    let mut child = Command::new("linphonec")
        .arg("-c")
        .arg(folder.join("rc"))
        .env("HOME", folder)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(folder.join("log"))?)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run linphonec (Debian package linphone-cli)")?;
    let mut console = child.stdin.take().context("linphonec has no console")?;
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    pause(2_000).await;
    for line in [
        "ipv6 disable".to_owned(),
        "ports sip 5080".to_owned(),
        "soundcard use files".to_owned(),
        format!("play {}", plays.display()),
        format!("record {}", heard.display()),
    ] {
        console.write_all(format!("{line}\n").as_bytes()).await?;
        pause(200).await;
    }
    pause(1_000).await;
    console.write_all(format!("call {uri}\n").as_bytes()).await?;
    let mut at = Duration::ZERO;
    for (when, digits) in presses {
        tokio::time::sleep(when.saturating_sub(at)).await;
        at = *when;
        console.write_all(format!("{digits}\n").as_bytes()).await?;
    }
    tokio::time::sleep(length.saturating_sub(at)).await;
    for line in ["terminate", "quit"] {
        let _ = console.write_all(format!("{line}\n").as_bytes()).await;
        pause(1_000).await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
    let _ = child.kill().await;
    if !heard.exists() {
        bail!("linphonec recorded nothing:\n{}", fs::read_to_string(folder.join("log"))?);
    }
    Ok(heard)
}

/// PJSUA2: what it printed, and what it heard.
pub async fn pjsua(
    address: Ipv4Addr,
    folder: &Path,
    uri: &str,
    presses: &[(f32, char)],
    seconds: f32,
) -> Result<(String, PathBuf)> {
    fs::create_dir_all(folder)?;
    let heard = folder.join("heard.wav");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/phones/bin/python");
    let mut command = Command::new(&python);
    command
        .arg(fixture("phones/pjsua.py"))
        .args([uri, &address.to_string(), "5060"])
        .arg(&heard)
        .arg(seconds.to_string())
        .args(presses.iter().map(|(at, digit)| format!("{at}:{digit}")))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs_f32(seconds + 30.0), command.output())
        .await
        .context("PJSUA2 did not come to its end")?
        .with_context(|| format!("cannot run {} (made by tests/setup/phones)", python.display()))?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    if !ended.status.success() {
        bail!("PJSUA2 ended with {}:\n{said}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr));
    }
    Ok((said, heard))
}
