//! `ambient`: time and chance.

use crate::contract::callbox::voice::ambient;
use crate::guest::Guest;

impl ambient::Host for Guest {
    async fn now(&mut self) -> wasmtime::Result<f64> {
        self.called("ambient.now").await?;
        Ok(self.host.now_ms())
    }

    async fn random(&mut self) -> wasmtime::Result<u32> {
        self.called("ambient.random").await?;
        Ok(self.host.random())
    }
}
