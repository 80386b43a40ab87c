//! Who gets in: asked by signalling with every INVITE, answered from memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use callbox_model::{
    CallId, IdSource, LegKey, LegSource, Limits, Offered, Origin, TenantId, TrunkId, TrunkState, UserId, Verifiers,
};
use callbox_signal::{Realm, Refusal, Registered};
use callbox_sip::{Host, Uri};
use ipnet::IpNet;

use crate::clock;
use crate::config::Allow;
use crate::directory::{Directory, Route};
use crate::lane::{Expected, Inbox};
use crate::limited::Limited;
use crate::registered::Keeper;
use crate::trunks::TrunkStates;

pub struct Admission {
    allow: Allow,
    directory: Arc<ArcSwap<Directory>>,
    lanes: Arc<Lanes>,
    places: Arc<Places>,
    ids: Arc<IdSource>,
    legs: Arc<LegSource>,
    /// How full the way to the store is.
    load: Box<dyn Fn() -> f32 + Send + Sync>,
    limited: Limited,
    limits: Arc<Limits>,
    keeper: Keeper,
    trunk_states: TrunkStates,
    next_lane: AtomicU64,
    closed: AtomicBool,
}

/// What admission is made of.
pub struct Parts {
    pub allow: Allow,
    pub directory: Arc<ArcSwap<Directory>>,
    pub lanes: Arc<Lanes>,
    pub ids: Arc<IdSource>,
    pub legs: Arc<LegSource>,
    pub load: Box<dyn Fn() -> f32 + Send + Sync>,
    pub limited: Limited,
    pub limits: Arc<Limits>,
    pub keeper: Keeper,
    pub trunk_states: TrunkStates,
}

/// A call that may begin.
pub struct Admitted {
    pub call: CallId,
    pub lane: u8,
    pub place: Place,
}

