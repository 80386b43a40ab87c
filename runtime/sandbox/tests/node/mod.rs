//! A node of one sandbox, and guests written as text.

#![expect(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callbox_model::{
    ApplicationId, CallId, CallInfo, Direction, Fault, KvEntry, KvError, Limits, ModuleId, Outcome, RunId, RunUsage,
    TenantId,
};
use callbox_sandbox::{
    Ambient, Answer, Config, Described, GuestEnd, Handle, Kv, Modules, Owner, SandboxEvent, Service, StartControl,
    Throttle, UploadRefused, What,
};

pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) events: Receiver<SandboxEvent>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) folder: tempfile::TempDir,
    lent: Arc<Lent>,
    runs: AtomicU64,
    tokio: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Lent {
    components: Mutex<HashMap<ModuleId, Vec<u8>>>,
    chance: AtomicU32,
}

impl Node {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with(limits, tempfile::tempdir().unwrap())
    }

    pub(crate) fn with(limits: Limits, folder: tempfile::TempDir) -> Self {
        let mut config = Config::new(folder.path());
        config.threads = 1;
        config.compiler_command = vec![compiler().into()];
        let lent = Arc::new(Lent::default());
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let tell = Arc::new(move |event| drop(sender.lock().unwrap().send(event)));
        let (handle, report) =
            Service::start(config, limits.clone(), Arc::clone(&lent) as _, tell).expect("the sandbox starts");
        assert_eq!(report.instances, limits.instances, "{:?}", report.warnings);
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { handle, events, limits: Arc::new(limits), folder, lent, runs: AtomicU64::new(0), tokio }
    }

    /// What `ambient.random` gives from now on.
    pub(crate) fn chance(&self, number: u32) {
        self.lent.chance.store(number, Ordering::Relaxed);
    }

    pub(crate) fn accept(&self, upload: Vec<u8>) -> Result<Described, UploadRefused> {
        self.tokio.block_on(self.handle.accept(upload, Arc::clone(&self.limits)))
    }

    pub(crate) fn module(&self, number: u128, wat: &str) -> Installed {
        self.install(number, &component(wat))
    }

    pub(crate) fn install(&self, number: u128, upload: &[u8]) -> Installed {
        let described = self.accept(upload.to_vec()).expect("the module is taken");
        let module = ModuleId::from_u128(number);
        self.lent.components.lock().unwrap().insert(module, described.component.clone());
        Installed { module, digest: described.digest }
    }

    /// A module that another node took in: its component is here, its compiled form is not.
    pub(crate) fn borrow(&self, from: &Self, installed: &Installed) -> Installed {
        let component = from.lent.components.lock().unwrap()[&installed.module].clone();
        self.lent.components.lock().unwrap().insert(installed.module, component);
        Installed { module: installed.module, digest: installed.digest.clone() }
    }

    pub(crate) fn start(&self, installed: &Installed) -> RunId {
        self.start_for(installed, TenantId::from_u128(1), Arc::clone(&self.limits))
    }

    pub(crate) fn start_for(&self, installed: &Installed, tenant: TenantId, limits: Arc<Limits>) -> RunId {
        self.begin(installed, tenant, limits, BTreeMap::from([("greeting".to_owned(), "hello".to_owned())]))
    }

    pub(crate) fn start_set(&self, installed: &Installed, config: BTreeMap<String, String>) -> RunId {
        self.begin(installed, TenantId::from_u128(1), Arc::clone(&self.limits), config)
    }

    fn begin(
        &self,
        installed: &Installed,
        tenant: TenantId,
        limits: Arc<Limits>,
        config: BTreeMap<String, String>,
    ) -> RunId {
        let run = RunId::from_u128(u128::from(self.runs.fetch_add(1, Ordering::Relaxed) + 1));
        self.handle.start(StartControl {
            call: CallId::from_u128(7),
            run,
            tenant,
            application: ApplicationId::from_u128(1),
            module: installed.module,
            digest: installed.digest.clone(),
            info: info(),
            config: Arc::new(config),
            secrets: Arc::default(),
            limits,
        });
        run
    }

    /// The last handle goes away; what is told meanwhile, and then no more.
    pub(crate) fn stop(self) -> Receiver<SandboxEvent> {
        self.events
    }

    pub(crate) fn next(&self) -> SandboxEvent {
        self.events.recv_timeout(Duration::from_secs(60)).expect("an event within a minute")
    }

    /// Runs to the end; every step is answered with `Done`.
    pub(crate) fn end(&self, run: RunId) -> (GuestEnd, RunUsage) {
        loop {
            let event = self.next();
            assert_eq!(event.run, run);
            match event.what {
                What::Step { ask, .. } => self.handle.outcome(run, ask, Outcome::Done),
                What::Ended { end, usage } => return (end, usage),
                What::Sampled(_) | What::Log { .. } => {}
            }
        }
    }

    pub(crate) fn fault(&self, run: RunId) -> Fault {
        match self.end(run).0 {
            GuestEnd::Fault(fault) => fault,
            other => panic!("no fault: {other:?}"),
        }
    }
}

