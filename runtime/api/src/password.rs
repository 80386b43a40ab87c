//! Passwords of users and trunks, on their way from a request to the node.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::key::NoRandomness;

/// Shown in no log and no error, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// 24 letters and digits that are not taken for each other: 120 random bits.
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0_u8; GENERATED]);
        getrandom::fill(&mut *bytes).map_err(NoRandomness)?;
        Ok(Self::new(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect::<String>()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl<'de> Deserialize<'de> for Password {
    /// Whatever else stands there is not repeated in the error: it may be the password all the same.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self::new(text)),
            _ => Err(serde::de::Error::custom("must be a string")),
        }
    }
}

const GENERATED: usize = 24;
/// Crockford's, as ids are written in.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_long_and_differs() {
        let (one, other) = (Password::random().unwrap(), Password::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 24);
        assert!(one.as_str().bytes().all(|byte| ALPHABET.contains(&byte)));
    }

    #[test]
    fn it_is_not_shown_and_not_repeated() {
        let password: Password = serde_json::from_str("\"correct horse battery\"").unwrap();
        assert_eq!(password.as_str(), "correct horse battery");
        assert_eq!(format!("{:?}", Some(&password)), "Some(Password(..))");
        for other in ["1234567890123", "[\"correct horse\"]", "true", "{\"correct horse\": 1}"] {
            let error = serde_json::from_str::<Password>(other).unwrap_err().to_string();
            assert!(error.starts_with("must be a string"), "{error}");
        }
    }
}
