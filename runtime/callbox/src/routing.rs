//! Keeps the picture of the directory up to date.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callbox_model::{ApplicationId, Limits};
use callbox_store::{Error, Store};
use tokio::sync::watch;
use tracing::{error, warn};

use crate::directory::{Directory, EgressRules, Opened};
use crate::sealed::SealingKey;
use crate::verifiers;

pub struct Routing {
    store: Arc<dyn Store>,
    sealing: Arc<SealingKey>,
    limits: Arc<Limits>,
    egress: EgressRules,
    current: Arc<ArcSwap<Directory>>,
    /// One picture is made at a time, so that an older one never takes a newer one's place.
    making: tokio::sync::Mutex<()>,
    /// Moves when trunks may have changed.
    trunks: watch::Sender<u64>,
}

impl Routing {
    pub async fn start(
        store: Arc<dyn Store>,
        sealing: Arc<SealingKey>,
        limits: Arc<Limits>,
        egress: EgressRules,
    ) -> Result<Arc<Self>, Error> {
        let (current, making) = (Arc::default(), tokio::sync::Mutex::default());
        let trunks = watch::Sender::new(0);
        let routing = Arc::new(Self { store, sealing, limits, egress, current, making, trunks });
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
        let mut opened = Opened::default();
        for application in kept.applications.iter().filter(|application| !application.secrets.is_empty()) {
            let values = self.store.secrets(application.id).await?;
            opened.secrets.insert(application.id, self.open(application.id, values));
        }
        for kept in &kept.users {
            let sealed = self.sealing.open(kept.user.id, VERIFIERS, kept.verifiers.as_bytes());
            match sealed.map(|text| verifiers::read(&text)) {
                Ok(Some(verifiers)) => drop(opened.verifiers.insert(kept.user.id, Arc::new(verifiers))),
                Ok(None) => error!(user.id = %kept.user.id, "a user's verifiers cannot be read; it cannot register"),
                Err(why) => error!(%why, "a user cannot register"),
            }
        }
        for kept in &kept.trunks {
            let Some(sealed) = &kept.password else { continue };
            match self.sealing.open(kept.trunk.id, PASSWORD, sealed.as_bytes()) {
                Ok(password) => drop(opened.passwords.insert(kept.trunk.id, password)),
                Err(why) => error!(%why, "a trunk has no password"),
            }
        }
        self.current.store(Arc::new(Directory::new(&kept, &mut opened, &self.limits, &self.egress)));
        self.trunks.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Told with every new picture.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.trunks.subscribe()
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

/// Under which names users' verifiers and trunks' passwords are sealed.
pub const VERIFIERS: &str = "verifiers";
pub const PASSWORD: &str = "password";
const LOOK_EVERY: Duration = Duration::from_secs(1);
