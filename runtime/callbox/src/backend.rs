//! What the API asks of the node, answered from the store, the sandbox and the lanes.

mod access;
mod applications;
mod calls;
mod modules;
mod node;
mod place;
mod sip;
mod translate;
mod uploads;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use callbox_api::backend::{KeyRecord, Result};
use callbox_model::{IdSource, KeyId, Limits, TenantId};
use callbox_store::{Page, Role, Store, WriterHandle};
use callbox_usage::Windows;

use crate::admission::{Admission, Lanes};
use crate::clock::Clock;
use crate::drive::Drive;
use crate::limited::Limited;
use crate::routing::Routing;
use crate::sealed::SealingKey;
use crate::trunks::TrunkStates;

pub struct Backend {
    pub parts: Parts,
    /// Asked with every request.
    keys: RwLock<HashMap<KeyId, KeyRecord>>,
    uploads: Mutex<Windows<TenantId>>,
    /// Whose upload is being looked at.
    compiling: Mutex<BTreeSet<TenantId>>,
}

/// What it is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub writer: WriterHandle,
    pub sandbox: callbox_sandbox::Handle,
    pub media: callbox_media::Handle,
    pub signal: callbox_signal::Handle,
    pub lanes: Arc<Lanes>,
    pub admission: Arc<Admission>,
    pub routing: Arc<Routing>,
    pub sealing: Arc<SealingKey>,
    pub limits: Arc<Limits>,
    pub ids: Arc<IdSource>,
    pub clock: Clock,
    pub recordings: PathBuf,
    pub limited: Limited,
    pub drive: Drive,
    pub trunk_states: TrunkStates,
    pub api: SocketAddr,
}

impl Backend {
    pub async fn new(parts: Parts) -> std::result::Result<Self, callbox_store::Error> {
        let mut keys = HashMap::new();
        let mut roles = vec![Role::Operator];
        let mut page = Page::first(PAGE);
        loop {
            let tenants = parts.store.tenants(None, page).await?;
            roles.extend(tenants.iter().map(|tenant| Role::Tenant(tenant.id)));
            match tenants.last() {
                Some(last) if tenants.len() == PAGE as usize => page = Page::after(last.id, PAGE),
                _ => break,
            }
        }
        for role in roles {
            for key in parts.store.keys(role, Page::first(PAGE)).await? {
                keys.insert(key.id, translate::key(key));
            }
        }
        let uploads = Windows::new(parts.limits.uploads_per_hour, Duration::from_secs(3_600));
        Ok(Self { parts, keys: RwLock::new(keys), uploads: Mutex::new(uploads), compiling: Mutex::default() })
    }

    /// After a change of what routing goes by. The change itself is done: a failure here is made
    /// good within a second.
    async fn refresh(&self) {
        if let Err(error) = self.parts.routing.refresh().await {
            tracing::warn!(%error, "a change will be seen by calls later");
        }
    }

    async fn changed<T>(&self, done: Result<T>) -> Result<T> {
        if done.is_ok() {
            self.refresh().await;
        }
        done
    }
}

const PAGE: u32 = 1_000;