/// Why a call of a tenant may not begin now.
pub struct Full {
    pub status: u16,
    pub reason: &'static str,
    pub label: &'static str,
    pub retry_after_s: Option<u32>,
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
    pub fn new(parts: Parts) -> Self {
        let Parts { allow, directory, lanes, ids, legs, load, limited, limits, keeper, trunk_states } = parts;
        Self {
            allow,
            directory,
            lanes,
            places: Arc::default(),
            ids,
            legs,
            load,
            limited,
            limits,
            keeper,
            trunk_states,
            next_lane: AtomicU64::new(0),
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

    /// Room for one more call of this tenant: a lane, an id, and a place among its calls.
    pub fn room(&self, route: &Route) -> Result<Admitted, Full> {
        let full = |status, reason, label, retry_after_s| Err(Full { status, reason, label, retry_after_s });
        if self.is_closed() {
            return full(503, "Stopping", "stopping", Some(STOPPING_RETRY_S));
        }
        if !route.is_open {
            return full(403, "Tenant Suspended", "tenant-suspended", None);
        }
        let lane = (self.next_lane.fetch_add(1, Ordering::Relaxed) % self.lanes.inboxes.len() as u64) as u8;
        if self.lanes.inboxes[usize::from(lane)].is_half_full() || (self.load)() >= FULL {
            return full(503, "Overloaded", "overload", Some(OVERLOAD_RETRY_S));
        }
        let call = CallId::new(&self.ids, clock::wall());
        // Busy, and not 503: a trunk that hears 503 takes the whole node out of service, and the
        // other tenants with it.
        let most = route.plan.limits.tenant_calls;
        let Some(place) = self.place(call, route.tenant, most) else {
            self.limited.reached(route.tenant, "tenant_calls", || format!("{most} calls at once; more are refused"));
            return full(486, "Too Many Calls", "tenant-calls", None);
        };
        self.lanes.put(call, lane);
        Ok(Admitted { call, lane, place })
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

    /// A far end that is to take another's place in a call that stands (RFC 3891). It knows the tags
    /// of that dialog, which only those who were told them do.
    fn replacing(&self, old: LegKey, offered: &Offered) -> LegKey {
        let leg = self.legs.next(old.lane());
        let origin = offered.origin.clone();
        self.lanes.expect(leg, Box::new(Expected::Replacing { old, origin }));
        leg
    }
}

/// Whose call it is, where that is proved: by digest before this, or by where it comes from.
fn origin(route: &Route, offered: &Offered) -> (Origin, Arc<[IpNet]>) {
    if let Origin::User(user) = offered.origin {
        return (Origin::User(user), Arc::default());
    }
    match route.trunks.iter().find(|trunk| trunk.trunk.speaks_from(offered.peer)) {
        Some(trunk) => (Origin::Trunk(trunk.id()), trunk.media_networks.clone()),
        None => (Origin::Anonymous, Arc::default()),
    }
}

impl callbox_signal::Admission for Admission {
    fn may_talk(&self, source: IpAddr) -> bool {
        self.allow.admits(source) || self.directory.load().is_of_a_trunk(source)
    }

    fn admit(&self, offered: &Offered) -> Result<LegKey, Refusal> {
        let refused = |status, reason: &str, label: &'static str, retry_after_s| {
            metrics::counter!("calls_refused_total", "reason" => label).increment(1);
            Err(Refusal::Status { status, reason: reason.to_owned(), retry_after_s })
        };
        if let Some(old) = offered.replaces {
            return Ok(self.replacing(old, offered));
        }
        let directory = self.directory.load();
        let Some(route) = directory.find(&offered.target) else {
            return refused(404, "Not Found", "no-number", None);
        };
        if !self.allow.admits_number(&route.number) {
            return refused(403, "Forbidden", "number-not-allowed", None);
        }
        let (origin, media_networks) = origin(route, offered);
        let is_stranger = match &origin {
            Origin::Anonymous => true,
            Origin::Trunk(_) => false,
            Origin::User(user) => directory.tenant_of(*user) != Some(route.tenant),
        };
        if is_stranger && !route.anonymous {
            // One of the house may prove it; others may not call here.
            let domain = Uri::read(offered.caller.as_bytes()).ok().and_then(|uri| match uri.host {
                Some(Host::Name(name)) => directory.domain_of(&name).cloned(),
                _ => None,
            });
            if let Some(domain) = domain.filter(|domain| domain.tenant == route.tenant)
                && origin == Origin::Anonymous
            {
                return Err(Refusal::Challenge { domain: domain.name });
            }
            return refused(403, "Callers Must Be Known", "anonymous", None);
        }
        let admitted = match self.room(route) {
            Ok(admitted) => admitted,
            Err(full) => return refused(full.status, full.reason, full.label, full.retry_after_s),
        };
        let leg = self.legs.next(admitted.lane);
        let (call, place, route) = (admitted.call, admitted.place, route.clone());
        // Not by the inbox: the lane would be woken twice for one call.
        self.lanes.expect(leg, Box::new(Expected::Call { call, route, place, origin, media_networks }));
        Ok(leg)
    }

    fn realm(&self, domain: &str) -> Option<Realm> {
        let directory = self.directory.load();
        let domain = directory.domain_of(domain)?;
        Some(Realm { md5: domain.md5, contacts_per_user: self.limits.contacts_per_user })
    }

    fn verifiers(&self, domain: &str, user: &str) -> Option<(UserId, Arc<Verifiers>)> {
        self.directory.load().verifiers(domain, user)
    }

    fn registered(&self, change: Registered) {
        self.keeper.changed(change);
    }

    fn trunk_state(&self, trunk: TrunkId, state: TrunkState) {
        self.trunk_states.changed(trunk, state);
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

    /// The lane that hears of this leg's first call.
    pub fn lane(&self, lane: u8) -> Option<&Inbox> {
        self.inboxes.get(usize::from(lane))
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
