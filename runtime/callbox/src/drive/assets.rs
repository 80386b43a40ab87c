//! Assets, for media. Asked on its files threads, which may wait.

use std::sync::Arc;
use std::time::Duration;

use callbox_model::ApplicationId;
use callbox_store::{Error, Scope, Store};
use tokio::runtime::Handle;

pub struct Assets {
    store: Arc<dyn Store>,
    tokio: Handle,
}

impl Assets {
    pub fn new(store: Arc<dyn Store>, tokio: Handle) -> Self {
        Self { store, tokio }
    }

    fn wait<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<Result<T, Error>, String> {
        self.tokio
            .block_on(async { tokio::time::timeout(WITHIN, asked).await })
            .map_err(|_| format!("the store did not answer within {} s", WITHIN.as_secs()))
    }
}

impl callbox_media::Assets for Assets {
    fn find(&self, application: ApplicationId, name: &str) -> Result<Option<String>, String> {
        match self.wait(self.store.asset(Scope::Operator, application, name))? {
            Ok(asset) => Ok(Some(asset.digest)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read(&self, application: ApplicationId, name: &str) -> Result<Vec<u8>, String> {
        let bytes = async {
            let asset = self.store.asset(Scope::Operator, application, name).await?;
            self.store.blob(&asset.digest).await
        };
        self.wait(bytes)?.map_err(|error| error.to_string())
    }
}

/// Long enough for a stalled disk; a caller does not wait longer for a prompt.
const WITHIN: Duration = Duration::from_secs(5);
