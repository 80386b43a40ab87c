//! Who gets in: asked by signalling with every INVITE, answered from memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use callbox_model::{CallId, IdSource, LegKey, Offered, TenantId};
use callbox_signal::Refusal;

use crate::clock;
use crate::config::Allow;
use crate::directory::Directory;
use crate::lane::{Expected, Inbox};
use crate::limited::Limited;

pub struct Admission {
    allow: Allow,
    directory: Arc<ArcSwap<Directory>>,
    lanes: Arc<Lanes>,
    places: Arc<Places>,
    ids: Arc<IdSource>,
    /// How full the way to the store is.
    load: Box<dyn Fn() -> f32 + Send + Sync>,
    limited: Limited,
    next_leg: AtomicU64,
    closed: AtomicBool,
}

/// The lanes, and which call lives on which.
pub struct Lanes {
    inboxes: Vec<Inbox>,
    calls: Mutex<HashMap<CallId, u8>>,
    /// Legs that were admitted a moment ago. Their first event follows at once.
    expected: Mutex<HashMap<LegKey, Box<Expected>>>,
}

/// Calls at once, by tenant.
#[derive(Default)]
pub struct Places {
    taken: Mutex<HashMap<TenantId, u32>>,
}

/// A call's place. Given back when dropped.
pub struct Place {
    call: CallId,
    tenant: TenantId,
    places: Arc<Places>,
    lanes: Arc<Lanes>,
}

impl Admission {
    pub fn new(
        allow: Allow,
        directory: Arc<ArcSwap<Directory>>,
        lanes: Arc<Lanes>,
        ids: Arc<IdSource>,
        load: Box<dyn Fn() -> f32 + Send + Sync>,
        limited: Limited,
    ) -> Self {
        Self {
            allow,
            directory,
            lanes,
            places: Arc::default(),
            ids,
            load,
            limited,
            next_leg: AtomicU64::new(1),
            closed: AtomicBool::new(false),
        }
    }

    /// From now on, no new calls: the node is to stop.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn place(&self, call: CallId, tenant: TenantId, most: u32) -> Option<Place> {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.entry(tenant).or_default();
        if *theirs >= most {
            return None;
        }
        *theirs += 1;
        Some(Place { call, tenant, places: self.places.clone(), lanes: self.lanes.clone() })
    }
}

impl callbox_signal::Admission for Admission {
    fn may_talk(&self, source: IpAddr) -> bool {
        self.allow.admits(source)
    }

    fn admit(&self, offered: &Offered) -> Result<LegKey, Refusal> {
        let refused = |status, reason: &str, label: &'static str, retry_after_s| {
            metrics::counter!("calls_refused_total", "reason" => label).increment(1);
            Err(Refusal { status, reason: reason.to_owned(), retry_after_s })
        };
        if self.is_closed() {
            return refused(503, "Stopping", "stopping", Some(STOPPING_RETRY_S));
        }
        let directory = self.directory.load();
        let Some(route) = directory.find(&offered.target) else {
            return refused(404, "Not Found", "no-number", None);
        };
        if !self.allow.admits_number(&route.number) {
            return refused(403, "Forbidden", "number-not-allowed", None);
        }
        if !route.is_open {
            return refused(403, "Tenant Suspended", "tenant-suspended", None);
        }
        let serial = self.next_leg.fetch_add(1, Ordering::Relaxed);
        let lane = (serial % self.lanes.inboxes.len() as u64) as u8;
        let inbox = &self.lanes.inboxes[usize::from(lane)];
        if inbox.is_half_full() || (self.load)() >= FULL {
            return refused(503, "Overloaded", "overload", Some(OVERLOAD_RETRY_S));
        }
        let call = CallId::new(&self.ids, clock::wall());
        // Busy, and not 503: a trunk that hears 503 takes the whole node out of service, and the
        // other tenants with it.
        let most = route.plan.limits.tenant_calls;
        let Some(place) = self.place(call, route.tenant, most) else {
            self.limited.reached(route.tenant, "tenant_calls", || format!("{most} calls at once; more are refused"));
            return refused(486, "Too Many Calls", "tenant-calls", None);
        };
        self.lanes.put(call, lane);
        let leg = LegKey::new(lane, serial);
        // Not by the inbox: the lane would be woken twice for one call.
        self.lanes.expect(leg, Box::new(Expected { call, route: route.clone(), place }));
        Ok(leg)
    }
}

impl Lanes {
    pub fn new(inboxes: Vec<Inbox>) -> Self {
        Self { inboxes, calls: Mutex::default(), expected: Mutex::default() }
    }

    pub fn of_leg(&self, leg: LegKey) -> Option<&Inbox> {
        self.inboxes.get(usize::from(leg.lane()))
    }

    pub fn of_call(&self, call: CallId) -> Option<&Inbox> {
        let lane = *self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(&call)?;
        self.inboxes.get(usize::from(lane))
    }

    pub fn all(&self) -> &[Inbox] {
        &self.inboxes
    }

    pub fn calls(&self) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn expect(&self, leg: LegKey, expected: Box<Expected>) {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(leg, expected);
    }

    /// What admission decided of a leg, once.
    pub fn take_expected(&self, leg: LegKey) -> Option<Box<Expected>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&leg)
    }

    fn put(&self, call: CallId, lane: u8) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(call, lane);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lanes.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.call);
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(theirs) = taken.get_mut(&self.tenant) {
            *theirs -= 1;
            if *theirs == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

/// Half of what may wait to be written: the calls that are there have the other half.
const FULL: f32 = 0.5;
const OVERLOAD_RETRY_S: u32 = 5;
const STOPPING_RETRY_S: u32 = 30;
