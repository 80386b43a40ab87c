//! The server's side: nonces that need no table, and answers held against verifiers.
//!
//! A nonce carries its time and a serial number, and is signed together with where it was sent
//! and for which realm. So nothing is kept of a challenge, whoever asks for them. Of a nonce that
//! was used rightly, the counts are kept for its lifetime, so that no answer counts twice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha512_256};
use subtle::{Choice, ConstantTimeEq};

use crate::agent::Answered;
use crate::digest::fields::{Fields, escape};
use crate::digest::guard::Guard;
use crate::digest::{Algorithm, Proof, Qop, Verifiers, hex};
use crate::header::Name;
use crate::message::Message;
use crate::transaction::Time;
use crate::uri::Uri;

#[derive(Debug)]
pub struct Authenticator {
    key: [u8; 32],
    serial: u64,
    /// Of nonces that were used rightly, by serial.
    windows: BTreeMap<u64, Window>,
    most_windows: usize,
    /// Nonces up to this serial that have no window had one, or are over.
    forgotten: u64,
    guard: Guard,
    /// What answers of users that do not exist are held against.
    strangers: Verifiers,
}

/// What a domain asks of its users.
#[derive(Clone, Copy, Debug)]
pub struct Protection<'a> {
    pub realm: &'a str,
    /// Offered last, for phones that know no better (RFC 8760 2.3).
    pub md5: bool,
}

/// What an answer is worth. All but the first are answered by [`Authenticator::refusal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<U> {
    /// The answer is right: this user sent the request, and it was not seen before.
    Passed {
        user: U,
        name: String,
    },
    /// There is no answer for this realm.
    Absent,
    /// The nonce is no longer, or was never, one of ours. The password was not looked at.
    Stale,
    /// No such user, or not the password. The two are not told apart, here neither.
    Wrong,
    /// Too many wrong ones before: it was not looked at.
    Held {
        retry_after: Duration,
    },
    Malformed(&'static str),
}

/// Which counts of a nonce were used.
#[derive(Debug)]
struct Window {
    issued_s: u32,
    highest: u32,
    /// Bit n stands for `highest - n`.
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct Nonce {
    serial: u64,
    issued_s: u32,
}

/// An answer as it came.
struct Answer {
    name: String,
    algorithm: Algorithm,
    qop: Qop,
    fields: Fields,
}

/// For a burst of requests of one phone. A stale nonce costs one more round trip, no question to
/// anybody.
const LIFETIME_S: u32 = 300;
/// 2 MB or so: 200 phones a second that prove themselves anew, for a whole lifetime. When there
/// are more, the oldest nonces are stale before their time.
const MOST_WINDOWS: usize = 65_536;
/// Requests of one phone overtake each other by no more.
const WINDOW: u32 = 64;
/// A user's name, and whatever else is hashed or looked up.
const LONGEST_NAME_BYTES: usize = 256;
/// A phone behind proxies answers several realms at once.
const MOST_ANSWERS: usize = 8;
const MAC_BYTES: usize = 16;
const NONCE_BYTES: usize = 8 + 4 + MAC_BYTES;

impl Authenticator {
    /// The key is chance of the operating system's, new at each start: what is kept of used nonces
    /// does not outlive it, and neither may they.
    pub fn new(key: [u8; 32]) -> Self {
        let derive = |purpose: &str| Sha512_256::new().chain_update(key).chain_update(purpose).finalize().into();
        let (guard, strangers): ([u8; 32], [u8; 32]) = (derive("guard"), derive("strangers"));
        let mut md5 = [0; 16];
        md5.copy_from_slice(&strangers[..16]);
        Self {
            key: derive("nonces"),
            serial: 0,
            windows: BTreeMap::new(),
            most_windows: MOST_WINDOWS,
            forgotten: 0,
            guard: Guard::new(guard),
            strangers: Verifiers { md5, sha256: strangers, sha512_256: strangers },
        }
    }

    /// Values for WWW-Authenticate, a line each, the one that is liked best first (RFC 8760 2.3).
    pub fn challenge(&mut self, now: Time, source: IpAddr, protection: Protection<'_>, stale: bool) -> Vec<String> {
        self.serial += 1;
        let nonce = Nonce { serial: self.serial, issued_s: seconds(now) };
        let nonce = self.write(nonce, source, protection.realm);
        // A realm is a domain's name: what no line could hold does not get here.
        let realm = escape(protection.realm).unwrap_or_default();
        protection
            .algorithms()
            .iter()
            .map(|algorithm| {
                let mut fields = Fields::default();
                fields.quoted("realm", &realm).quoted("nonce", &nonce);
                if stale {
                    fields.bare("stale", "true");
                }
                fields.bare("algorithm", algorithm.name()).quoted("qop", Qop::Auth.name());
                fields.to_string()
            })
            .collect()
    }

