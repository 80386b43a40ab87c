//! Modules ready to be instantiated: the most recently used stay loaded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use callbox_model::{Fault, FaultCode, Limits, ModuleId};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::UploadRefused;
use crate::artifact::{Artifacts, digest_of};
use crate::contract::CallHandlerPre;
use crate::guest::Guest;
use crate::host::Host;

pub(crate) struct Cache {
    engine: Engine,
    linker: Linker<Guest>,
    artifacts: Arc<Artifacts>,
    uploads: Semaphore,
    /// Calls do not stand in line behind uploads.
    again: Semaphore,
    limits: Limits,
    capacity: usize,
    loaded: Mutex<Loaded>,
}

/// Made once, by whoever asks first.
type Prepared = Arc<OnceCell<CallHandlerPre<Guest>>>;

#[derive(Default)]
struct Loaded {
    uses: u64,
    by_digest: HashMap<String, (u64, Prepared)>,
}

impl Cache {
    pub(crate) fn new(
        engine: Engine,
        linker: Linker<Guest>,
        artifacts: Artifacts,
        compilers: usize,
        capacity: usize,
        limits: Limits,
    ) -> Self {
        Self {
            engine,
            linker,
            artifacts: Arc::new(artifacts),
            uploads: Semaphore::new(compilers.max(1)),
            again: Semaphore::new(1),
            limits,
            capacity: capacity.max(1),
            loaded: Mutex::default(),
        }
    }

    /// From memory, from disk, or compiled again from the component the node keeps.
    pub(crate) async fn ready(
        &self,
        host: &Arc<dyn Host>,
        module: ModuleId,
        digest: &str,
    ) -> Result<CallHandlerPre<Guest>, Fault> {
        let slot = self.slot(digest);
        if let Some(pre) = slot.get() {
            return Ok(pre.clone());
        }
        slot.get_or_try_init(|| async {
            let component = match self.read_disk(digest).await {
                Some(component) => component,
                None => self.again(host, module, digest).await?,
            };
            self.link(&component).map_err(|refused| Fault::new(FaultCode::StartFailed, refused.to_string()))
        })
        .await
        .cloned()
    }

    /// Whether there is a compiled form on disk.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.artifacts.has(digest)
    }

    /// Makes a compiled form, and leaves it there.
    pub(crate) async fn prepare(&self, host: &Arc<dyn Host>, module: ModuleId, digest: &str) -> Result<(), Fault> {
        self.again(host, module, digest).await.map(drop)
    }

    /// Removes what other versions and settings left, and what these modules do not need.
    pub(crate) fn sweep(&self, digests: &[String]) -> usize {
        self.artifacts.sweep(digests)
    }

    /// Compiles an upload and loads it. `limits` are those of the upload.
    pub(crate) async fn take_in(
        &self,
        limits: &Limits,
        digest: &str,
        bytes: &[u8],
    ) -> Result<(Component, CallHandlerPre<Guest>), UploadRefused> {
        let component = match self.read_disk(digest).await {
            Some(component) => component,
            None => {
                self.compile(&self.uploads, limits, digest, bytes).await?;
                let lost = || UploadRefused::node("the compiled module does not load");
                self.read_disk(digest).await.ok_or_else(lost)?
            }
        };
        let pre = self.link(&component)?;
        Ok((component, pre))
    }

    fn slot(&self, digest: &str) -> Prepared {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.uses += 1;
        let uses = loaded.uses;
        if let Some((used, slot)) = loaded.by_digest.get_mut(digest) {
            *used = uses;
            return Arc::clone(slot);
        }
        if loaded.by_digest.len() >= self.capacity {
            let oldest = loaded.by_digest.iter().min_by_key(|(_, (used, _))| *used).map(|(digest, _)| digest.clone());
            if let Some(oldest) = oldest {
                loaded.by_digest.remove(&oldest);
            }
        }
        let slot = Arc::new(OnceCell::new());
        loaded.by_digest.insert(digest.to_owned(), (uses, Arc::clone(&slot)));
        slot
    }

    async fn read_disk(&self, digest: &str) -> Option<Component> {
        let (artifacts, engine, digest) = (Arc::clone(&self.artifacts), self.engine.clone(), digest.to_owned());
        tokio::task::spawn_blocking(move || artifacts.load(&engine, &digest)).await.ok().flatten()
    }

    async fn again(&self, host: &Arc<dyn Host>, module: ModuleId, digest: &str) -> Result<Component, Fault> {
        let node = |words: String| Fault::new(FaultCode::HostDependency, words);
        let bytes = tokio::time::timeout(FETCH, host.component(module))
            .await
            .map_err(|_| node(format!("{module} was not read from the store within {} s", FETCH.as_secs())))?
            .map_err(|words| node(format!("{module} cannot be read from the store: {words}")))?
            .ok_or_else(|| Fault::new(FaultCode::ModuleMissing, format!("{module} is not in the store")))?;
        if digest_of(&bytes) != digest {
            return Err(node(format!("{module} was changed in the store: its digest is not {digest}")));
        }
        self.compile(&self.again, &self.limits, digest, &bytes).await.map_err(|refused| match refused.status() {
            503 => node(refused.detail),
            _ => Fault::new(FaultCode::StartFailed, refused.to_string()),
        })?;
        self.read_disk(digest).await.ok_or_else(|| node("the compiled module does not load".to_owned()))
    }

    async fn compile(
        &self,
        line: &Semaphore,
        limits: &Limits,
        digest: &str,
        bytes: &[u8],
    ) -> Result<(), UploadRefused> {
        let Ok(_turn) = line.acquire().await else {
            return Err(UploadRefused::node("the node ends"));
        };
        let artifacts = Arc::clone(&self.artifacts);
        let (limits, digest, bytes) = (limits.clone(), digest.to_owned(), bytes.to_vec());
        tokio::task::spawn_blocking(move || artifacts.compile(&limits, &digest, &bytes))
            .await
            .unwrap_or_else(|error| Err(UploadRefused::node(format!("the compiler's thread died: {error}"))))
    }

    fn link(&self, component: &Component) -> Result<CallHandlerPre<Guest>, UploadRefused> {
        let pre = self
            .linker
            .instantiate_pre(component)
            .map_err(|error| UploadRefused::new("unknown-import", format!("{error:#}")))?;
        CallHandlerPre::new(pre).map_err(|error| UploadRefused::new("wrong-world", format!("{error:#}")))
    }
}

const FETCH: std::time::Duration = std::time::Duration::from_secs(10);
