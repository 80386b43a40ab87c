//! Time and chance: the node's in production, a script's in tests.

use std::time::Duration;

use crate::bindings::callbox::voice::ambient;

/// Since the Unix epoch.
pub fn now() -> Duration {
    Duration::from_millis(ambient::now() as u64)
}

/// From a cryptographic source.
pub fn random() -> u32 {
    ambient::random()
}