    /// Holds the request's answer (in `header`: Authorization, or Proxy-Authorization) against
    /// what `lookup` finds under its name.
    pub fn verify<U>(
        &mut self,
        now: Time,
        source: IpAddr,
        protection: Protection<'_>,
        request: &Message,
        header: Name,
        lookup: impl FnOnce(&str) -> Option<(U, Verifiers)>,
    ) -> Verdict<U> {
        let ours = |value: &[u8]| Fields::read(value).filter(|f| f.plain("realm").as_deref() == Some(protection.realm));
        let Some(fields) = request.values(header).take(MOST_ANSWERS).find_map(|value| ours(&value)) else {
            return Verdict::Absent;
        };
        let answer = match Answer::read(fields) {
            Ok(answer) => answer,
            Err(why) => return Verdict::Malformed(why),
        };
        // An answer to a challenge that was not made: the right ones are made again.
        if answer.qop != Qop::Auth || !protection.algorithms().contains(&answer.algorithm) {
            return Verdict::Absent;
        }
        let Ok(count) = answer.count() else { return Verdict::Malformed("nc is no count") };
        let Some(nonce) = self.read(answer.raw("nonce"), source, protection.realm) else { return Verdict::Stale };
        if !self.is_usable(now, nonce, count) {
            return Verdict::Stale;
        }
        // RFC 7616 3.4.6: the answer is for this request. A proxy may have added parameters.
        if !is_same_resource(answer.raw("uri"), request.request_uri()) {
            return Verdict::Malformed("the digest's uri is another one than the request's");
        }
        let who = self.guard.who(source, protection.realm, &answer.name);
        if let Some(retry_after) = self.guard.held(now, who) {
            return Verdict::Held { retry_after };
        }
        // The same work, whether the user exists or not.
        let found = lookup(&answer.name);
        let verifiers = found.as_ref().map_or(&self.strangers, |(_, verifiers)| verifiers);
        let is_right = answer.is_right(verifiers, request) & Choice::from(u8::from(found.is_some()));
        match found {
            Some((user, _)) if bool::from(is_right) => {
                self.guard.passed(now, who);
                self.use_up(now, nonce, count);
                Verdict::Passed { user, name: answer.name }
            }
            _ => {
                self.guard.failed(now, who);
                Verdict::Wrong
            }
        }
    }

    /// The whole answer to a request that did not pass. None when it did.
    pub fn refusal<U>(
        &mut self,
        now: Time,
        source: IpAddr,
        protection: Protection<'_>,
        verdict: &Verdict<U>,
    ) -> Option<Answered> {
        let answered = |status, reason: &str, headers| Answered { status, reason: reason.to_owned(), headers };
        Some(match verdict {
            Verdict::Passed { .. } => return None,
            Verdict::Absent | Verdict::Stale | Verdict::Wrong => {
                let challenges = self.challenge(now, source, protection, matches!(verdict, Verdict::Stale));
                let header = |value| (Name::WwwAuthenticate.long().to_owned(), value);
                answered(401, "Unauthorized", challenges.into_iter().map(header).collect())
            }
            // Not 503: a proxy on the way would take the whole node for overloaded.
            Verdict::Held { retry_after } => {
                let seconds = retry_after.as_secs().saturating_add(1).to_string();
                answered(480, "Too Many Failures", vec![(Name::RetryAfter.long().to_owned(), seconds)])
            }
            Verdict::Malformed(why) => answered(400, why, Vec::new()),
        })
    }

    /// Somebody proved to be a user some other way, or before a restart: there, guesses from
    /// elsewhere do not lock them out.
    pub fn trust(&mut self, now: Time, source: IpAddr, realm: &str, name: &str) {
        let who = self.guard.who(source, realm, name);
        self.guard.passed(now, who);
    }

    // Nonces.

    fn write(&self, nonce: Nonce, source: IpAddr, realm: &str) -> String {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..8].copy_from_slice(&nonce.serial.to_be_bytes());
        bytes[8..12].copy_from_slice(&nonce.issued_s.to_be_bytes());
        bytes[12..].copy_from_slice(&self.sign(nonce, source, realm));
        hex(&bytes)
    }

    /// None when it is not ours, or was sent elsewhere.
    fn read(&self, text: &str, source: IpAddr, realm: &str) -> Option<Nonce> {
        let bytes: [u8; NONCE_BYTES] = unhex(text)?;
        let (serial, rest) = bytes.split_at(8);
        let (issued, mac) = rest.split_at(4);
        let nonce = Nonce {
            serial: u64::from_be_bytes(serial.try_into().ok()?),
            issued_s: u32::from_be_bytes(issued.try_into().ok()?),
        };
        bool::from(self.sign(nonce, source, realm).ct_eq(mac)).then_some(nonce)
    }

