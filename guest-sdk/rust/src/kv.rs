//! Small values of the application, shared by its calls. Keys to 256 bytes, values to 64 KiB.

use std::time::Duration;

use crate::bindings::callbox::voice::kv;

pub use crate::bindings::callbox::voice::kv::{Entry, KvError as Error};

pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    kv::get(key)
}

/// Returns the key's new revision.
pub fn put(key: &str, value: impl AsRef<[u8]>) -> Result<u32, Error> {
    kv::put(key, value.as_ref(), None, None)
}

/// Puts a value that is gone after a while.
pub fn put_for(key: &str, value: impl AsRef<[u8]>, time: Duration) -> Result<u32, Error> {
    kv::put(key, value.as_ref(), None, Some(crate::milliseconds(time)))
}

/// Puts only if the key is still at this revision; 0 is for a key that is not there. Otherwise it
/// fails with [`Error::Conflict`].
pub fn put_if(key: &str, value: impl AsRef<[u8]>, revision: u32) -> Result<u32, Error> {
    kv::put(key, value.as_ref(), Some(revision), None)
}

pub fn remove(key: &str) -> Result<(), Error> {
    kv::remove(key)
}

/// A counter; returns its new value.
pub fn add(key: &str, by: i64) -> Result<i64, Error> {
    kv::add(key, by)
}

/// Up to `limit` keys that begin with `prefix`, in order, those after `after`.
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    kv::keys(prefix, after, limit)
}
