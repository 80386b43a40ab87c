//! A store to test, ids and times that count up, and things to put in.

use std::sync::atomic::{AtomicI64, Ordering};

use callbox_model::{
    ApplicationId, ApplicationSpec, CallId, Change, Direction, Domain, DomainId, EndCause, EndReason, Event, IdSource,
    Limits, ModuleId, Number, NumberId, Run, RunEnd, RunId, RunKind, RunUsage, Subject, Tenant, TenantId, TenantState,
    User, UserId, Wall, World as Exports,
};
use callbox_store::{Entry, EventFilter, NewApplication, NewModule, Page, Scope, Sealed, Store, Stored};

pub(crate) struct World<S> {
    pub(crate) store: S,
    pub(crate) ids: IdSource,
    pub(crate) limits: Limits,
    clock: AtomicI64,
}

impl<S: Store> World<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            ids: IdSource::new(1, 1, 0),
            limits: Limits::default(),
            clock: AtomicI64::new(1_700_000_000_000_000),
        }
    }

    /// A millisecond later each time.
    pub(crate) fn now(&self) -> Wall {
        Wall(self.clock.fetch_add(1_000, Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, micros: i64) {
        self.clock.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        let created = self.now();
        let id = TenantId::new(&self.ids, created);
        let tenant = Tenant { id, name: name.to_owned(), state: TenantState::Active, created };
        self.store.create_tenant(&tenant).await.unwrap();
        id
    }

    pub(crate) fn new_application(&self, tenant: TenantId, name: &str) -> NewApplication {
        let created = self.now();
        NewApplication {
            id: ApplicationId::new(&self.ids, created),
            tenant,
            name: name.to_owned(),
            spec: ApplicationSpec::default(),
            created,
        }
    }

    pub(crate) async fn application(&self, tenant: TenantId, name: &str) -> ApplicationId {
        self.store.create_application(self.new_application(tenant, name)).await.unwrap().id
    }

    pub(crate) fn new_module(&self, tenant: TenantId, name: &str, component: &[u8]) -> NewModule {
        let created = self.now();
        NewModule {
            id: ModuleId::new(&self.ids, created),
            tenant,
            name: name.to_owned(),
            digest: digest(component),
            world: Exports::CallHandler,
            imports: vec!["media.play".to_owned()],
            initial_memory_bytes: 1 << 20,
            created,
        }
    }

    pub(crate) fn new_number(&self, tenant: TenantId, address: &str, application: Option<ApplicationId>) -> Number {
        let created = self.now();
        let address = address.to_owned();
        Number { id: NumberId::new(&self.ids, created), tenant, address, application, anonymous: false, created }
    }

    pub(crate) async fn domain(&self, tenant: TenantId, name: &str) -> Domain {
        let created = self.now();
        let id = DomainId::new(&self.ids, created);
        let domain = Domain { id, tenant, name: name.to_owned(), md5: false, created };
        self.store.create_domain(&domain).await.unwrap();
        domain
    }

    pub(crate) async fn user(&self, tenant: TenantId, domain: &str, name: &str) -> User {
        let created = self.now();
        let id = UserId::new(&self.ids, created);
        let user = User { id, tenant, domain: domain.to_owned(), name: name.to_owned(), display: None, created };
        self.store.create_user(&user, &self.verifiers(name)).await.unwrap();
        user
    }

    /// Those that a user of this name is made with.
    pub(crate) fn verifiers(&self, name: &str) -> Sealed {
        Sealed::new(format!("sealed {name}"))
    }

    pub(crate) fn script(&self, tenant: TenantId, application: ApplicationId) -> Script {
        let started = self.now();
        Script { call: CallId::new(&self.ids, started), tenant, application, started, sequence: 0 }
    }

    pub(crate) fn run(&self, script: &Script, module: &str, holding_us: u64) -> Run {
        let began = self.now();
        Run {
            id: RunId::new(&self.ids, began),
            kind: RunKind::Control,
            call: script.call,
            tenant: script.tenant,
            application: script.application,
            module: Some(ModuleId::from_u128(7)),
            module_name: module.to_owned(),
            module_version: 1,
            handler: 0,
            began,
            marked: Wall(began.0 + holding_us as i64),
            usage: RunUsage {
                holding_us,
                connected_us: holding_us / 2,
                cpu_ns: holding_us,
                peak_memory_bytes: 1 << 20,
                memory_byte_seconds: 5,
                host_calls: [("media.play".to_owned(), 2), ("call.answer".to_owned(), 1)].into(),
                frames_sent: 50,
                frames_received: 49,
                parked_us: 0,
            },
            end: None,
        }
    }

    pub(crate) async fn events(&self, filter: EventFilter) -> Vec<Stored> {
        self.store.events(filter, Page::first(1_000)).await.unwrap().events
    }

    /// Sequences of a subject have no hole, and positions only grow.
    pub(crate) async fn is_whole(&self, subject: Subject) -> usize {
        let events = self.store.history(Scope::Operator, subject, Page::first(1_000)).await.unwrap();
        for (place, stored) in events.iter().enumerate() {
            assert_eq!(stored.event.sequence, place as u64 + 1, "{subject}");
        }
        assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position), "{subject}");
        events.len()
    }
}

/// What was said of a subject, in order; and that nothing is missing.
pub(crate) async fn told<S: Store>(world: &World<S>, scope: Scope, subject: Subject) -> Vec<Change> {
    let history = world.store.history(scope, subject, Page::first(1_000)).await.unwrap();
    assert_eq!(world.is_whole(subject).await, history.len());
    history.into_iter().map(|stored| stored.event.change).collect()
}

/// Writes the events of one call.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) call: CallId,
    pub(crate) tenant: TenantId,
    pub(crate) application: ApplicationId,
    pub(crate) started: Wall,
    sequence: u64,
}

impl Script {
    pub(crate) fn event(&mut self, change: Change) -> Event {
        self.sequence += 1;
        Event {
            subject: Subject::Call(self.call),
            sequence: self.sequence,
            tenant: Some(self.tenant),
            at: Wall(self.started.0 + self.sequence as i64 - 1),
            change,
        }
    }

    pub(crate) fn say(&mut self, change: Change) -> Entry {
        Entry::Event(self.event(change))
    }

    pub(crate) fn start(&mut self) -> Entry {
        let application = self.application;
        self.say(Change::CallStarted {
            application,
            direction: Direction::Inbound,
            caller: "sip:100@example.org".to_owned(),
            called: "sip:200@example.org".to_owned(),
            number: "200".to_owned(),
            sip_call_id: "abc".to_owned(),
        })
    }

    pub(crate) fn end(&mut self, answered: bool, duration_us: u64, connected_us: u64) -> Entry {
        self.say(Change::CallEnded { cause: bye(), answered, duration_us, connected_us })
    }
}

pub(crate) fn bye() -> EndCause {
    EndCause { status: 0, reason: "Normal \"clearing\"".to_owned(), remote: true }
}

pub(crate) fn closed(mut run: Run) -> Run {
    run.end = Some(RunEnd { reason: EndReason::Returned, fault: None });
    run
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
