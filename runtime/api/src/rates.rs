//! One token bucket for each key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use callbox_model::KeyId;

pub(crate) struct Rates {
    per_s: u32,
    buckets: Mutex<BTreeMap<KeyId, Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Rates {
    pub(crate) fn new(per_s: u32) -> Self {
        Self { per_s: per_s.max(1), buckets: Mutex::default() }
    }

    /// Takes a token; or says after how long there is one.
    pub(crate) fn take(&self, key: KeyId, now: Instant) -> Result<(), Duration> {
        let most = f64::from(self.per_s);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS && !buckets.contains_key(&key) {
            // A bucket that would be full again is as good as none.
            buckets.retain(|_, bucket| now.duration_since(bucket.filled) < Duration::from_secs(1));
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: most, filled: now });
        bucket.tokens = (bucket.tokens + now.duration_since(bucket.filled).as_secs_f64() * most).min(most);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / most))
    }
}

/// Buckets are only made for keys that open something.
const MOST_BUCKETS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate_holds() {
        let (rates, start) = (Rates::new(10), Instant::now());
        let (key, other) = (KeyId::from_u128(1), KeyId::from_u128(2));
        for _ in 0..10 {
            assert!(rates.take(key, start).is_ok());
        }
        let wait = rates.take(key, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert!(rates.take(other, start).is_ok(), "a key pays for itself alone");
        assert!(rates.take(key, start + Duration::from_millis(101)).is_ok());
        assert!(rates.take(key, start + Duration::from_millis(101)).is_err());
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (rates, start) = (Rates::new(10), Instant::now());
        for id in 0..MOST_BUCKETS {
            assert!(rates.take(KeyId::from_u128(id as u128), start).is_ok());
        }
        assert!(rates.take(KeyId::from_u128(u128::MAX), start + Duration::from_secs(2)).is_ok());
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
