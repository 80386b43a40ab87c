//! Idempotency-Keys: the same request under the same key is carried out once, and answered alike.
//!
//! Kept in memory: a restart forgets. Only what succeeded is remembered; what was refused changed
//! nothing, and may be tried again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use callbox_model::KeyId;

pub(crate) struct Replays {
    ttl: Duration,
    most_entries: usize,
    most_bytes: usize,
    inner: Mutex<Inner>,
}

/// Who asks, and under which key.
pub(crate) type Name = (KeyId, String);

/// SHA-256 of everything that makes a request what it is.
pub(crate) type Fingerprint = [u8; 32];

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) enum Claim {
    /// The first of its kind: carry it out.
    First(Ticket),
    Again(Answer),
    /// The first is not answered yet.
    Running,
    /// The key came with another request.
    Other,
}

/// The right to carry a request out. Dropped without an answer, the key is free again.
pub(crate) struct Ticket {
    replays: Arc<Replays>,
    name: Option<Name>,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<Name, Entry>,
    /// The oldest answer first.
    answered: VecDeque<(Instant, Name)>,
    bytes: usize,
}

struct Entry {
    fingerprint: Fingerprint,
    answer: Option<Answer>,
}

impl Replays {
    pub(crate) fn new(ttl: Duration, most_entries: usize, most_bytes: usize) -> Self {
        Self { ttl, most_entries, most_bytes, inner: Mutex::default() }
    }

    pub(crate) fn claim(self: &Arc<Self>, name: Name, fingerprint: Fingerprint, now: Instant) -> Claim {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.answered.front().is_some_and(|(at, _)| now.duration_since(*at) >= self.ttl) {
            inner.forget_oldest();
        }
        match inner.entries.get(&name) {
            Some(entry) if entry.fingerprint != fingerprint => Claim::Other,
            Some(Entry { answer: Some(answer), .. }) => Claim::Again(answer.clone()),
            Some(Entry { answer: None, .. }) => Claim::Running,
            None => {
                inner.entries.insert(name.clone(), Entry { fingerprint, answer: None });
                Claim::First(Ticket { replays: Arc::clone(self), name: Some(name) })
            }
        }
    }
}

impl Ticket {
    pub(crate) fn answered(mut self, answer: Answer, now: Instant) {
        let Some(name) = self.name.take() else { return };
        let replays = &self.replays;
        let mut inner = replays.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.bytes += answer.body.len();
        if let Some(entry) = inner.entries.get_mut(&name) {
            entry.answer = Some(answer);
        }
        inner.answered.push_back((now, name));
        while inner.answered.len() > replays.most_entries || inner.bytes > replays.most_bytes {
            inner.forget_oldest();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.replays.inner.lock().unwrap_or_else(PoisonError::into_inner).entries.remove(&name);
        }
    }
}

impl Inner {
    fn forget_oldest(&mut self) {
        let Some((_, name)) = self.answered.pop_front() else {
            return;
        };
        let answer = self.entries.remove(&name).and_then(|entry| entry.answer);
        self.bytes -= answer.map_or(0, |answer| answer.body.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn name(key: &str) -> Name {
        (KeyId::from_u128(1), key.to_owned())
    }

    fn answer(body: &'static str) -> Answer {
        Answer { status: StatusCode::CREATED, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    fn ticket(claim: Claim) -> Ticket {
        match claim {
            Claim::First(ticket) => ticket,
            _ => panic!("not the first"),
        }
    }

    #[test]
    fn a_request_is_carried_out_once() {
        let (replays, now) = (Arc::new(Replays::new(HOUR, 10, 1_000)), Instant::now());
        let first = ticket(replays.claim(name("a"), [1; 32], now));
        assert!(matches!(replays.claim(name("a"), [1; 32], now), Claim::Running));
        first.answered(answer("one"), now);
        assert!(matches!(replays.claim(name("a"), [1; 32], now), Claim::Again(again) if again.body == "one"));
        assert!(matches!(replays.claim(name("a"), [2; 32], now), Claim::Other));
        assert!(matches!(replays.claim(name("a"), [1; 32], now + HOUR), Claim::First(_)));
    }

    #[test]
    fn what_was_refused_may_be_tried_again() {
        let (replays, now) = (Arc::new(Replays::new(HOUR, 10, 1_000)), Instant::now());
        drop(ticket(replays.claim(name("a"), [1; 32], now)));
        assert!(matches!(replays.claim(name("a"), [2; 32], now), Claim::First(_)));
    }

    #[test]
    fn the_oldest_go_first_at_each_bound() {
        let now = Instant::now();
        for replays in [Replays::new(HOUR, 2, 1_000), Replays::new(HOUR, 10, 7)] {
            let replays = Arc::new(replays);
            for key in ["a", "b", "c"] {
                ticket(replays.claim(name(key), [1; 32], now)).answered(answer("one"), now);
            }
            assert!(matches!(replays.claim(name("a"), [1; 32], now), Claim::First(_)));
            assert!(matches!(replays.claim(name("c"), [1; 32], now), Claim::Again(_)));
            assert_eq!(replays.inner.lock().unwrap().bytes, 6);
        }
    }
}
