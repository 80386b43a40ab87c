//! A token bucket: so much a second, and a burst.

use std::time::Duration;

use callbox_model::Instant;

/// Fills at a rate up to its burst. Starts full.
///
/// Counted in billionths of a token, so that nothing is lost to rounding, however often it is
/// asked and however slow the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    rate_per_s: u64,
    burst: u64,
    /// Billionths. Below zero: work that was done before it was paid for.
    level: i128,
    at: Instant,
}

impl TokenBucket {
    /// A rate of 0 never fills again.
    pub fn new(now: Instant, rate_per_s: u64, burst: u64) -> Self {
        Self { rate_per_s, burst, level: billionths(burst), at: now }
    }

    /// Takes `tokens` if they are there; otherwise says how long until they would be. More than
    /// the burst never is: that waits for a full bucket and is let through as a debt.
    pub fn take(&mut self, now: Instant, tokens: u64) -> Result<(), Duration> {
        self.fill(now);
        let wanted = billionths(tokens.min(self.burst));
        if self.level < wanted {
            return Err(self.wait_for(wanted - self.level));
        }
        self.level -= billionths(tokens);
        Ok(())
    }

    /// Pays for work that is done already, by a debt if need be. How long until it is paid off;
    /// `None` when there is none.
    pub fn spend(&mut self, now: Instant, tokens: u64) -> Option<Duration> {
        self.fill(now);
        self.level -= billionths(tokens);
        self.debt()
    }

    /// As [`Self::spend`], of nothing.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        self.debt()
    }

    /// Full is as good as new: it may be forgotten.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= billionths(self.burst)
    }

    /// Takes a new rate and burst, with the level as it is.
    pub fn change(&mut self, now: Instant, rate_per_s: u64, burst: u64) {
        self.fill(now);
        self.rate_per_s = rate_per_s;
        self.burst = burst;
        self.level = self.level.min(billionths(burst));
    }

    fn fill(&mut self, now: Instant) {
        // A microsecond of one token a second is 1,000 billionths.
        let filled = i128::try_from(now.since(self.at).as_micros()).unwrap_or(i128::MAX) * 1_000;
        let filled = filled.saturating_mul(i128::from(self.rate_per_s));
        self.level = self.level.saturating_add(filled).min(billionths(self.burst));
        self.at = self.at.max(now);
    }

    fn debt(&self) -> Option<Duration> {
        (self.level < 0).then(|| self.wait_for(-self.level))
    }

    /// Rounded up, so that who waits so long finds what it waited for.
    fn wait_for(&self, billionths: i128) -> Duration {
        let per_micro = i128::from(self.rate_per_s) * 1_000;
        if per_micro == 0 {
            return FOR_EVER;
        }
        let micros = (billionths + per_micro - 1) / per_micro;
        u64::try_from(micros).map_or(FOR_EVER, Duration::from_micros).min(FOR_EVER)
    }
}

fn billionths(tokens: u64) -> i128 {
    i128::from(tokens) * 1_000_000_000
}

/// A hundred years: still a time that may be added to another.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = TokenBucket::new(at(0), 10, 3);
        assert_eq!((0..4).map(|_| bucket.take(at(0), 1).is_ok()).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!(bucket.take(at(0), 1), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(at(99_999), 1), Err(Duration::from_micros(1)));
        assert_eq!(bucket.take(at(100_000), 1), Ok(()));
    }

    #[test]
    fn a_debt_is_paid_off() {
        let mut bucket = TokenBucket::new(at(0), 100, 100);
        assert_eq!(bucket.spend(at(0), 100), None);
        assert_eq!(bucket.spend(at(0), 50), Some(Duration::from_millis(500)));
        assert!(bucket.take(at(400_000), 1).is_err());
        assert_eq!(bucket.wait(at(500_000)), None);
        assert!(!bucket.is_full(at(1_499_999)));
        assert!(bucket.is_full(at(1_500_000)));
    }

    #[test]
    fn a_rate_of_nothing_waits_and_does_not_overflow() {
        let mut bucket = TokenBucket::new(at(0), 0, 1);
        assert_eq!(bucket.take(at(0), 1), Ok(()));
        let wait = bucket.take(at(u64::MAX), 1).unwrap_err();
        assert!(wait > Duration::from_secs(86_400));
        let mut wide = TokenBucket::new(at(0), u64::MAX, u64::MAX);
        assert_eq!(wide.spend(at(u64::MAX), u64::MAX), None);
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let mut bucket = TokenBucket::new(at(1_000_000), 1, 1);
        assert!(bucket.take(at(1_000_000), 1).is_ok());
        assert!(bucket.take(at(0), 1).is_err());
        assert!(bucket.take(at(1_500_000), 1).is_err());
        assert!(bucket.take(at(2_000_000), 1).is_ok());
    }

    proptest! {
        /// However it is asked, nobody gets more than the burst and the rate.
        #[test]
        fn never_more_than_burst_and_rate(
            rate in 0..10_000u64,
            burst in 1..10_000u64,
            asks in prop::collection::vec((0..5_000_000u64, 0..20_000u64), 1..100),
        ) {
            let mut bucket = TokenBucket::new(at(0), rate, burst);
            let mut now = 0;
            let mut given = 0u128;
            let mut largest = 0u128;
            for (later, tokens) in asks {
                now += later;
                if bucket.take(at(now), tokens).is_ok() {
                    given += u128::from(tokens);
                    largest = largest.max(u128::from(tokens));
                }
                let most = u128::from(burst).max(largest) + u128::from(rate) * u128::from(now) / 1_000_000;
                prop_assert!(given <= most, "{given} given, {most} may be");
            }
        }

        /// Who waits as long as was said is served, and not a moment before.
        #[test]
        fn the_wait_is_exact(rate in 1..5_000_000u64, burst in 1..1_000u64, first in 0..2_000u64, then in 1..1_000u64) {
            let mut bucket = TokenBucket::new(at(7), rate, burst);
            bucket.spend(at(7), first);
            if let Err(wait) = bucket.take(at(7), then) {
                let micros = u64::try_from(wait.as_micros()).unwrap();
                let mut early = bucket;
                prop_assert!(early.take(at(7 + micros - 1), then).is_err());
                prop_assert!(bucket.take(at(7 + micros), then).is_ok());
            }
        }

        /// Asking often fills no less than asking once.
        #[test]
        fn nothing_is_lost_to_rounding(rate in 1..1_000u64, steps in prop::collection::vec(1..50_000u64, 1..200)) {
            let mut often = TokenBucket::new(at(0), rate, u64::from(u32::MAX));
            often.spend(at(0), u64::from(u32::MAX));
            let mut once = often;
            let mut now = 0;
            for step in steps {
                now += step;
                often.wait(at(now));
            }
            once.wait(at(now));
            prop_assert_eq!(often, once);
        }
    }
}
