//! How much one source may ask: a token bucket each, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

pub(crate) struct Rates {
    per_s: f64,
    most: usize,
    sources: HashMap<IpAddr, Bucket>,
    /// In the order in which they were first seen.
    order: VecDeque<IpAddr>,
}

struct Bucket {
    tokens: f64,
    at: Duration,
    /// What comes in a second, as it was lately.
    rate: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Fine,
    /// To be told so.
    Over,
    /// Not worth an answer.
    Flood,
}

impl Rates {
    pub(crate) fn new(per_s: u32, most: usize) -> Self {
        Self { per_s: per_s.max(1).into(), most: most.max(1), sources: HashMap::new(), order: VecDeque::new() }
    }

    /// Whether one more may come, and what share of them is too much, in percent.
    pub(crate) fn take(&mut self, now: Duration, source: IpAddr) -> (Level, Option<u32>) {
        let burst = 2.0 * self.per_s;
        if !self.sources.contains_key(&source) {
            if self.sources.len() >= self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.sources.remove(&oldest);
            }
            self.order.push_back(source);
            self.sources.insert(source, Bucket { tokens: burst, at: now, rate: 0.0 });
        }
        let Some(bucket) = self.sources.get_mut(&source) else { return (Level::Fine, None) };
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        bucket.at = now;
        // The sum of a decay over one second: with n a second it settles at n.
        bucket.rate = bucket.rate * (-since).exp() + 1.0;
        bucket.tokens = (bucket.tokens + since * self.per_s).min(burst);
        // Answering costs as well: what is over the rate goes into debt, down to a second's worth.
        bucket.tokens = (bucket.tokens - 1.0).max(-self.per_s);
        let level = if bucket.tokens >= 0.0 {
            Level::Fine
        } else if bucket.tokens > -self.per_s {
            Level::Over
        } else {
            Level::Flood
        };
        // While its burst lasts it is not held to anything.
        let is_over = level != Level::Fine && bucket.rate > self.per_s;
        let excess = is_over.then(|| (100.0 * (1.0 - self.per_s / bucket.rate)) as u32);
        (level, excess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_over_its_rate_is_told_and_then_ignored() {
        let mut rates = Rates::new(10, 2);
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let levels: Vec<_> = (0..40).map(|_| rates.take(Duration::ZERO, one).0).collect();
        assert_eq!(levels.iter().filter(|level| **level == Level::Fine).count(), 20);
        assert_eq!(levels.iter().filter(|level| **level == Level::Over).count(), 9);
        assert_eq!(rates.take(Duration::ZERO, two), (Level::Fine, None), "another source does not notice");
        assert_eq!(rates.take(Duration::from_secs(2), one).0, Level::Fine);
    }

    #[test]
    fn a_source_at_twice_its_rate_is_told_to_keep_half() {
        let mut rates = Rates::new(100, 2);
        let source = "192.0.2.1".parse().unwrap();
        let mut last = None;
        for n in 0..2_000u32 {
            last = rates.take(Duration::from_millis(5) * n, source).1;
        }
        assert!(last.is_some_and(|percent| (45..=55).contains(&percent)), "{last:?}");
        let slow = (0..100u32).map(|n| rates.take(Duration::from_secs(60) + Duration::from_millis(20) * n, source).1);
        assert_eq!(slow.flatten().count(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut rates = Rates::new(1, 100);
        for address in 0u32..10_000 {
            rates.take(Duration::ZERO, IpAddr::from(address.to_be_bytes()));
        }
        assert_eq!((rates.sources.len(), rates.order.len()), (100, 100));
    }
}
