//! URIs that reach one phone of a user (RFC 5627): a public one, which is the user's address with
//! the phone's URN, and temporary ones, which tell nobody whose they are.
//!
//! A temporary one is sealed, so nothing is kept of it: inside are the user, and a tag of the
//! phone and of the Call-ID it registers with. It holds as long as the phone stays registered with
//! that Call-ID (3.1), and while the node runs.

use std::time::Duration;

use sha2::{Digest, Sha512_256};
use subtle::ConstantTimeEq;

use crate::digest::hex;
use crate::registrar::{Account, Binding, UserKey};
use crate::uri::Uri;

#[derive(Debug)]
pub(super) struct Gruus {
    cipher: [u8; 32],
    mac: [u8; 32],
    count: u64,
}

/// Of an instance and a Call-ID.
pub(super) type Tag = [u8; 16];

const PREFIX: &str = "tgruu.";
const NONCE: usize = 12;
const SEALED: usize = 32;
const MAC: usize = 12;

impl Gruus {
    pub(super) fn new(key: [u8; 32]) -> Self {
        let derive = |purpose: &str| Sha512_256::new().chain_update(key).chain_update(purpose).finalize().into();
        Self { cipher: derive("cipher"), mac: derive("mac"), count: 0 }
    }

    /// A new one each time. None of a phone that did not say which it is.
    pub(super) fn seal(&mut self, wall: Duration, account: Account<'_>, binding: &Binding) -> Option<String> {
        let tag = tag(binding)?;
        self.count += 1;
        let nonce = Sha512_256::new()
            .chain_update(self.mac)
            .chain_update(self.count.to_be_bytes())
            .chain_update(wall.as_nanos().to_be_bytes())
            .finalize();
        let mut plain = [0; SEALED];
        plain[..16].copy_from_slice(&account.user.to_be_bytes());
        plain[16..].copy_from_slice(&tag);
        let nonce = &nonce[..NONCE];
        let sealed = self.mask(nonce, plain);
        let token = [nonce, &sealed[..], &self.sign(nonce, &sealed)[..]].concat();
        Some(format!("sip:{PREFIX}{}@{};gr", hex(&token), account.host()))
    }

    pub(super) fn open(&self, uri: &Uri) -> Option<(UserKey, Tag)> {
        let token = unhex(uri.user.as_deref()?.strip_prefix(PREFIX)?)?;
        let (nonce, rest) = token.split_at_checked(NONCE)?;
        let (sealed, mac) = rest.split_at_checked(SEALED)?;
        let sealed: [u8; SEALED] = sealed.try_into().ok()?;
        if !bool::from(self.sign(nonce, &sealed).ct_eq(mac)) {
            return None;
        }
        let plain = self.mask(nonce, sealed);
        let (user, tag) = plain.split_at(16);
        Some((u128::from_be_bytes(user.try_into().ok()?), tag.try_into().ok()?))
    }

    /// There and back: a pad that is made of the key, and of a nonce that comes once.
    fn mask(&self, nonce: &[u8], mut bytes: [u8; SEALED]) -> [u8; SEALED] {
        let pad = Sha512_256::new().chain_update(self.cipher).chain_update(nonce).finalize();
        bytes.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        bytes
    }

    fn sign(&self, nonce: &[u8], sealed: &[u8]) -> [u8; MAC] {
        let hash = Sha512_256::new().chain_update(self.mac).chain_update(nonce).chain_update(sealed).finalize();
        let mut mac = [0; MAC];
        mac.copy_from_slice(&hash[..MAC]);
        mac
    }
}

pub(super) fn tag(binding: &Binding) -> Option<Tag> {
    let instance = binding.instance.as_deref()?;
    let hash = Sha512_256::new()
        .chain_update((instance.len() as u64).to_be_bytes())
        .chain_update(instance)
        .chain_update(&binding.call_id)
        .finalize();
    let mut tag = Tag::default();
    tag.copy_from_slice(&hash[..16]);
    Some(tag)
}

pub(super) fn public(account: Account<'_>, instance: &str) -> String {
    let name = escape(account.name).replace(':', "%3A");
    format!("sip:{name}@{};gr={}", account.host(), escape(instance))
}

/// What may stand in a parameter goes as it is (RFC 3261 25.1). In a user, a colon may not.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()+$&:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let is_token = digits.len() == 2 * (NONCE + SEALED + MAC) && digits.iter().all(u8::is_ascii_hexdigit);
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    is_token.then(|| digits.chunks_exact(2).map(pair).collect())?
}
