//! Tags, branches and Call-IDs that nobody can guess: a keyed hash of a count.

use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

/// Seeded by the driver, from the operating system; in tests by anything.
#[derive(Debug)]
pub struct Chance {
    keys: (u64, u64),
    count: u64,
}

/// What a table is looked up by instead of the words themselves. It is keyed, so that nobody can
/// make two that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u64, u64);

/// Of a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Branch {
    token: u64,
    of: BranchOf,
}

/// A CANCEL has the branch of its INVITE (9.1); the two are told apart by method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BranchOf {
    Request,
    Cancel,
}

impl Chance {
    pub fn new(seed: [u8; 16]) -> Self {
        let (one, two) = seed.split_at(8);
        let read = |half: &[u8]| u64::from_le_bytes(half.try_into().unwrap_or_default());
        Self { keys: (read(one), read(two)), count: 0 }
    }

    /// 64 bits in 16 hexadecimal digits.
    pub(crate) fn token(&mut self) -> String {
        format!("{:016x}", self.number())
    }

    /// The same of the same bytes.
    pub(crate) fn token_of(&self, bytes: &[u8]) -> String {
        format!("{:016x}", self.hash(0, &[bytes]))
    }

    pub(crate) fn branch(&mut self) -> Branch {
        Branch { token: self.number(), of: BranchOf::Request }
    }

    /// The same of the same parts.
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Key {
        Key(self.hash(1, parts), self.hash(2, parts))
    }

    /// Anything from `least` to `most`, to the millisecond.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_millis() as u64;
        least + Duration::from_millis(self.number() % (span + 1))
    }

    /// 31 bits, and not zero: the first RSeq (RFC 3262 3).
    pub(crate) fn sequence(&mut self) -> u32 {
        (self.number() as u32 >> 2) + 1
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.hash(0, &[&self.count.to_be_bytes()])
    }

    fn hash(&self, use_of: u64, parts: &[&[u8]]) -> u64 {
        #[expect(deprecated, reason = "SipHash with keys of our own is what is wanted, and no crate is needed for it")]
        let mut hash = std::hash::SipHasher::new_with_keys(self.keys.0 ^ use_of, self.keys.1);
        for part in parts {
            hash.write(part);
            // What no part has in it, so that their ends count.
            hash.write(b"\n");
        }
        hash.finish()
    }
}

impl Branch {
    /// No other is less.
    pub(crate) const FIRST: Self = Self { token: 0, of: BranchOf::Request };

    /// RFC 3261 8.1.1.7: the cookie, and something unique. None: it is none of ours.
    pub(crate) fn read(text: &str, of: BranchOf) -> Option<Self> {
        let digits = text.strip_prefix(COOKIE).filter(|digits| digits.len() == 16)?;
        Some(Self { token: u64::from_str_radix(digits, 16).ok()?, of })
    }

    pub(crate) const fn of_cancel(self) -> Self {
        Self { of: BranchOf::Cancel, ..self }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COOKIE}{:016x}", self.token)
    }
}

const COOKIE: &str = "z9hG4bK";
