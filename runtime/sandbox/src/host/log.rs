//! `log`: lines for the module's author.

use crate::contract::callbox::voice::log;
use crate::guest::Guest;

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.called("log.write").await?;
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.log_line(level, &message);
        Ok(())
    }
}
