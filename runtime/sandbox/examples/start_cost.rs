//! What a start costs: from `Handle::start` to the guest's first step, and the memory of a parked
//! guest. One line of JSON for each figure.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callbox_model::{ApplicationId, CallId, CallInfo, Direction, KvEntry, KvError, Limits, ModuleId, RunId, TenantId};
use callbox_sandbox::{
    Ambient, Answer, Config, Handle, Kv, Modules, Owner, SandboxEvent, Service, StartControl, Throttle, What, compile,
};

fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "compile-module") {
        return compile::child_main(&arguments[1..]);
    }
    let Some(path) = arguments.first() else {
        eprintln!("usage: start_cost MODULE.wasm (one that waits for an event at once)");
        return std::process::ExitCode::from(2);
    };
    let folder = std::env::temp_dir().join(format!("callbox-start-cost-{}", std::process::id()));
    let limits = Arc::new(Limits { instances: 2_000, tenant_instances_permille: 1_000, ..Limits::default() });
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let tell = Arc::new(move |event| {
        let told = (Instant::now(), event);
        if let Ok(sender) = sender.lock() {
            let _ = sender.send(told);
        }
    });
    let mut config = Config::new(&folder);
    config.threads = 1;
    let (handle, _) = Service::start(config, (*limits).clone(), Arc::new(Nothing), tell).expect("the sandbox starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let upload = std::fs::read(path).expect("the module can be read");
    let digest = runtime.block_on(handle.accept(upload, limits.clone())).expect("the module is taken").digest;
    let bench = Bench { handle, events, limits, digest };
    bench.starts();
    bench.parked();
    let _ = std::fs::remove_dir_all(folder);
    std::process::ExitCode::SUCCESS
}

struct Bench {
    handle: Handle,
    events: Receiver<(Instant, SandboxEvent)>,
    limits: Arc<Limits>,
    digest: String,
}

impl Bench {
    fn start(&self, run: u128) {
        let call = CallId::from_u128(run);
        self.handle.start(StartControl {
            call,
            run: RunId::from_u128(run),
            tenant: TenantId::from_u128(1),
            application: ApplicationId::from_u128(1),
            module: ModuleId::from_u128(1),
            digest: self.digest.clone(),
            info: CallInfo {
                id: call,
                direction: Direction::Inbound,
                caller: "sip:a@example.invalid".into(),
                called: "sip:100@example.invalid".into(),
                number: "100".into(),
                application: "bench".into(),
                headers: Vec::new(),
                answered: false,
                input: None,
                predecessor: None,
                resume: None,
            },
            config: Arc::new(BTreeMap::new()),
            secrets: Arc::default(),
            limits: Arc::clone(&self.limits),
        });
    }

    fn first_step(&self) -> Instant {
        loop {
            let (at, event) = self.events.recv_timeout(Duration::from_secs(30)).expect("a step");
            if matches!(event.what, What::Step { .. }) {
                return at;
            }
        }
    }

    /// One after the other, each stopped before the next.
    fn starts(&self) {
        let mut took = Vec::with_capacity(STARTS);
        for run in 0..WARM_UP + STARTS {
            let began = Instant::now();
            self.start(run as u128 + 1);
            let at = self.first_step();
            if run >= WARM_UP {
                took.push(at - began);
            }
            self.handle.stop(RunId::from_u128(run as u128 + 1));
            while self.handle.live() > 0 {
                std::thread::yield_now();
            }
        }
        took.sort();
        row("start-to-step-p50", micros(took[STARTS / 2]), "us", Some(50.0));
        row("start-to-step-p99", micros(took[STARTS * 99 / 100]), "us", Some(200.0));
    }

    fn parked(&self) {
        let before = taken_bytes();
        for run in 0..PARKED {
            self.start(1_000_000 + run as u128);
        }
        for _ in 0..PARKED {
            self.first_step();
        }
        let grown = taken_bytes().saturating_sub(before);
        row("parked-guest", grown as f64 / PARKED as f64 / 1_000.0, "kB", Some(64.0));
    }
}

fn row(name: &str, value: f64, unit: &str, limit: Option<f64>) {
    let met = limit.map_or_else(String::new, |limit| format!(",\"limit\":{limit},\"met\":{}", value <= limit));
    println!(
        "{{\"bench\":\"sandbox\",\"name\":\"{name}\",\"value\":{value:.3},\"unit\":\"{unit}\",\"yardstick\":null,\
         \"ratio\":null{met}}}"
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Pages that guests share are there once.
fn taken_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("the kernel tells");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("Pss");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a figure") * 1_024
}

/// A host that has nothing to lend.
struct Nothing;

impl Kv for Nothing {
    fn get(&self, _: Owner, _: String) -> Answer<'_, Result<Option<KvEntry>, KvError>> {
        Box::pin(async { Ok(None) })
    }
    fn put(&self, _: Owner, _: String, _: Vec<u8>, _: Option<u32>, _: Option<u32>) -> Answer<'_, Result<u32, KvError>> {
        Box::pin(async { Ok(1) })
    }
    fn remove(&self, _: Owner, _: String) -> Answer<'_, Result<(), KvError>> {
        Box::pin(async { Ok(()) })
    }
    fn add(&self, _: Owner, _: String, by: i64) -> Answer<'_, Result<i64, KvError>> {
        Box::pin(async move { Ok(by) })
    }
    fn keys(&self, _: Owner, _: String, _: Option<String>, _: u32) -> Answer<'_, Result<Vec<String>, KvError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Ambient for Nothing {
    fn now_ms(&self) -> f64 {
        0.0
    }
    fn uptime_ms(&self) -> u64 {
        0
    }
    fn random(&self) -> u32 {
        4
    }
}

impl Throttle for Nothing {
    fn spend(&self, _: TenantId, _: ModuleId, _: u64) -> Option<Duration> {
        None
    }
}

impl Modules for Nothing {
    fn component(&self, _: ModuleId) -> Answer<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async { Ok(None) })
    }
}

const WARM_UP: usize = 500;
const STARTS: usize = 2_000;
const PARKED: usize = 1_000;
