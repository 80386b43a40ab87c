//! Why a step did not do what it was asked.

use crate::bindings::callbox::voice::{kv, types};

/// Why a step did not do what it was asked; and, returned by the handler, why it gives up.
pub type Error = types::StepError;

pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl From<String> for Error {
    fn from(words: String) -> Self {
        Self::Other(words)
    }
}

impl From<&str> for Error {
    fn from(words: &str) -> Self {
        Self::Other(words.to_owned())
    }
}

impl From<kv::KvError> for Error {
    fn from(error: kv::KvError) -> Self {
        match error {
            kv::KvError::Argument(words) => Self::Argument(words),
            kv::KvError::Quota(words) => Self::Quota(words),
            kv::KvError::Conflict => Self::State("another call changed this key".to_owned()),
            kv::KvError::Unavailable(words) => Self::Unavailable(words),
        }
    }
}
