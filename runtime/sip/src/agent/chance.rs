//! Tags, branches and Call-IDs that nobody can guess: a keyed hash of a count.

use std::hash::Hasher;

/// Seeded by the driver, from the operating system; in tests by anything.
#[derive(Debug)]
pub struct Chance {
    keys: (u64, u64),
    count: u64,
}

impl Chance {
    pub fn new(seed: [u8; 16]) -> Self {
        let (one, two) = seed.split_at(8);
        let read = |half: &[u8]| u64::from_le_bytes(half.try_into().unwrap_or_default());
        Self { keys: (read(one), read(two)), count: 0 }
    }

    /// 64 bits in 16 hexadecimal digits.
    pub(crate) fn token(&mut self) -> String {
        self.count += 1;
        self.token_of(&self.count.to_be_bytes())
    }

    /// The same of the same bytes.
    pub(crate) fn token_of(&self, bytes: &[u8]) -> String {
        #[expect(deprecated, reason = "SipHash with keys of our own is what is wanted, and no crate is needed for it")]
        let mut hash = std::hash::SipHasher::new_with_keys(self.keys.0, self.keys.1);
        hash.write(bytes);
        format!("{:016x}", hash.finish())
    }

    /// RFC 3261 8.1.1.7: the cookie, and something unique.
    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.token())
    }
}
