//! `kv`: small values of the application, shared by its calls.

use callbox_model as model;

use super::Owner;
use crate::contract::callbox::voice::kv;
use crate::guest::Guest;

type Told<T> = wasmtime::Result<Result<T, kv::KvError>>;

impl Guest {
    fn owner(&self) -> Owner {
        Owner { tenant: self.run.tenant, application: self.run.application }
    }

    fn key(&self, key: &str) -> Result<(), kv::KvError> {
        let limit = self.run.limits.kv_key_bytes as usize;
        match key.len() {
            0 => Err(kv::KvError::Argument("a key is empty".into())),
            bytes if bytes > limit => {
                Err(kv::KvError::Quota(format!("a key of {bytes} bytes: at most {limit} (kv_key_bytes)")))
            }
            _ => Ok(()),
        }
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> Told<Option<kv::Entry>> {
        self.called("kv.get").await?;
        if let Err(error) = self.key(&key) {
            return Ok(Err(error));
        }
        let found = self.run.waiting(self.host.get(self.owner(), key)).await;
        Ok(found.map(|entry| entry.map(|entry| kv::Entry { value: entry.value, revision: entry.revision })).map_err(of))
    }

    async fn put(&mut self, key: String, value: Vec<u8>, revision: Option<u32>, ttl: Option<u32>) -> Told<u32> {
        self.called("kv.put").await?;
        let limit = self.run.limits.kv_value_bytes as usize;
        if let Err(error) = self.key(&key) {
            return Ok(Err(error));
        }
        if value.len() > limit {
            let words = format!("a value of {} bytes: at most {limit} (kv_value_bytes)", value.len());
            return Ok(Err(kv::KvError::Quota(words)));
        }
        Ok(self.run.waiting(self.host.put(self.owner(), key, value, revision, ttl)).await.map_err(of))
    }

    async fn remove(&mut self, key: String) -> Told<()> {
        self.called("kv.remove").await?;
        if let Err(error) = self.key(&key) {
            return Ok(Err(error));
        }
        Ok(self.run.waiting(self.host.remove(self.owner(), key)).await.map_err(of))
    }

    async fn add(&mut self, key: String, by: i64) -> Told<i64> {
        self.called("kv.add").await?;
        if let Err(error) = self.key(&key) {
            return Ok(Err(error));
        }
        Ok(self.run.waiting(self.host.add(self.owner(), key, by)).await.map_err(of))
    }

    async fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Told<Vec<String>> {
        self.called("kv.keys").await?;
        let limit = limit.min(KEYS_AT_ONCE);
        Ok(self.run.waiting(self.host.keys(self.owner(), prefix, after, limit)).await.map_err(of))
    }
}

fn of(error: model::KvError) -> kv::KvError {
    match error {
        model::KvError::Argument(words) => kv::KvError::Argument(words),
        model::KvError::Quota(words) => kv::KvError::Quota(words),
        model::KvError::Conflict => kv::KvError::Conflict,
        model::KvError::Unavailable(words) => kv::KvError::Unavailable(words),
    }
}

/// With keys of 256 bytes this stays under what may be copied in one call.
const KEYS_AT_ONCE: u32 = 1_000;
