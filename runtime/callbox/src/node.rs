//! The node: introduces the drivers to each other, and to the calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use callbox_call::Input;
use callbox_model::{IdSource, KeyId, LegSource, ModuleState, Wall};
use callbox_store::{ApiKey, Page, Sqlite, Store, Writer, WriterHandle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::admission::{self, Admission, Lanes};
use crate::backend::{Backend, Parts};
use crate::clock::{Clock, wall};
use crate::config::{Config, Synchronous};
use crate::directory::EgressRules;
use crate::drive::{Assets, Drive, Lent};
use crate::lane::{Inbox, Lane, Message};
use crate::limited::Limited;
use crate::metering;
use crate::outbound::Outbounds;
use crate::registered::Keeper;
use crate::routing::Routing;
use crate::sealed::SealingKey;
use crate::trunks::TrunkStates;

pub struct Node {
    pub started: Started,
    drain: Duration,
    lanes: Arc<Lanes>,
    threads: Vec<JoinHandle<()>>,
    admission: Arc<Admission>,
    signal: callbox_signal::Service,
    handle: callbox_signal::Handle,
    media: callbox_media::Service,
    writer: WriterHandle,
    api: callbox_api::Handle,
}

/// What to tell the operator.
pub struct Started {
    pub sip: Vec<(&'static str, std::net::SocketAddr)>,
    pub api: std::net::SocketAddr,
    pub health: std::net::SocketAddr,
    pub voices: Vec<&'static str>,
    pub instances: u32,
    pub warnings: Vec<String>,
    pub data_dir: PathBuf,
}

impl Node {
    /// Must be called on a tokio runtime, which everything but packets, calls and guests runs on.
    /// At the first start, `tell_key` is given the first operator's key before it opens anything.
    pub async fn start(config: Config, tell_key: impl FnOnce(&str) -> Result<()>) -> Result<Self> {
        let clock = Clock::start();
        raise_open_files();
        let folder = config.node.data_dir.clone();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let limits = Arc::new(config.limits.clone());
        let metrics = metering::install()?;
        crate::fatal::install();

        let store = open_store(&config).await?;
        let lost = store.close_lost(wall()).await.context("cannot close what the last process left open")?;
        if lost.calls > 0 {
            warn!(calls = lost.calls, runs = lost.runs, "the last process died with calls; they are closed now");
        }
        let writer_config =
            callbox_store::writer::Config { queue: config.store.queue, ..callbox_store::writer::Config::default() };
        let writer = Writer::start(store.clone(), writer_config, wall);
        let seed = getrandom::u64().context("the operating system gave no random bytes")?;
        let epoch = (wall().as_micros() / 1_000_000) as u16;
        let ids = Arc::new(IdSource::new(config.node.ordinal, epoch, seed));
        let sealing = Arc::new(SealingKey::load_or_make(&folder.join("secrets.key"))?);
        first_key(&store, &ids, tell_key).await?;
        let egress = egress_rules(&config);
        let routing = Routing::start(store.clone(), sealing.clone(), limits.clone(), egress)
            .await
            .context("cannot read the directory of numbers")?;

        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let or_cores = |count: usize| if count == 0 { cores } else { count };
        let lane_threads = if config.node.lanes == 0 { lane_threads(cores) } else { config.node.lanes };
        let inboxes = match lane_threads {
            0 => vec![Inbox::of_task(config.node.lane_queue)],
            threads => (0..threads).map(|_| Inbox::of_thread(config.node.lane_queue)).collect(),
        };
        let lanes = Arc::new(Lanes::new(inboxes));

        let recordings = folder.join("recordings");
        let media_config = callbox_media::Config {
            threads: or_cores(config.media.threads),
            ports: (config.media.port_low, config.media.port_high),
            quarantine: Duration::from_secs(config.media.port_quarantine_s.into()),
            silence: Duration::from_secs(config.media.silence_s.into()),
            recordings_dir: recordings.clone(),
            ..callbox_media::Config::default()
        };
        let voice = callbox_media::Engines::find(
            config.voice.flite.clone(),
            config.voice.espeak_ng.clone(),
            media_config.speak_within,
        );
        let voices = voice.names();
        let assets = Arc::new(Assets::new(store.clone(), tokio::runtime::Handle::current()));
        let to = lanes.clone();
        let media_events: callbox_media::Events = Arc::new(move |leg, event| {
            if let Some(inbox) = to.of_leg(leg) {
                inbox.send(Message::Media(leg, event));
            }
        });
        let (media, media_handle) = callbox_media::Service::start(media_config, assets, Arc::new(voice), media_events)?;

        let mut sandbox_config = callbox_sandbox::Config::new(folder.join("compiled"));
        sandbox_config.threads = or_cores(config.sandbox.threads);
        let limited = Limited::start(clock, store.clone());
        let lent = Arc::new(Lent::new(store.clone(), limits.clone(), clock, limited.clone()));
        let to = lanes.clone();
        let stray = metrics::counter!("sandbox_stray_events_total");
        let tell = Arc::new(move |event: callbox_sandbox::SandboxEvent| match to.of_call(event.call) {
            Some(inbox) => inbox.send(Message::Sandbox(event)),
            None => stray.increment(1),
        });
        let (sandbox, report) = callbox_sandbox::Service::start(sandbox_config, (*limits).clone(), lent, tell)?;

        prepare_modules(&store, &sandbox).await?;

        let load = writer.clone();
        let legs = Arc::new(LegSource::default());
        let trunk_states = TrunkStates::start(store.clone(), routing.current());
        let admission = Arc::new(Admission::new(admission::Parts {
            allow: config.sip.allow.clone(),
            directory: routing.current(),
            lanes: lanes.clone(),
            ids: ids.clone(),
            legs: legs.clone(),
            load: Box::new(move || load.load()),
            limited: limited.clone(),
            limits: limits.clone(),
            keeper: Keeper::start(store.clone()),
            trunk_states: trunk_states.clone(),
        }));
        let to = lanes.clone();
        let leg_events: callbox_signal::Events = Arc::new(move |leg, event| {
            if let Some(inbox) = to.of_leg(leg) {
                inbox.send(Message::Leg(leg, event));
            }
        });
        let listen = |(transport, address)| callbox_signal::Listen { transport, address };
        let signal_config = callbox_signal::Config {
            listen: config.sip.listeners().map(listen).collect(),
            tls: config.sip.tls(),
            dns: config.sip.dns.clone(),
            advertised: config.sip.advertised,
            requests_per_s_per_source: config.sip.requests_per_s_per_source,
            ..callbox_signal::Config::default()
        };
        let registrations = store.registrations(wall()).await.context("cannot read who is registered")?;
        let (signal, signal_handle) =
            callbox_signal::Service::start(signal_config, admission.clone(), leg_events, registrations)?;
        let outbounds =
            Arc::new(Outbounds::new(clock, limits.clone(), writer.clone(), limited.clone(), signal_handle.clone()));
        restore_outbound(&store, &outbounds).await?;
        tokio::spawn(outbounds.clone().run());
        tokio::spawn(trunk_states.clone().follow(routing.current(), signal_handle.clone(), routing.changes()));

        let drive = Drive {
            signal: signal_handle.clone(),
            media: media_handle.clone(),
            sandbox: sandbox.clone(),
            writer: writer.clone(),
            lanes: lanes.clone(),
            ids: ids.clone(),
            legs,
            directory: routing.current(),
            outbounds: outbounds.clone(),
            local: local_address(&config),
        };
        let mut threads = Vec::new();
        for (number, inbox) in lanes.all().iter().enumerate() {
            let lane = Lane::new(number as u8, clock, inbox.clone(), drive.clone());
            if lane_threads == 0 {
                signal_handle.accompany(Box::new(move || Box::pin(lane.run_beside())));
                continue;
            }
            let thread = std::thread::Builder::new().name(format!("lane-{number}")).spawn(move || lane.run());
            threads.push(thread.context("cannot start a lane's thread")?);
        }

        let api_config = callbox_api::Config {
            listen: config.api.listen,
            health_listen: config.api.health_listen,
            max_connections: config.api.max_connections,
            requests_per_s_per_key: config.api.requests_per_s_per_key,
            limits: config.limits.clone(),
            ..callbox_api::Config::default()
        };
        let parts = Parts {
            store: store.clone(),
            writer: writer.clone(),
            sandbox: sandbox.clone(),
            media: media_handle,
            signal: signal_handle.clone(),
            lanes: lanes.clone(),
            admission: admission.clone(),
            routing: routing.clone(),
            sealing,
            limits,
            ids,
            clock,
            recordings,
            limited,
            drive: drive.clone(),
            trunk_states,
            api: config.api.listen,
        };
        let backend = Arc::new(Backend::new(parts).await.context("cannot read the API keys")?);
        let gauges = backend.clone();
        let render = Arc::new(move || {
            gauges.gauge();
            metrics.render()
        });
        let api = callbox_api::Service::start(api_config, backend, render).await?;
        tokio::spawn(housekeeping(store));

        let mut warnings = report.warnings;
        if voices.is_empty() {
            warnings.push("nothing can speak here: `say` will fail until flite or espeak-ng is installed".to_owned());
        }
        if media_priority_is_low(&drive) {
            warnings.push(
                "the kernel gives media threads no priority: grant CAP_SYS_NICE or LimitRTPRIO= to keep sound even \
                 under load"
                    .to_owned(),
            );
        }
        let started = Started {
            sip: signal_handle.listening().iter().map(|(transport, address)| (transport.name(), *address)).collect(),
            api: api.local_addr(),
            health: api.health_addr(),
            voices,
            instances: report.instances,
            warnings,
            data_dir: folder,
        };
        let drain = Duration::from_secs(config.node.drain_s.into());
        Ok(Self { started, drain, lanes, threads, admission, signal, handle: signal_handle, media, writer, api })
    }

    pub fn calls(&self) -> usize {
        self.lanes.calls()
    }

    /// Reads the TLS files again. What stands goes on with what it has.
    pub fn reload(&self) {
        match self.handle.reload_tls() {
            Ok(()) => info!("certificates were read again"),
            Err(error) => warn!(%error, "the certificates stay as they were"),
        }
    }

    /// Takes no more calls, waits for those that are there, hangs up the rest, and writes it all
    /// down. `hurry` ends the waiting.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.admission.close();
        let calls = self.calls();
        if calls > 0 {
            info!(calls, wait_s = self.drain.as_secs(), "waiting for calls to end");
            tokio::select! {
                () = self.until_empty(self.drain) => {}
                () = hurry => {}
            }
        }
        for inbox in self.lanes.all() {
            inbox.send(Message::All(|| Input::HangUp { by: "the node stops".to_owned() }));
        }
        self.until_empty(HANG_UP_WITHIN).await;
        if self.calls() > 0 {
            warn!(calls = self.calls(), "calls did not end; the next start closes them");
        }
        for inbox in self.lanes.all() {
            inbox.send(Message::Stop);
        }
        let _ = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                let _ = thread.join();
            }
            self.signal.stop();
            self.media.stop();
        })
        .await;
        if let Err(error) = self.writer.flush(FLUSH_WITHIN).await {
            warn!(%error, "not all is written down");
        }
        self.api.shutdown().await;
        info!("stopped");
    }

    async fn until_empty(&self, within: Duration) {
        let empty = async {
            while self.calls() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(within, empty).await;
    }
}