    /// SHA-512/256 shows only half of its state, so a key in front of what is signed makes it a
    /// MAC: nobody can go on from its result. All parts but the last have fixed lengths.
    fn sign(&self, nonce: Nonce, source: IpAddr, realm: &str) -> [u8; MAC_BYTES] {
        let source = match source.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let hash = Sha512_256::new()
            .chain_update(self.key)
            .chain_update(nonce.serial.to_be_bytes())
            .chain_update(nonce.issued_s.to_be_bytes())
            .chain_update(source.octets())
            .chain_update(realm)
            .finalize();
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hash[..MAC_BYTES]);
        mac
    }

    fn is_usable(&self, now: Time, nonce: Nonce, count: u32) -> bool {
        let age = seconds(now).checked_sub(nonce.issued_s);
        if age.is_none_or(|age| age > LIFETIME_S) {
            return false;
        }
        match self.windows.get(&nonce.serial) {
            Some(window) => !window.is_used(count),
            None => nonce.serial > self.forgotten,
        }
    }

    fn use_up(&mut self, now: Time, nonce: Nonce, count: u32) {
        let new = || Window { issued_s: nonce.issued_s, highest: 0, used: 0 };
        self.windows.entry(nonce.serial).or_insert_with(new).take(count);
        // Serials rise with the time: the first is the oldest.
        let oldest = seconds(now).saturating_sub(LIFETIME_S);
        while let Some(first) = self.windows.first_entry()
            && (first.get().issued_s < oldest || self.windows.len() > self.most_windows)
        {
            let Some((serial, _)) = self.windows.pop_first() else { return };
            self.forgotten = self.forgotten.max(serial);
        }
    }
}

impl Protection<'_> {
    const fn algorithms(self) -> &'static [Algorithm] {
        if self.md5 { &[Algorithm::Sha256, Algorithm::Md5] } else { &[Algorithm::Sha256] }
    }
}

impl Answer {
    fn read(fields: Fields) -> Result<Self, &'static str> {
        for needed in ["nonce", "uri", "response", "cnonce", "nc"] {
            if fields.raw(needed).is_none_or(str::is_empty) {
                return Err("the digest's nonce, uri, response, cnonce or nc is missing");
            }
        }
        let name = fields.plain("username").ok_or("the digest's username is missing")?;
        if name.is_empty() || name.len() > LONGEST_NAME_BYTES {
            return Err("the digest's username is empty or too long");
        }
        let algorithm = Algorithm::read(fields.raw("algorithm")).ok_or("the digest's algorithm is not known")?;
        // RFC 3261 22.4: a challenge that offers qop is answered with it.
        let qop = fields.raw("qop").and_then(Qop::read).ok_or("the digest's qop is missing or not known")?;
        Ok(Self { name, algorithm, qop, fields })
    }

    fn raw(&self, name: &str) -> &str {
        self.fields.raw(name).unwrap_or_default()
    }

    /// 8 hexadecimal digits, from 1.
    fn count(&self) -> Result<u32, ()> {
        let text = self.raw("nc");
        let is_count = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(text, 16).ok().filter(|&count| is_count && count > 0).ok_or(())
    }

    /// In the same time whichever byte is wrong.
    fn is_right(&self, verifiers: &Verifiers, request: &Message) -> Choice {
        let proof = Proof {
            algorithm: self.algorithm,
            nonce: self.raw("nonce"),
            cnonce: self.raw("cnonce"),
            qop: Some((self.qop, self.raw("nc"))),
            method: request.method().map_or("", |method| method.as_str()),
            uri: self.raw("uri"),
            body: request.body(),
        };
        proof.response(verifiers).as_bytes().ct_eq(self.raw("response").as_bytes())
    }
}

impl Window {
    fn is_used(&self, count: u32) -> bool {
        match self.highest.checked_sub(count) {
            // What lies too far back is not known, and counts as used.
            Some(behind) => behind >= WINDOW || self.used >> behind & 1 == 1,
            None => false,
        }
    }

    fn take(&mut self, count: u32) {
        match count.checked_sub(self.highest) {
            Some(ahead) => {
                self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = count;
            }
            None => self.used |= 1u64.checked_shl(self.highest - count).unwrap_or(0),
        }
    }
}

/// User, host and port. Phones are known to leave parameters away from the digest's uri, and
/// parameters name no other user.
fn is_same_resource(given: &str, asked: &[u8]) -> bool {
    if given.as_bytes() == asked {
        return true;
    }
    match (Uri::read(given.as_bytes()), Uri::read(asked)) {
        (Ok(given), Ok(asked)) => {
            given.scheme == asked.scheme
                && given.plain_user() == asked.plain_user()
                && given.host.is_some()
                && given.host == asked.host
                && given.port == asked.port
        }
        _ => false,
    }
}

pub(super) fn is_readable(fields: &Fields) -> bool {
    Answer::read(fields.clone()).is_ok_and(|answer| answer.count().is_ok())
}

/// Lower case alone: one nonce has one text.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn seconds(now: Time) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
impl Authenticator {
    pub(super) fn windows(&self) -> usize {
        self.windows.len()
    }

    pub(super) fn with_windows(self, most_windows: usize) -> Self {
        Self { most_windows, ..self }
    }

    pub(super) const LIFETIME: Duration = Duration::from_secs(LIFETIME_S as u64);

    /// Whether an answer is right by itself, for whichever algorithm and qop.
    pub(super) fn is_right(value: &str, verifiers: &Verifiers, request: &Message) -> bool {
        let answer = Fields::read(value.as_bytes()).and_then(|fields| Answer::read(fields).ok());
        answer.is_some_and(|answer| answer.is_right(verifiers, request).into())
    }
}
