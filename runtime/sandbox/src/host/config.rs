//! `config`: the application's settings and secrets.

use crate::contract::callbox::voice::config;
use crate::guest::Guest;

impl config::Host for Guest {
    async fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.called("config.get").await?;
        Ok(self.config.get(&name).cloned())
    }

    async fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.called("config.secret").await?;
        Ok(self.secrets.get(&name).cloned())
    }
}
