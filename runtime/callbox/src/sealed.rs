//! Secrets at rest: AES-256-GCM under a key that lives in a file of its own.
//!
//! A copy of the database alone is of no use to a thief: the key is in `secrets.key` beside it in
//! the data folder (`node.data_dir`), readable by the node's user only, and is to be backed up apart.
//! What a secret is for (its owner and name) is authenticated with it, so that a row cannot be
//! moved to another.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use thiserror::Error;
use zeroize::Zeroizing;

pub struct SealingKey {
    cipher: Aes256Gcm,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot {what} the key file {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the key file {path} has {found} bytes instead of {KEY_BYTES}: it is not a key file of callbox")]
    Length { path: PathBuf, found: usize },
    #[error("the key file {path} may be read by others (mode {mode:o}): run chmod 600 on it")]
    Mode { path: PathBuf, mode: u32 },
    #[error("the operating system gave no random bytes: {0}")]
    Chance(getrandom::Error),
    #[error("secret `{name}` of {owner} does not open: it was sealed with another key, or was changed")]
    Seal { owner: String, name: String },
}

impl SealingKey {
    /// Reads the key, or makes one on the first start.
    pub fn load_or_make(path: &Path) -> Result<Self, Error> {
        let failed = |what| move |source| Error::File { what, path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(Error::Mode { path: path.to_owned(), mode });
                }
                let bytes = Zeroizing::new(fs::read(path).map_err(failed("read"))?);
                Self::from_bytes(path, &bytes)
            }
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
                getrandom::fill(&mut *bytes).map_err(Error::Chance)?;
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create"))?;
                file.write_all(&*bytes).and_then(|()| file.sync_all()).map_err(failed("write"))?;
                Self::from_bytes(path, &*bytes)
            }
            Err(other) => Err(failed("open")(other)),
        }
    }

    /// `owner` is an id: of an application, a user, a trunk.
    pub fn seal(&self, owner: impl Display, name: &str, value: &str) -> Result<Vec<u8>, Error> {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(Error::Chance)?;
        let aad = purpose(&owner, name);
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: value.as_bytes(), aad: &aad })
            .map_err(|_| Error::Seal { owner: owner.to_string(), name: name.to_owned() })?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub fn open(&self, owner: impl Display, name: &str, sealed: &[u8]) -> Result<String, Error> {
        let failed = || Error::Seal { owner: owner.to_string(), name: name.to_owned() };
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(failed)?;
        let aad = purpose(&owner, name);
        let value =
            self.cipher.decrypt(&Nonce::from(*nonce), Payload { msg: text, aad: &aad }).map_err(|_| failed())?;
        String::from_utf8(value).map_err(|_| failed())
    }

    fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let cipher = Aes256Gcm::new_from_slice(bytes)
            .map_err(|_| Error::Length { path: path.to_owned(), found: bytes.len() })?;
        Ok(Self { cipher })
    }
}

fn purpose(owner: &impl Display, name: &str) -> Vec<u8> {
    format!("{owner}/{name}").into_bytes()
}

const KEY_BYTES: usize = 32;
/// 96 bits from chance: safe for 2^32 secrets under one key.
const NONCE_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use callbox_model::ApplicationId;

    use super::*;

    #[test]
    fn a_secret_opens_only_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        let (one, other) = (ApplicationId::from_u128(1), ApplicationId::from_u128(2));
        let sealed = SealingKey::load_or_make(&path).unwrap().seal(one, "token", "hush").unwrap();
        assert!(!sealed.windows(4).any(|bytes| bytes == b"hush"));

        let again = SealingKey::load_or_make(&path).unwrap();
        assert_eq!(again.open(one, "token", &sealed).unwrap(), "hush");
        assert!(again.open(other, "token", &sealed).is_err());
        assert!(again.open(one, "other", &sealed).is_err());
        assert!(again.open(one, "token", &sealed[..5]).is_err());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        drop(SealingKey::load_or_make(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = SealingKey::load_or_make(&path).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
