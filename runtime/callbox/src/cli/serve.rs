//! `callbox serve`.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::ServeArgs;
use crate::config::{Config, MANUAL};
use crate::node::{Node, Started};

pub fn run(args: ServeArgs) -> Result<ExitCode> {
    if args.print_config {
        print!("{MANUAL}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(folder) = args.data_dir {
        config.node.data_dir = folder;
    }
    log_to_stderr();
    let is_loopback_only = config.is_loopback_only();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("node")
        .enable_all()
        .build()
        .context("cannot start the node's threads")?;
    runtime.block_on(async {
        let mut stop = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let node = Node::start(config, |key| tell_key(key, args.key_file.as_deref())).await?;
        report(&node.started, is_loopback_only);
        let mut again = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        loop {
            tokio::select! {
                _ = stop.recv() => break,
                _ = interrupt.recv() => break,
                _ = again.recv() => node.reload(),
            }
        }
        info!("stopping; once more does not wait for calls");
        node.stop(async {
            tokio::select! {
                _ = stop.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
        Ok(ExitCode::SUCCESS)
    })
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// The one moment at which the key can be seen.
fn tell_key(key: &str, file: Option<&Path>) -> Result<()> {
    let Some(path) = file else {
        println!("The operator's API key, shown this once and kept nowhere:\n\n    {key}\n");
        return Ok(());
    };
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        writeln!(file, "{key}")?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write the operator's API key to {}", path.display()))
}

fn report(started: &Started, is_loopback_only: bool) {
    for (transport, address) in &started.sip {
        info!(%address, "SIP over {transport}");
    }
    info!(api = %started.api, health = %started.health, "HTTP");
    info!(
        data = %started.data_dir.display(),
        instances = started.instances,
        voices = started.voices.join(", "),
        "the node is ready"
    );
    for warning in &started.warnings {
        warn!("{warning}");
    }
    if is_loopback_only {
        info!(
            "only this machine can call: set sip.udp, sip.tcp, sip.advertised and sip.allow to open it \
             (`callbox serve --print-config`)"
        );
    }
}
