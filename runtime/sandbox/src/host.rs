//! The host's side of the contract, one file for each of its interfaces, and what the node lends.
//!
//! A function that concerns the call only submits a step and waits for its outcome.

mod ambient;
mod call;
mod config;
mod events;
mod handover;
mod kv;
mod log;
mod media;
mod types;
mod wasi;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use callbox_model::{ApplicationId, KvEntry, KvError, Millis, ModuleId, TenantId};
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::guest::Guest;
use crate::{Error, contract};

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything the node lends the driver.
pub trait Host: Kv + Ambient + Throttle + Modules {}

impl<T: Kv + Ambient + Throttle + Modules> Host for T {}

/// Whose values they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub tenant: TenantId,
    pub application: ApplicationId,
}

/// The contract's `kv`. Keys and values are within their limits when they come here; quotas of the
/// application and the tenant are the implementation's to hold.
pub trait Kv: Send + Sync + 'static {
    fn get(&self, owner: Owner, key: String) -> Answer<'_, Result<Option<KvEntry>, KvError>>;
    fn put(
        &self,
        owner: Owner,
        key: String,
        value: Vec<u8>,
        revision: Option<u32>,
        ttl: Option<Millis>,
    ) -> Answer<'_, Result<u32, KvError>>;
    fn remove(&self, owner: Owner, key: String) -> Answer<'_, Result<(), KvError>>;
    fn add(&self, owner: Owner, key: String, by: i64) -> Answer<'_, Result<i64, KvError>>;
    fn keys(
        &self,
        owner: Owner,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Result<Vec<String>, KvError>>;
}

/// Time and chance.
pub trait Ambient: Send + Sync + 'static {
    /// Unix milliseconds.
    fn now_ms(&self) -> f64;
    /// Milliseconds since an arbitrary zero. Never goes back.
    fn uptime_ms(&self) -> u64;
    /// From a cryptographic source.
    fn random(&self) -> u32;
}

/// Shares of CPU time.
pub trait Throttle: Send + Sync + 'static {
    /// Told after each time a guest was polled. The guest rests for the time this returns.
    fn spend(&self, tenant: TenantId, module: ModuleId, cpu_ns: u64) -> Option<Duration>;
}

/// Where components are kept. Asked when a compiled form is missing or damaged.
pub trait Modules: Send + Sync + 'static {
    /// None when there is no such module.
    fn component(&self, module: ModuleId) -> Answer<'_, Result<Option<Vec<u8>>, String>>;
}

/// Everything of the world, used or not, and the part of WASI that languages' runtimes import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Guest>, Error> {
    let mut linker = Linker::new(engine);
    contract::CallHandler::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)
        .and_then(|()| wasmtime_wasi::p2::add_to_linker_async(&mut linker))
        .map_err(|error| Error::Contract(format!("{error:#}")))?;
    Ok(linker)
}
