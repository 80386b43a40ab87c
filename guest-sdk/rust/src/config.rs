//! The application's settings and secrets.

use crate::bindings::callbox::voice::config;

pub fn get(name: &str) -> Option<String> {
    config::get(name)
}

/// Never shown by the API, in events or in logs.
pub fn secret(name: &str) -> Option<String> {
    config::secret(name)
}
