//! The driver: its threads, who runs on them, and the handle the node holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callbox_model::{ApplicationId, CallId, CallInfo, Direction, Limits, ModuleId, Outcome, RunId, TenantId, World};
use tokio::sync::Notify;
use wasmtime::Engine;

use crate::artifact::{Artifacts, digest_of};
use crate::cache::Cache;
use crate::compile::{Admitted, admit};
use crate::geometry::{Kernel, fit};
use crate::host::{Host, linker};
use crate::run::{Events, GuestEnd, Run, SandboxEvent, StartControl, What};
use crate::ticker::Ticker;
use crate::{Config, Error, Report, UploadRefused, control, engine, meter};

pub struct Service;

/// Cheap to clone. The threads end when the last one is gone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
    threads: Arc<Threads>,
}

/// What an accepted upload is.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Of `component`.
    pub digest: String,
    pub world: World,
    /// `interface.function` names of the contract.
    pub imports: Vec<String>,
    /// Linear memory at start.
    pub initial_memory_bytes: u64,
    /// To be stored: the upload, or what a core module was made into.
    pub component: Vec<u8>,
}

impl Service {
    /// Checks the machine, makes the pool and starts the threads.
    pub fn start(
        config: Config,
        limits: Limits,
        host: Arc<dyn Host>,
        events: Arc<dyn Fn(SandboxEvent) + Send + Sync>,
    ) -> Result<(Handle, Report), Error> {
        let report = fit(&limits, Kernel::read(), wasmtime::PoolingAllocationConfig::is_pagemap_scan_available());
        if report.instances == 0 {
            return Err(Error::NoRoom(report.warnings.join("; ")));
        }
        let engine = engine::pooled(&limits, report.instances + TRIALS)?;
        let artifacts = Artifacts::open(&config, &engine)?;
        let linker = linker(&engine)?;
        let ticker = Ticker::start(engine.clone()).map_err(Error::Thread)?;
        let cache =
            Cache::new(engine.clone(), linker, artifacts, config.compilers, config.loaded_modules, limits.clone());
        let inner = Arc::new(Inner {
            engine,
            cache,
            host,
            events,
            ticker: Arc::new(ticker),
            clock_ns: meter::calibrate_ns(),
            instances: report.instances,
            live: Live::default(),
            late: AtomicU64::new(0),
            runs: Mutex::default(),
            seats: Mutex::default(),
        });
        let threads = (0..config.threads.max(1))
            .map(|number| Thread::start(number, config.nice))
            .collect::<Result<_, _>>()
            .map_err(Error::Thread)?;
        Ok((Handle { inner, threads: Arc::new(Threads(threads)) }, report))
    }
}

impl Handle {
    /// Begins a Run. Whatever comes of it, [`What::Ended`] follows.
    pub fn start(&self, start: StartControl) {
        let run = Arc::new(Run::new(&start, Arc::clone(&self.inner.events)));
        self.inner.runs().insert(run.id, Arc::clone(&run));
        let thread = self.threads.least_loaded();
        let task = control::control(Arc::clone(&self.inner), Arc::clone(thread), run, start);
        drop(thread.runtime.spawn(task));
    }

