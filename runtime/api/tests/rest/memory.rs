//! The backend over maps.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use callbox_api::async_trait;
use callbox_api::backend::{
    Access, Check, CheckState, DictionaryEntry, EventFilter, EventPage, Events, KeyRecord, Listener, ModuleFilter,
    Modules, NewCall, NewKey, Node, NodeInfo, OutboundToday, Page, PlacedEvent, Result, Role, Scope, TenantChange,
    TenantFilter,
};
use callbox_api::backend::{BackendError, BackendError::Refused};
use callbox_model::{
    Application, ApplicationId, Asset, CallId, CallRecord, Change, Domain, DomainId, Event, IdSource, KeyId, Message,
    Module, ModuleId, ModuleState, Number, NumberId, Recording, RecordingId, Registration, Run, Subject, Tenant,
    TenantId, TenantState, Trunk, TrunkId, TrunkState, User, UserId, Wall, World,
};
use tokio::sync::watch;

pub(crate) struct Memory {
    pub(crate) ids: IdSource,
    state: Mutex<State>,
    latest: watch::Sender<i64>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) keys: BTreeMap<KeyId, KeyRecord>,
    pub(crate) tenants: BTreeMap<TenantId, Tenant>,
    pub(crate) modules: BTreeMap<ModuleId, Module>,
    pub(crate) applications: BTreeMap<ApplicationId, Application>,
    pub(crate) secrets: BTreeMap<(ApplicationId, String), String>,
    pub(crate) assets: BTreeMap<(ApplicationId, String), (Asset, Bytes)>,
    pub(crate) numbers: BTreeMap<NumberId, Number>,
    pub(crate) domains: BTreeMap<DomainId, Domain>,
    pub(crate) users: BTreeMap<UserId, User>,
    pub(crate) registrations: Vec<Registration>,
    pub(crate) trunks: BTreeMap<TrunkId, Trunk>,
    pub(crate) trunk_states: BTreeMap<TrunkId, TrunkState>,
    /// Of users and trunks, by their ids.
    pub(crate) passwords: BTreeMap<String, String>,
    pub(crate) outbound: OutboundToday,
    pub(crate) placed: Vec<(CallId, NewCall)>,
    pub(crate) is_draining: bool,
    pub(crate) calls: BTreeMap<CallId, CallRecord>,
    pub(crate) runs: Vec<Run>,
    pub(crate) messages: Vec<(CallId, Message)>,
    pub(crate) recordings: BTreeMap<RecordingId, (Recording, Option<std::path::PathBuf>)>,
    pub(crate) events: Vec<PlacedEvent>,
    pub(crate) checks: Vec<Check>,
    /// Modules that were taken in, whether their clients waited or not.
    pub(crate) uploads: u32,
    clock: i64,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { ids: IdSource::new(0, 0, 1), state: Mutex::default(), latest: watch::Sender::new(0) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Wall {
        let mut state = self.state();
        state.clock += 1_000;
        Wall(1_700_000_000_000_000 + state.clock)
    }

    pub(crate) fn note(&self, subject: Subject, tenant: Option<TenantId>, change: Change) {
        let at = self.now();
        let mut state = self.state();
        let sequence = 1 + state.events.iter().filter(|placed| placed.event.subject == subject).count() as u64;
        // Positions have holes.
        let position = state.events.last().map_or(0, |last| last.position) + 2;
        state.events.push(PlacedEvent { position, event: Event { subject, sequence, tenant, at, change } });
        drop(state);
        self.latest.send_replace(position);
    }
}

pub(crate) fn piece<T, K: Ord>(all: impl Iterator<Item = (K, T)>, page: &Page<K>) -> Vec<T> {
    let behind = all.filter(|(key, _)| page.after.as_ref().is_none_or(|after| key > after));
    behind.take(page.limit as usize).map(|(_, thing)| thing).collect()
}

/// The newest first.
pub(crate) fn piece_back<T, K: Ord>(all: impl DoubleEndedIterator<Item = (K, T)>, page: &Page<K>) -> Vec<T> {
    let behind = all.rev().filter(|(key, _)| page.after.as_ref().is_none_or(|after| key < after));
    behind.take(page.limit as usize).map(|(_, thing)| thing).collect()
}

#[async_trait]
impl Access for Memory {
    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>> {
        Ok(self.state().keys.get(&id).cloned())
    }

    async fn keys(&self, role: Role) -> Result<Vec<KeyRecord>> {
        Ok(self.state().keys.values().filter(|key| key.role == role).cloned().collect())
    }

    async fn create_key(&self, key: NewKey) -> Result<KeyRecord> {
        let now = self.now();
        let id = KeyId::new(&self.ids, now);
        let record = KeyRecord { id, role: key.role, name: key.name, hash: key.hash, created: now };
        self.state().keys.insert(id, record.clone());
        Ok(record)
    }

    async fn delete_key(&self, role: Role, id: KeyId) -> Result<()> {
        let mut state = self.state();
        if state.keys.get(&id).is_none_or(|key| key.role != role) {
            return Err(BackendError::not_found("key", id));
        }
        state.keys.remove(&id);
        Ok(())
    }

