//! What a store holds for its guest, and what the guest may grow to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use callbox_model::{Outcome, Step, StepError};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::classify::Kill;
use crate::host::Host;
use crate::log_lines::LogLines;
use crate::meter::Pace;
use crate::run::Run;

pub(crate) struct Guest {
    pub(crate) run: Arc<Run>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) secrets: Arc<BTreeMap<String, String>>,
    pub(crate) log: Arc<Mutex<LogLines>>,
    pub(crate) resources: ResourceTable,
    /// Made when first needed: many guests never ask for anything of WASI.
    pub(crate) wasi: Option<Box<WasiCtx>>,
}

impl Guest {
    pub(crate) fn new(
        run: Arc<Run>,
        host: Arc<dyn Host>,
        config: Arc<BTreeMap<String, String>>,
        secrets: Arc<BTreeMap<String, String>>,
    ) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(run.limits.handles as usize);
        let log = Arc::new(Mutex::new(LogLines::new(Arc::clone(&run))));
        Self { run, host, config, secrets, log, resources, wasi: None }
    }

    /// Every host function begins here.
    pub(crate) async fn called(&mut self, name: &'static str) -> wasmtime::Result<()> {
        let pace = self.run.meter().host_call(name, Instant::now(), &self.run.limits);
        match pace {
            Pace::Go => Ok(()),
            Pace::Over => Err(Kill::HostCalls.into()),
            Pace::Wait(pause) => {
                self.run.waiting(tokio::time::sleep(pause)).await;
                Ok(())
            }
        }
    }

    pub(crate) async fn step(&mut self, name: &'static str, step: Step) -> wasmtime::Result<Outcome> {
        self.called(name).await?;
        let answer = self.run.ask(step);
        answer.await.map_err(|_| Kill::Node(format!("nobody answered `{name}`")).into())
    }

    /// A step whose only result is that it was done.
    pub(crate) async fn done(&mut self, name: &'static str, step: Step) -> wasmtime::Result<Result<(), StepError>> {
        match self.step(name, step).await? {
            Outcome::Done => Ok(Ok(())),
            Outcome::Failed(error) => Ok(Err(error)),
            other => Err(unfit(name, &other)),
        }
    }

    pub(crate) fn log_line(&self, level: &'static str, message: &str) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).line(level, message);
    }
}

/// The node answered a step with the outcome of another kind.
pub(crate) fn unfit(name: &'static str, outcome: &Outcome) -> wasmtime::Error {
    let kind = match outcome {
        Outcome::Done => "done",
        Outcome::Info(_) => "info",
        Outcome::Played(_) => "played",
        Outcome::Gathered(_) => "gathered",
        Outcome::Recorded(_) => "recorded",
        Outcome::Started(_) => "started",
        Outcome::Event(_) => "event",
        Outcome::Legs(_) => "legs",
        Outcome::Headers(_) => "headers",
        Outcome::Dialling(_) => "dialling",
        Outcome::Status(_) => "status",
        Outcome::Failed(_) => "failed",
    };
    Kill::Node(format!("`{name}` was answered with `{kind}`")).into()
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.run.meter().memory(0, Instant::now());
        self.log.lock().unwrap_or_else(PoisonError::into_inner).confess();
    }
}

impl wasmtime::ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let mut meter = self.run.meter();
        // Of all memories together: QuickJS guests have two.
        let total = meter.memory_bytes().saturating_sub(current as u64).saturating_add(desired as u64);
        if total > self.run.limits.memory_bytes {
            meter.refused_memory = true;
            return Ok(false);
        }
        meter.memory(total, Instant::now());
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired as u64 <= self.run.limits.table_elements;
        if !fits {
            self.run.meter().refused_table = true;
        }
        Ok(fits)
    }

    fn memories(&self) -> usize {
        self.run.limits.memories as usize
    }

    fn tables(&self) -> usize {
        self.run.limits.tables as usize
    }

    fn instances(&self) -> usize {
        self.run.limits.core_instances as usize
    }
}