    /// The outcome of what the guest asked for. One that comes too late changes nothing, and is counted.
    pub fn outcome(&self, run: RunId, ask: u64, outcome: Outcome) {
        let waiting = self.inner.runs().get(&run).cloned();
        if !waiting.is_some_and(|run| run.answer(ask, outcome)) {
            self.inner.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Drops the guest where it stands, and everything it held.
    pub fn stop(&self, run: RunId) {
        if let Some(run) = self.inner.runs().get(&run) {
            run.stop.notify_one();
        }
    }

    /// Asks for [`What::Sampled`]. A Run that ends meanwhile may say it behind its end.
    pub fn sample(&self, run: RunId) {
        let found = self.inner.runs().get(&run).cloned();
        let Some(run) = found else { return };
        let theirs = Arc::clone(&self.inner);
        // On a guests' thread, so that it comes in order with what the guest does.
        drop(self.threads.least_loaded().runtime.spawn(async move {
            // The lock is not held while it is told: whoever hears it may ask for something.
            let is_alive = theirs.runs().contains_key(&run.id);
            if is_alive {
                let usage = run.meter().usage(Instant::now());
                run.tell(What::Sampled(usage));
            }
        }));
    }

    /// Looks at an upload, compiles it and tries whether it can be started.
    pub async fn accept(&self, upload: Vec<u8>, limits: Arc<Limits>) -> Result<Described, UploadRefused> {
        let (inner, thread) = (Arc::clone(&self.inner), Arc::clone(self.threads.least_loaded()));
        let work = async move { accept(inner, thread, upload, limits).await };
        let task = self.threads.least_loaded().runtime.spawn(work);
        task.await.unwrap_or_else(|error| Err(UploadRefused::node(format!("looking at the upload: {error}"))))
    }

    /// Compiles these modules where there is no compiled form of this version, one after the other,
    /// and removes the forms of all others. `failed` is told of those that cannot be had.
    /// How many were compiled, and how many files are gone.
    pub async fn prepare(
        &self,
        modules: &[(ModuleId, String)],
        failed: impl Fn(ModuleId, callbox_model::Fault),
    ) -> (usize, usize) {
        let missing: Vec<_> = modules.iter().filter(|(_, digest)| !self.inner.cache.has(digest)).collect();
        for (module, digest) in &missing {
            if let Err(fault) = self.inner.cache.prepare(&self.inner.host, *module, digest).await {
                failed(*module, fault);
            }
        }
        let digests: Vec<_> = modules.iter().map(|(_, digest)| digest.clone()).collect();
        (missing.len(), self.inner.cache.sweep(&digests))
    }

    /// Stores that exist.
    pub fn live(&self) -> usize {
        self.inner.live.0.load(Ordering::SeqCst)
    }

    /// Outcomes that came when nobody waited for them.
    pub fn late_outcomes(&self) -> u64 {
        self.inner.late.load(Ordering::Relaxed)
    }

    /// Epoch ticks so far. They stand still while no guest is polled.
    pub fn ticks(&self) -> u64 {
        self.inner.ticker.ticks()
    }
}

async fn accept(
    inner: Arc<Inner>,
    thread: Arc<Thread>,
    upload: Vec<u8>,
    limits: Arc<Limits>,
) -> Result<Described, UploadRefused> {
    let theirs = Arc::clone(&limits);
    let Admitted { component, imports } = tokio::task::spawn_blocking(move || admit(&upload, &theirs))
        .await
        .unwrap_or_else(|error| Err(UploadRefused::node(format!("looking at the upload: {error}"))))?;
    let digest = digest_of(&component);
    let (compiled, pre) = inner.cache.take_in(&limits, &digest, &component).await?;
    if let Some(needs) = compiled.resources_required() {
        let over = |code, what: &str, count: u64, most: u64| {
            Err(UploadRefused::new(code, format!("it needs {count} {what} in all: at most {most}")))
        };
        if needs.num_memories > limits.memories {
            return over("too-many-memories", "memories", needs.num_memories.into(), limits.memories.into());
        }
        if needs.num_tables > limits.tables {
            return over("too-many-tables", "tables", needs.num_tables.into(), limits.tables.into());
        }
    }
    let run = Arc::new(Run::new(&trial_of(&limits), Arc::new(|_| {})));
    let end = control::trial(inner, thread, Arc::clone(&run), pre).await;
    let initial_memory_bytes = run.meter().usage(Instant::now()).peak_memory_bytes;
    match end {
        GuestEnd::Ok => Ok(Described { digest, world: World::CallHandler, imports, initial_memory_bytes, component }),
        GuestEnd::Fault(fault) if fault.code.blame() == callbox_model::Blame::Node => {
            Err(UploadRefused::node(fault.to_string()))
        }
        GuestEnd::Fault(fault) => Err(UploadRefused::new("start-failed", fault.to_string())),
        GuestEnd::Err(_) | GuestEnd::Stopped => Err(UploadRefused::node("the trial was stopped")),
    }
}

/// A Run of nobody's, for the length of a trial.
fn trial_of(limits: &Arc<Limits>) -> StartControl {
    let call = CallId::from_u128(0);
    StartControl {
        call,
        run: RunId::from_u128(0),
        tenant: TenantId::from_u128(0),
        application: ApplicationId::from_u128(0),
        module: ModuleId::from_u128(0),
        digest: String::new(),
        info: CallInfo {
            id: call,
            direction: Direction::Inbound,
            caller: String::new(),
            called: String::new(),
            number: String::new(),
            application: String::new(),
            headers: Vec::new(),
            answered: false,
            input: None,
            predecessor: None,
            resume: None,
        },
        config: Arc::default(),
        secrets: Arc::default(),
        limits: Arc::clone(limits),
    }
}

/// What all threads share.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) cache: Cache,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) clock_ns: u64,
    pub(crate) live: Live,
    events: Events,
    instances: u32,
    late: AtomicU64,
    runs: Mutex<HashMap<RunId, Arc<Run>>>,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    taken: u32,
    by_tenant: HashMap<TenantId, u32>,
}

/// A place in the pool. Given back when dropped.
pub(crate) struct Seat {
    inner: Arc<Inner>,
    tenant: TenantId,
}

impl Inner {
    pub(crate) fn seat(self: &Arc<Self>, tenant: TenantId, limits: &Limits) -> Result<Seat, String> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.taken >= self.instances {
            return Err(format!("all {} instances of the node are in use", self.instances));
        }
        let permille = u64::from(limits.tenant_instances_permille);
        let share = u32::try_from(u64::from(self.instances) * permille / 1_000).unwrap_or(u32::MAX).max(1);
        let theirs = seats.by_tenant.entry(tenant).or_default();
        if *theirs >= share {
            return Err(format!("the tenant's share of {share} instances is in use"));
        }
        *theirs += 1;
        seats.taken += 1;
        Ok(Seat { inner: Arc::clone(self), tenant })
    }

