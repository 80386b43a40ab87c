//! Keeps the picture of the directory up to date.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callbox_model::{ApplicationId, Limits};
use callbox_store::{Error, Store};
use tracing::{error, warn};

use crate::directory::{Directory, Secrets};
use crate::sealed::SealingKey;

pub struct Routing {
    store: Arc<dyn Store>,
    sealing: Arc<SealingKey>,
    limits: Arc<Limits>,
    current: Arc<ArcSwap<Directory>>,
    /// One picture is made at a time, so that an older one never takes a newer one's place.
    making: tokio::sync::Mutex<()>,
}

impl Routing {
    pub async fn start(
        store: Arc<dyn Store>,
        sealing: Arc<SealingKey>,
        limits: Arc<Limits>,
    ) -> Result<Arc<Self>, Error> {
        let routing =
            Arc::new(Self { store, sealing, limits, current: Arc::default(), making: tokio::sync::Mutex::default() });
        routing.refresh().await?;
        let weak = Arc::downgrade(&routing);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(routing) = weak.upgrade() else { return };
                routing.look().await;
            }
        });
        Ok(routing)
    }

    pub fn current(&self) -> Arc<ArcSwap<Directory>> {
        self.current.clone()
    }

    /// Returns when calls go by what stands in the store now.
    pub async fn refresh(&self) -> Result<(), Error> {
        let _one = self.making.lock().await;
        let kept = self.store.directory().await?;
        let mut secrets = Secrets::new();
        for application in kept.applications.iter().filter(|application| !application.secrets.is_empty()) {
            let values = self.store.secrets(application.id).await?;
            secrets.insert(application.id, self.open(application.id, values));
        }
        self.current.store(Arc::new(Directory::new(&kept, &mut secrets, &self.limits)));
        Ok(())
    }

    /// Another process may have changed the store, or a refresh may have failed.
    async fn look(&self) {
        let behind = match self.store.directory_revision().await {
            Ok(revision) => revision != self.current.load().revision,
            Err(_) => return,
        };
        if behind && let Err(error) = self.refresh().await {
            warn!(%error, "calls go on by an older directory");
        }
    }

    /// One that does not open is left out: its module is told that there is none.
    fn open(
        &self,
        application: ApplicationId,
        sealed: Vec<(String, Vec<u8>)>,
    ) -> std::collections::BTreeMap<String, String> {
        let open = |(name, bytes): (String, Vec<u8>)| match self.sealing.open(application, &name, &bytes) {
            Ok(value) => Some((name, value)),
            Err(why) => {
                error!(%why, "a secret is left out");
                None
            }
        };
        sealed.into_iter().filter_map(open).collect()
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
