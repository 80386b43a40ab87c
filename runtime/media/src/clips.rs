//! Prepared sounds: encoded once, shared by all who play them, the least used forgotten first.
//!
//! What can be computed as it is heard (a long tone, silence) takes no memory for its length.
//! What is kept is charged to the tenant it was first prepared for, for as long as anybody plays it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// One sound in one law, 8,000 bytes a second: a head, then a piece that is heard over and over,
/// then a tail. Most have a head alone.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    head: Arc<Kept>,
    cycle: Arc<Kept>,
    cycle_bytes: u64,
    tail: Arc<Kept>,
}

/// Bytes, and who is charged for them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Box<[u8]>,
    account: Option<Account>,
}

/// What one tenant has in memory.
pub(crate) type Account = Arc<AtomicU64>;

impl Kept {
    pub(crate) fn charged(bytes: Vec<u8>, account: &Account) -> Arc<Self> {
        account.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Arc::new(Self { bytes: bytes.into(), account: Some(account.clone()) })
    }

    /// For what is small whatever a tenant asks for.
    pub(crate) fn free(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes: bytes.into(), account: None })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

impl Clip {
    pub(crate) fn whole(head: Arc<Kept>) -> Self {
        let none = Arc::<Kept>::default();
        Self { head, cycle: none.clone(), cycle_bytes: 0, tail: none }
    }

    /// `cycle_bytes` of `cycle`, between a head and a tail.
    pub(crate) fn cycle(head: Vec<u8>, cycle: Vec<u8>, cycle_bytes: u64, tail: Vec<u8>) -> Self {
        let cycle_bytes = if cycle.is_empty() { 0 } else { cycle_bytes };
        Self { head: Kept::free(head), cycle: Kept::free(cycle), cycle_bytes, tail: Kept::free(tail) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.head.bytes.len() as u64 + self.cycle_bytes + self.tail.bytes.len() as u64
    }

    /// What stands at this place, as far as it fits, and as far as it goes on in one piece.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let head = self.head.bytes.len() as u64;
        let piece = if at < head {
            &self.head.bytes[at as usize..]
        } else if at < head + self.cycle_bytes {
            let into = at - head;
            let rest = &self.cycle.bytes[(into % self.cycle.bytes.len() as u64) as usize..];
            &rest[..rest.len().min((self.cycle_bytes - into) as usize)]
        } else {
            self.tail.bytes.get((at - head - self.cycle_bytes) as usize..).unwrap_or_default()
        };
        let count = piece.len().min(out.len());
        out[..count].copy_from_slice(&piece[..count]);
        count
    }
}

#[derive(Debug)]
pub(crate) struct Clips {
    most_bytes: usize,
    bytes: usize,
    clock: u64,
    kept: HashMap<String, (Arc<Kept>, u64)>,
    /// What somebody still plays is shared, whether it is kept here or not.
    played: HashMap<String, Weak<Kept>>,
}

impl Clips {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, bytes: 0, clock: 0, kept: HashMap::new(), played: HashMap::new() }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<Kept>> {
        self.clock += 1;
        if let Some((sound, used)) = self.kept.get_mut(key) {
            *used = self.clock;
            return Some(sound.clone());
        }
        self.played.get(key)?.upgrade()
    }

    pub(crate) fn put(&mut self, key: String, sound: &Arc<Kept>) {
        if self.played.len() >= 2 * self.kept.len() + PLAYED_AT_LEAST {
            self.played.retain(|_, sound| sound.strong_count() > 0);
        }
        self.played.insert(key.clone(), Arc::downgrade(sound));
        if sound.bytes.len() > self.most_bytes / 4 {
            return;
        }
        self.clock += 1;
        self.bytes += sound.bytes.len() + key.len();
        if let Some((old, _)) = self.kept.insert(key.clone(), (sound.clone(), self.clock)) {
            self.bytes -= old.bytes.len() + key.len();
        }
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.kept.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else {
                return;
            };
            self.forget(&oldest);
        }
    }

    /// Forgets what is charged to one tenant. What is being played stays in memory.
    pub(crate) fn forget_of(&mut self, account: &Account) {
        let is_theirs = |sound: &Kept| sound.account.as_ref().is_some_and(|other| Arc::ptr_eq(other, account));
        let theirs: Vec<_> =
            self.kept.iter().filter(|(_, (sound, _))| is_theirs(sound)).map(|(key, _)| key.clone()).collect();
        for key in theirs {
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &str) {
        if let Some((sound, _)) = self.kept.remove(key) {
            self.bytes -= sound.bytes.len() + key.len();
        }
    }
}

const PLAYED_AT_LEAST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_is_forgotten_first_and_what_is_played_is_shared() {
        let account = Account::default();
        let sound = |length| Kept::charged(vec![0; length], &account);
        let mut clips = Clips::new(1_000);
        for name in ["a", "b", "c"] {
            clips.put(name.to_owned(), &sound(240));
        }
        clips.get("a");
        clips.put("d".to_owned(), &sound(240));
        clips.put("e".to_owned(), &sound(240));
        assert!(clips.get("a").is_some() && clips.get("b").is_none() && clips.get("e").is_some());
        assert!(clips.bytes <= 1_000);
        let huge = sound(300);
        clips.put("huge".to_owned(), &huge);
        assert!(clips.get("huge").is_some(), "it is being played");
        drop(huge);
        assert!(clips.get("huge").is_none());
        assert_eq!(account.load(Ordering::Relaxed), 4 * 240);
        clips.forget_of(&account);
        assert_eq!((account.load(Ordering::Relaxed), clips.bytes), (0, 0));
    }

    #[test]
    fn a_cycle_is_as_long_as_is_said() {
        let clip = Clip::cycle(vec![1, 2], vec![3, 4, 5], 7, vec![6]);
        let (mut heard, mut at, mut out) = (Vec::<u8>::new(), 0, [0; 2]);
        while at < clip.len() {
            let count = clip.read(at, &mut out);
            heard.extend(&out[..count]);
            at += count as u64;
        }
        assert_eq!(heard, [1, 2, 3, 4, 5, 3, 4, 5, 3, 6]);
        assert_eq!(clip.read(at, &mut out), 0);
    }
}