/// On small machines calls are on signalling's thread: one thread does some thousand calls a second,
/// and what is said between two threads costs more than what is done about it.
fn lane_threads(cores: usize) -> usize {
    if cores <= SMALL { 0 } else { cores / 2 }
}

/// The node's own sockets, and what the operator said.
fn egress_rules(config: &Config) -> EgressRules {
    let everywhere = |address: SocketAddr| {
        // On every address of the machine: whichever that is, the port is ours.
        let machine = if address.ip().is_unspecified() { machine_addresses() } else { vec![address.ip()] };
        machine.into_iter().map(move |ip| SocketAddr::new(ip, address.port()))
    };
    let own = config.sip.listeners().map(|(_, address)| address).chain([config.api.listen, config.api.health_listen]);
    EgressRules {
        own: own.flat_map(everywhere).chain(config.egress.own.iter().copied()).collect(),
        open: config.egress.networks.as_slice().into(),
    }
}

/// Where this machine can be reached, as far as the kernel says.
fn machine_addresses() -> Vec<IpAddr> {
    let any = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let found = ["192.0.2.1:9", "[2001:db8::1]:9"].iter().filter_map(|far| way_to(far.parse().ok()?));
    any.into_iter().chain(found).collect()
}

/// The local address that packets to there would have. Nothing is sent.
fn way_to(far: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if far.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Named in session descriptions of calls that go out, until it is known which network leads there.
fn local_address(config: &Config) -> IpAddr {
    let listening = config.sip.listeners().map(|(_, address)| address.ip()).find(|ip| !ip.is_unspecified());
    let towards = || way_to(SocketAddr::from(([192, 0, 2, 1], 9)));
    config.sip.advertised.or(listening).or_else(towards).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// What tenants have bought today, and where they ever called.
async fn restore_outbound(store: &Arc<dyn Store>, outbounds: &Outbounds) -> Result<()> {
    let kept = store.directory().await.context("cannot read the tenants")?;
    for tenant in kept.tenants {
        let usage = store.outbound_usage(tenant.id, wall()).await.context("cannot read what tenants have bought")?;
        outbounds.restore(tenant.id, usage);
    }
    Ok(())
}

async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    let file = config.node.data_dir.join("callbox.db");
    let mut settings = callbox_store::sqlite::Config::new(&file);
    settings.synchronous = match config.store.synchronous {
        Synchronous::Normal => callbox_store::sqlite::Synchronous::Normal,
        Synchronous::Full => callbox_store::sqlite::Synchronous::Full,
    };
    let store = Sqlite::open(settings).await.with_context(|| format!("cannot open the database {}", file.display()))?;
    Ok(Arc::new(store))
}

/// After an upgrade everything is compiled anew, before calls come that would have to wait for it.
async fn prepare_modules(store: &Arc<dyn Store>, sandbox: &callbox_sandbox::Handle) -> Result<()> {
    let kept = store.directory().await.context("cannot read the directory of modules")?;
    let modules: Vec<_> = kept
        .modules
        .iter()
        .filter(|module| module.state != ModuleState::Quarantined)
        .map(|module| (module.id, module.digest.clone()))
        .collect();
    let (compiled, removed) = sandbox
        .prepare(&modules, |module, fault| warn!(module.id = %module, %fault, "a module cannot be compiled"))
        .await;
    if compiled + removed > 0 {
        info!(compiled, removed, "modules were compiled for this version, and what was left of others removed");
    }
    Ok(())
}

/// At the first start there is nobody yet who could make a key.
async fn first_key(store: &Arc<dyn Store>, ids: &IdSource, tell: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let kept = store.keys(callbox_store::Role::Operator, Page::first(1)).await.context("cannot read the API keys")?;
    if !kept.is_empty() {
        return Ok(());
    }
    let secret = callbox_api::key::Secret::random()?;
    let created = wall();
    let id = KeyId::new(ids, created);
    let (hash, name) = (secret.hash(), "first".to_owned());
    let key = ApiKey { id, role: callbox_store::Role::Operator, hash, name, created, revoked: None };
    // Told first: a key that is kept and that nobody knows would lock everybody out.
    tell(&secret.into_key(id))?;
    store.create_key(&key).await.context("cannot keep the first API key")
}

/// What is done now and then, for as long as the node runs.
async fn housekeeping(store: Arc<dyn Store>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING_EVERY).await;
        if let Err(error) = store.kv_purge(wall()).await {
            warn!(%error, "keys that ran out are still there");
        }
        let long_over = Wall(wall().as_micros() - RENEWALS_WITHIN_US);
        // A thousand at a time, so that others get at the database between.
        loop {
            match store.purge_registrations(long_over, wall()).await {
                Ok(1_000..) => tokio::task::yield_now().await,
                Ok(_) => break,
                Err(error) => {
                    warn!(%error, "registrations that ran out are still there");
                    break;
                }
            }
        }
    }
}

/// To what is permitted: shells give 1,024, for the sake of programs that use `select`. A call takes two.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

fn media_priority_is_low(drive: &Drive) -> bool {
    drive.media.priority() == "normal"
}

/// Cores of a small machine.
const SMALL: usize = 4;
const HANG_UP_WITHIN: Duration = Duration::from_secs(10);
const FLUSH_WITHIN: Duration = Duration::from_secs(30);
/// A renewal may still be on its way to the store.
const RENEWALS_WITHIN_US: i64 = 60_000_000;
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);
