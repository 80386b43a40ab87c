//! Names of things: 128 bits that sort by time and carry the node that made them.
//!
//! Layout, from the top: 48 bits of Unix milliseconds, 16 bits of node ordinal, 16 bits of the
//! node's epoch, 48 bits of a per-node sequence that starts at a random place. Shown as a prefix
//! that says what it names, and 26 characters of Crockford's base 32 in lower case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::Wall;

/// Makes ids for one node. Told the time; holds no clock.
#[derive(Debug)]
pub struct IdSource {
    node: u16,
    epoch: u16,
    sequence: std::sync::atomic::AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{given}` is no id of this kind: expected `{prefix}_` and 26 characters of 0-9, a-z without i, l, o, u")]
pub struct IdError {
    given: String,
    prefix: &'static str,
}

impl IdSource {
    /// `seed` should be random, so that two nodes with the same ordinal do not collide.
    pub fn new(node: u16, epoch: u16, seed: u64) -> Self {
        Self { node, epoch, sequence: std::sync::atomic::AtomicU64::new(seed & SEQUENCE) }
    }

    fn next(&self, now: Wall) -> u128 {
        let sequence = self.sequence.fetch_add(1, std::sync::atomic::Ordering::Relaxed) & SEQUENCE;
        let millis = (now.as_micros() / 1_000).max(0) as u128 & 0xffff_ffff_ffff;
        millis << 80 | u128::from(self.node) << 64 | u128::from(self.epoch) << 48 | u128::from(sequence)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub fn new(source: &IdSource, now: Wall) -> Self {
                Self(source.next(now))
            }

            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(given: &str) -> Result<Self, IdError> {
                given
                    .strip_prefix(concat!($prefix, "_"))
                    .and_then(read_base32)
                    .map(Self)
                    .ok_or_else(|| IdError { given: given.chars().take(64).collect(), prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Who owns modules, applications, numbers and calls.
    TenantId = "ten";
    /// One uploaded component, immutable.
    ModuleId = "mod";
    /// An ordered handler chain with its settings.
    ApplicationId = "app";
    /// An address that maps to an application.
    NumberId = "num";
    CallId = "call";
    /// One stretch of one module doing one thing.
    RunId = "run";
    RecordingId = "rec";
    /// An API key. The id is public, the key is not.
    KeyId = "key";
    /// A SIP domain of a tenant.
    DomainId = "dom";
    /// A phone that registers.
    UserId = "usr";
    /// A way out to, and in from, a carrier.
    TrunkId = "trk";
}

fn write_base32(bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; LENGTH];
    for (place, slot) in text.iter_mut().rev().enumerate() {
        *slot = ALPHABET[(bits >> (5 * place)) as usize & 31];
    }
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn read_base32(text: &str) -> Option<u128> {
    if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |bits, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        Some(bits << 5 | digit as u128)
    })
}

const SEQUENCE: u64 = 0xffff_ffff_ffff;
const LENGTH: usize = 26;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_reads_back(bits: u128) {
            let id = CallId::from_u128(bits);
            prop_assert_eq!(id.to_string().parse::<CallId>(), Ok(id));
        }

        #[test]
        fn nothing_that_is_no_id_is_read(text in ".{0,40}") {
            if let Ok(id) = text.parse::<CallId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn ids_sort_by_time_and_never_repeat() {
        let source = IdSource::new(3, 1, u64::MAX);
        let ids: Vec<_> = (0..1_000).map(|at| RunId::new(&source, Wall(at * 1_000))).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.windows(2).all(|pair| pair[0].to_string() < pair[1].to_string()));
    }

    #[test]
    fn a_wrong_id_says_what_was_expected() {
        let error = "app_123".parse::<CallId>().unwrap_err().to_string();
        assert!(error.contains("`app_123`") && error.contains("`call_`"), "{error}");
    }
}
