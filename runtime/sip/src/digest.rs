//! Digest access authentication (RFC 3261 22, RFC 7616, RFC 8760), both sides of it.
//!
//! [`answer`] is the client: it picks one of the challenges and answers it. [`Authenticator`] is
//! the server: it challenges, and holds answers against [`Verifiers`]. Neither has chance or a
//! clock of its own.

mod authenticator;
mod client;
mod fields;
mod guard;

pub use authenticator::{Authenticator, Protection, Verdict};
pub use client::{answer, is_stale};

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use fields::Fields;

/// What a password becomes: `H(user:realm:password)`. As good as the password for digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifiers {
    pub md5: [u8; 16],
    pub sha256: [u8; 32],
    pub sha512_256: [u8; 32],
}

/// RFC 8760 2.1. The session forms mix the nonces into what the password becomes (RFC 7616 3.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Md5Session,
    Sha256,
    Sha256Session,
    Sha512_256,
    Sha512_256Session,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

/// What is protected: the request alone, or its body too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qop {
    Auth,
    AuthInt,
}

/// All that a response is computed of, besides the password. Text as it stands between quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) nonce: &'a str,
    pub(crate) cnonce: &'a str,
    /// With the count of the nonce's uses. None is RFC 2069's way.
    pub(crate) qop: Option<(Qop, &'a str)>,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) body: &'a [u8],
}

/// What a password becomes for one user of one realm.
pub fn verifiers(user: &str, realm: &str, password: &str) -> Verifiers {
    let text = [user, realm, password].join(":");
    Verifiers {
        md5: Md5::digest(&text).into(),
        sha256: Sha256::digest(&text).into(),
        sha512_256: Sha512_256::digest(&text).into(),
    }
}

/// For fuzzing: reads bytes as what may stand in a challenge or an answer. What is read once reads
/// the same when it is written again.
pub fn fuzz(bytes: &[u8]) {
    let Some(fields) = Fields::read(bytes) else { return };
    let again = Fields::read(fields.to_string().as_bytes());
    assert_eq!(Some(&fields), again.as_ref(), "what was read is written as something else");
    client::is_readable(&fields);
    authenticator::is_readable(&fields);
}

impl Proof<'_> {
    /// RFC 7616 3.4.1, in lower case hexadecimal.
    pub(crate) fn response(&self, verifiers: &Verifiers) -> String {
        let hash = self.algorithm.hash();
        let ha1 = match self.algorithm.is_session() {
            false => hash.of(verifiers),
            true => hash.join(&[hash.of(verifiers).as_bytes(), self.nonce.as_bytes(), self.cnonce.as_bytes()]),
        };
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        // 3.4.3: with auth-int the body is a part of it.
        let ha2 = match self.qop {
            Some((Qop::AuthInt, _)) => hash.join(&[method, uri, hash.join(&[self.body]).as_bytes()]),
            Some((Qop::Auth, _)) | None => hash.join(&[method, uri]),
        };
        let (ha1, nonce, ha2) = (ha1.as_bytes(), self.nonce.as_bytes(), ha2.as_bytes());
        match self.qop {
            Some((qop, count)) => {
                hash.join(&[ha1, nonce, count.as_bytes(), self.cnonce.as_bytes(), qop.name().as_bytes(), ha2])
            }
            None => hash.join(&[ha1, nonce, ha2]),
        }
    }
}

impl Algorithm {
    /// Without one it is MD5 (RFC 7616 3.3).
    pub(crate) fn read(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else { return Some(Self::Md5) };
        [Self::Md5, Self::Md5Session, Self::Sha256, Self::Sha256Session, Self::Sha512_256, Self::Sha512_256Session]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Session => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Session => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Session => "SHA-512-256-sess",
        }
    }

    pub(crate) const fn hash(self) -> Hash {
        match self {
            Self::Md5 | Self::Md5Session => Hash::Md5,
            Self::Sha256 | Self::Sha256Session => Hash::Sha256,
            Self::Sha512_256 | Self::Sha512_256Session => Hash::Sha512_256,
        }
    }

    pub(crate) const fn is_session(self) -> bool {
        matches!(self, Self::Md5Session | Self::Sha256Session | Self::Sha512_256Session)
    }
}

impl Hash {
    /// Of parts with colons between them.
    fn join(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hex(&joined::<Md5>(parts)),
            Self::Sha256 => hex(&joined::<Sha256>(parts)),
            Self::Sha512_256 => hex(&joined::<Sha512_256>(parts)),
        }
    }

    fn of(self, verifiers: &Verifiers) -> String {
        match self {
            Self::Md5 => hex(&verifiers.md5),
            Self::Sha256 => hex(&verifiers.sha256),
            Self::Sha512_256 => hex(&verifiers.sha512_256),
        }
    }
}

impl Qop {
    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| qop.name().eq_ignore_ascii_case(text))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifiers(..)")
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0x0f)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]).collect()
}

#[cfg(test)]
mod tests;