    async fn tenants(&self, filter: TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>> {
        let state = self.state();
        let fits = |tenant: &Tenant| filter.name.as_ref().is_none_or(|name| *name == tenant.name);
        Ok(piece(state.tenants.values().filter(|tenant| fits(tenant)).map(|tenant| (tenant.id, tenant.clone())), &page))
    }

    async fn tenant(&self, id: TenantId) -> Result<Tenant> {
        self.state().tenants.get(&id).cloned().ok_or_else(|| BackendError::not_found("tenant", id))
    }

    async fn create_tenant(&self, name: String) -> Result<Tenant> {
        let now = self.now();
        let mut state = self.state();
        if state.tenants.values().any(|tenant| tenant.name == name) {
            return Err(BackendError::conflict("name-taken", format!("there is a tenant `{name}`")));
        }
        let tenant = Tenant { id: TenantId::new(&self.ids, now), name, state: TenantState::Active, created: now };
        state.tenants.insert(tenant.id, tenant.clone());
        Ok(tenant)
    }

    async fn change_tenant(&self, id: TenantId, change: TenantChange) -> Result<Tenant> {
        let mut state = self.state();
        let tenant = state.tenants.get_mut(&id).ok_or_else(|| BackendError::not_found("tenant", id))?;
        if let Some(name) = change.name {
            tenant.name = name;
        }
        if let Some(to) = change.state {
            tenant.state = to;
        }
        Ok(tenant.clone())
    }
}

#[async_trait]
impl Modules for Memory {
    async fn modules(&self, scope: Scope, filter: ModuleFilter, page: Page<ModuleId>) -> Result<Vec<Module>> {
        let state = self.state();
        let fits = |module: &Module| {
            scope.admits(module.tenant)
                && filter.name.as_ref().is_none_or(|name| *name == module.name)
                && filter.state.is_none_or(|state| state == module.state)
        };
        let fitting = state.modules.values().filter(|module| fits(module));
        Ok(piece_back(fitting.map(|module| (module.id, module.clone())), &page))
    }

    async fn module(&self, scope: Scope, id: ModuleId) -> Result<Module> {
        let state = self.state();
        let module = state.modules.get(&id).filter(|module| scope.admits(module.tenant)).cloned();
        module.ok_or_else(|| BackendError::not_found("module", id))
    }

    /// What it makes of a module, its name says.
    async fn upload_module(&self, tenant: TenantId, name: String, component: Bytes) -> Result<Module> {
        match name.as_str() {
            "slow" => tokio::time::sleep(Duration::from_millis(400)).await,
            "never" => std::future::pending().await,
            "panics" => panic!("on purpose"),
            "away" => return Err(BackendError::unavailable("the compiler is away")),
            "quota" => {
                return Err(BackendError::Quota { limit: "uploads_per_hour", detail: "60 an hour".to_owned() });
            }
            _ => {}
        }
        if !component.starts_with(b"\0asm") {
            let detail = "offset 0: no magic".to_owned();
            return Err(Refused { code: "not-wasm".to_owned(), status: 422, detail });
        }
        let now = self.now();
        let mut state = self.state();
        state.uploads += 1;
        let version = 1 + state.modules.values().filter(|m| m.tenant == tenant && m.name == name).count() as u32;
        let module = Module {
            id: ModuleId::new(&self.ids, now),
            tenant,
            name,
            version,
            digest: "sha256:0".to_owned(),
            world: World::CallHandler,
            state: ModuleState::Ready,
            bytes: component.len() as u64,
            imports: vec!["call.answer".to_owned()],
            initial_memory_bytes: 65_536,
            created: now,
        };
        state.modules.insert(module.id, module.clone());
        Ok(module)
    }

    async fn change_module_state(
        &self,
        scope: Scope,
        id: ModuleId,
        from: ModuleState,
        to: ModuleState,
    ) -> Result<Module> {
        let mut state = self.state();
        let module = state.modules.get_mut(&id).filter(|module| scope.admits(module.tenant));
        let module = module.ok_or_else(|| BackendError::not_found("module", id))?;
        if module.state != from {
            return Err(BackendError::conflict("state-changed", "it is not what it was"));
        }
        module.state = to;
        Ok(module.clone())
    }
}

#[async_trait]
impl Events for Memory {
    async fn events_after(&self, scope: Scope, filter: EventFilter, after: i64, limit: u32) -> Result<EventPage> {
        let state = self.state();
        let fits = |placed: &&PlacedEvent| {
            placed.position > after
                && (scope == Scope::All || placed.event.tenant.is_some_and(|tenant| scope.admits(tenant)))
                && filter.admits(&placed.event)
        };
        let events: Vec<_> = state.events.iter().filter(fits).take(limit as usize).cloned().collect();
        let newest = state.events.last().map_or(0, |last| last.position);
        let end =
            if events.len() == limit as usize { events.last().map_or(newest, |last| last.position) } else { newest };
        Ok(EventPage { events, end })
    }

    fn latest_event(&self) -> watch::Receiver<i64> {
        self.latest.subscribe()
    }
}

#[async_trait]
impl Node for Memory {
    fn node(&self) -> NodeInfo {
        let listener = Listener { protocol: "sip/udp".to_owned(), address: ([127, 0, 0, 1], 5_060).into() };
        NodeInfo { version: "0.1.0".to_owned(), uptime_s: 7, listeners: vec![listener] }
    }

    async fn checks(&self) -> Vec<Check> {
        let mut checks = vec![Check { name: "store".to_owned(), state: CheckState::Passed }];
        checks.extend(self.state().checks.iter().cloned());
        checks
    }

    fn dictionary(&self) -> Vec<DictionaryEntry> {
        vec![DictionaryEntry {
            code: "not-wasm",
            title: "No WebAssembly",
            means: "The file is no module.",
            remedy: "Build one.",
            status: 422,
        }]
    }
}
