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

    pub(crate) fn take(&mut self, now: Duration, source: IpAddr) -> Level {
        let burst = 2.0 * self.per_s;
        if !self.sources.contains_key(&source) {
            if self.sources.len() >= self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.sources.remove(&oldest);
            }
            self.order.push_back(source);
            self.sources.insert(source, Bucket { tokens: burst, at: now });
        }
        let Some(bucket) = self.sources.get_mut(&source) else { return Level::Fine };
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        bucket.at = now;
        bucket.tokens = (bucket.tokens + since * self.per_s).min(burst);
        // Answering costs as well: what is over the rate goes into debt, down to a second's worth.
        bucket.tokens = (bucket.tokens - 1.0).max(-self.per_s);
        if bucket.tokens >= 0.0 {
            Level::Fine
        } else if bucket.tokens > -self.per_s {
            Level::Over
        } else {
            Level::Flood
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_over_its_rate_is_told_and_then_ignored() {
        let mut rates = Rates::new(10, 2);
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let levels: Vec<_> = (0..40).map(|_| rates.take(Duration::ZERO, one)).collect();
        assert_eq!(levels.iter().filter(|level| **level == Level::Fine).count(), 20);
        assert_eq!(levels.iter().filter(|level| **level == Level::Over).count(), 9);
        assert_eq!(rates.take(Duration::ZERO, two), Level::Fine, "another source does not notice");
        assert_eq!(rates.take(Duration::from_secs(2), one), Level::Fine);
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
