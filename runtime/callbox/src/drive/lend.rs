//! What the node lends the sandbox: keys and values, time and chance, shares of CPU time, components.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callbox_model::{KvEntry, KvError, Limits, Millis, ModuleId, TenantId};
use callbox_sandbox::{Ambient, Answer, Kv, Modules, Owner, Throttle};
use callbox_store::{Error, KvFuture, Page, Put, Scope, Store};
use callbox_usage::CpuShares;

use crate::clock::{Clock, wall};
use crate::limited::Limited;

pub struct Lent {
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    clock: Clock,
    shares: Mutex<CpuShares>,
    limited: Limited,
}

impl Lent {
    pub fn new(store: Arc<dyn Store>, limits: Arc<Limits>, clock: Clock, limited: Limited) -> Self {
        let shares = Mutex::new(CpuShares::new(&limits));
        Self { store, limits, clock, shares, limited }
    }
}

/// A guest is told when the store does not answer; it does not hang.
async fn within<T>(asked: KvFuture<'_, T>) -> Result<T, KvError> {
    tokio::time::timeout(KV_WITHIN, asked).await.unwrap_or_else(|_| {
        Err(KvError::Unavailable(format!("the store did not answer within {} s", KV_WITHIN.as_secs())))
    })
}

impl Kv for Lent {
    fn get(&self, owner: Owner, key: String) -> Answer<'_, Result<Option<KvEntry>, KvError>> {
        Box::pin(async move { within(self.store.kv_get(owner.application, &key, wall())).await })
    }

    fn put(
        &self,
        owner: Owner,
        key: String,
        value: Vec<u8>,
        revision: Option<u32>,
        ttl: Option<Millis>,
    ) -> Answer<'_, Result<u32, KvError>> {
        Box::pin(async move {
            let put = Put { key: &key, value: &value, revision, ttl };
            within(self.store.kv_put(owner.application, put, wall(), &self.limits)).await
        })
    }

    fn remove(&self, owner: Owner, key: String) -> Answer<'_, Result<(), KvError>> {
        Box::pin(async move { within(self.store.kv_remove(owner.application, &key)).await })
    }

    fn add(&self, owner: Owner, key: String, by: i64) -> Answer<'_, Result<i64, KvError>> {
        Box::pin(async move { within(self.store.kv_add(owner.application, &key, by, wall(), &self.limits)).await })
    }

    fn keys(
        &self,
        owner: Owner,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Result<Vec<String>, KvError>> {
        Box::pin(async move {
            let page = Page { after: after.as_deref(), limit };
            within(self.store.kv_keys(owner.application, &prefix, page, wall())).await
        })
    }
}

impl Ambient for Lent {
    fn now_ms(&self) -> f64 {
        wall().as_unix_millis()
    }

    fn uptime_ms(&self) -> u64 {
        self.clock.at().since(callbox_model::Instant::default()).as_millis() as u64
    }

    fn random(&self) -> u32 {
        // The kernel's source does not fail once it has answered, and it did when the node made its keys.
        getrandom::u32().unwrap_or_default()
    }
}

impl Throttle for Lent {
    fn spend(&self, tenant: TenantId, module: ModuleId, cpu_ns: u64) -> Option<Duration> {
        let rest = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares.spend(self.clock.at(), tenant, module, cpu_ns)
        };
        if let Some(rest) = rest {
            let words =
                || format!("{module} waits {} ms for CPU time: its share, or its tenant's, is used", rest.as_millis());
            self.limited.reached(tenant, "cpu_millicores", words);
        }
        rest
    }
}

impl Modules for Lent {
    fn component(&self, module: ModuleId) -> Answer<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            let found = match self.store.module(Scope::Operator, module).await {
                Ok(found) => found,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.to_string()),
            };
            self.store.blob(&found.digest).await.map(Some).map_err(|error| error.to_string())
        })
    }
}

const KV_WITHIN: Duration = Duration::from_secs(2);
