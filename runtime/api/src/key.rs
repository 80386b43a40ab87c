//! API keys: `cbx_<26 characters of the key's id>_<64 hexadecimal digits>`.
//!
//! The id finds the record; the digits are the secret. It has 256 random bits, so that a plain
//! SHA-256 of it is as good as a slow hash. The key is shown once, when it is made.

use callbox_model::KeyId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::backend::KeyRecord;

/// The secret part of a key that was just made.
pub struct Secret([u8; 32]);

#[derive(Debug, Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(pub(crate) getrandom::Error);

impl Secret {
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        Ok(Self(bytes))
    }

    /// What is kept.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// What its owner is given.
    pub fn into_key(self, id: KeyId) -> String {
        let mut key = format!("cbx_{}_", &id.to_string()[KeyId::PREFIX.len() + 1..]);
        for byte in self.0 {
            key.push(char::from(HEX[usize::from(byte >> 4)]));
            key.push(char::from(HEX[usize::from(byte & 15)]));
        }
        key
    }
}

/// A key as it was presented.
pub(crate) struct Presented {
    pub(crate) id: KeyId,
    hash: [u8; 32],
}

impl Presented {
    pub(crate) fn read(key: &str) -> Option<Self> {
        let (id, secret) = key.strip_prefix("cbx_")?.split_once('_')?;
        let id = format!("{}_{id}", KeyId::PREFIX).parse().ok()?;
        if secret.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(secret.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self { id, hash: Sha256::digest(bytes).into() })
    }

    /// Takes the same time whether there is a record or not, and wherever the hashes differ.
    pub(crate) fn opens(&self, record: Option<&KeyRecord>) -> bool {
        let kept = record.map_or([0; 32], |record| record.hash);
        bool::from(self.hash.ct_eq(&kept)) & record.is_some()
    }
}

fn digit(character: u8) -> Option<u8> {
    HEX.iter().position(|&digit| digit == character).map(|value| value as u8)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use callbox_model::Wall;
    use proptest::prelude::*;

    use super::*;
    use crate::backend::Role;

    fn record(id: KeyId, hash: [u8; 32]) -> KeyRecord {
        KeyRecord { id, role: Role::Operator, name: String::new(), hash, created: Wall(0) }
    }

    #[test]
    fn a_key_opens_its_own_record_and_no_other() {
        let id = KeyId::from_u128(77);
        let (mine, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        let (my_record, other_record) = (record(id, mine.hash()), record(id, other.hash()));
        let presented = Presented::read(&mine.into_key(id)).unwrap();
        assert_eq!(presented.id, id);
        assert!(presented.opens(Some(&my_record)));
        assert!(!presented.opens(Some(&other_record)));
        assert!(!presented.opens(None));
    }

    proptest! {
        #[test]
        fn what_is_no_key_is_not_read(text in "(cbx_)?[0-9a-z_]{0,100}") {
            if let Some(presented) = Presented::read(&text) {
                prop_assert!(text.starts_with("cbx_") && text.len() == 4 + 26 + 1 + 64);
                prop_assert!(presented.id.to_string().ends_with(&text[4..30]));
            }
        }
    }
}