pub(crate) struct Installed {
    pub(crate) module: ModuleId,
    pub(crate) digest: String,
}

pub(crate) fn compiler() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push("compile_module");
    assert!(path.exists(), "build it first: cargo build -p callbox-sandbox --examples");
    path
}

pub(crate) fn small() -> Limits {
    Limits { instances: 8, tenant_instances_permille: 1_000, ..Limits::default() }
}

fn info() -> CallInfo {
    CallInfo {
        id: CallId::from_u128(7),
        direction: Direction::Inbound,
        caller: "sip:a@example.invalid".into(),
        called: "sip:100@example.invalid".into(),
        number: "100".into(),
        application: "hello".into(),
        headers: Vec::new(),
        answered: false,
        input: None,
        predecessor: None,
        resume: None,
    }
}

/// A module of the contract: functions it imports, what `handle` does, what else it has.
pub(crate) fn guest(imports: &str, body: &str, more: &str) -> String {
    guest_with("(memory (export \"memory\") 1)", REALLOC, imports, body, more)
}

pub(crate) fn guest_with(memory: &str, realloc: &str, imports: &str, body: &str, more: &str) -> String {
    format!(
        "(module {imports} {memory} (global $heap (mut i32) (i32.const 4096)) {realloc} {more}
           (func $handle (export \"handle\") (param i32) (result i32) {body} (i32.const 64)))"
    )
}

pub(crate) const REALLOC: &str = "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get 3)) (i32.const 7)) (i32.const -8))))";
pub(crate) const NEXT: &str = "(import \"callbox:voice/events@0.1.0\" \"next\" (func $next (param i32 i32 i32)))";
pub(crate) const PARK: &str = "(call $next (i32.const 0) (i32.const 0) (i32.const 1024))";
pub(crate) const LOG: &str = "(import \"callbox:voice/log@0.1.0\" \"write\" (func $log (param i32 i32 i32)))";
pub(crate) const RANDOM: &str = "(import \"callbox:voice/ambient@0.1.0\" \"random\" (func $random (result i32)))";
pub(crate) const RING: &str = "(import \"callbox:voice/call@0.1.0\" \"ring\" (func $ring (param i32 i32)))";

/// The core module with the contract's `component-type` section.
pub(crate) fn core(wat: &str) -> Vec<u8> {
    with_world(wat, WORLD, "handler")
}

pub(crate) fn component(wat: &str) -> Vec<u8> {
    componentize(&core(wat))
}

pub(crate) fn componentize(core: &[u8]) -> Vec<u8> {
    wit_component::ComponentEncoder::default().module(core).unwrap().validate(false).encode().unwrap()
}

pub(crate) fn with_world(wat: &str, world_text: &str, world: &str) -> Vec<u8> {
    let mut bytes = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let wit = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    resolve.push_dir(wit).unwrap();
    let package = resolve.push_str("test.wit", world_text).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    bytes
}

pub(crate) const WORLD: &str = "package test:guest;
world handler { include callbox:voice/call-handler@0.1.0; }";

impl Kv for Lent {
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

impl Ambient for Lent {
    fn now_ms(&self) -> f64 {
        1_000.0
    }
    fn uptime_ms(&self) -> u64 {
        0
    }
    fn random(&self) -> u32 {
        self.chance.load(Ordering::Relaxed)
    }
}

impl Throttle for Lent {
    fn spend(&self, _: TenantId, _: ModuleId, _: u64) -> Option<Duration> {
        None
    }
}

impl Modules for Lent {
    fn component(&self, module: ModuleId) -> Answer<'_, Result<Option<Vec<u8>>, String>> {
        let found = self.components.lock().unwrap().get(&module).cloned();
        Box::pin(async move { Ok(found) })
    }
}