    pub(crate) fn forget(&self, run: RunId) {
        self.runs().remove(&run);
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.inner.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.taken = seats.taken.saturating_sub(1);
        if let Some(theirs) = seats.by_tenant.get_mut(&self.tenant) {
            *theirs -= 1;
            if *theirs == 0 {
                seats.by_tenant.remove(&self.tenant);
            }
        }
    }
}

/// A count that falls by itself.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<AtomicUsize>);

pub(crate) struct Counted(Arc<AtomicUsize>);

impl Live {
    pub(crate) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(&self.0))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One thread of guests.
pub(crate) struct Thread {
    runtime: tokio::runtime::Handle,
    over: Notify,
    guests: Live,
    hungry: Live,
}

impl Thread {
    fn start(number: usize, nice: i32) -> std::io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = Arc::new(Self {
            runtime: runtime.handle().clone(),
            over: Notify::new(),
            guests: Live::default(),
            hungry: Live::default(),
        });
        let theirs = Arc::clone(&thread);
        std::thread::Builder::new().name(format!("guests-{number}")).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, nice) {
                tracing::warn!("guests' threads keep their priority: {error}");
            }
            runtime.block_on(theirs.over.notified());
            runtime.shutdown_background();
        })?;
        Ok(thread)
    }

    pub(crate) fn load(&self) -> Counted {
        self.guests.count()
    }

    /// Guests that wait for their next slice after many.
    pub(crate) fn hungry(&self) -> usize {
        self.hungry.0.load(Ordering::Relaxed)
    }

    pub(crate) fn hunger(&self) -> Counted {
        self.hungry.count()
    }
}

struct Threads(Vec<Arc<Thread>>);

impl Threads {
    #[expect(clippy::indexing_slicing, reason = "there is at least one thread")]
    fn least_loaded(&self) -> &Arc<Thread> {
        self.0.iter().min_by_key(|thread| thread.guests.0.load(Ordering::Relaxed)).unwrap_or(&self.0[0])
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in &self.0 {
            thread.over.notify_one();
        }
    }
}

/// Places of the pool for uploads that are tried: as many as come in at once.
const TRIALS: u32 = 4;
