//! So many times in a span: uploads an hour, for example.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use callbox_model::Instant;

/// Counts exactly: at no moment were there more than `most` within the span before it.
#[derive(Clone, Debug)]
pub struct Window {
    most: u32,
    span: Duration,
    /// When each of those that still count was. No more than `most`.
    times: VecDeque<Instant>,
}

impl Window {
    pub fn new(most: u32, span: Duration) -> Self {
        Self { most, span, times: VecDeque::new() }
    }

    /// Counts one more if it may be; otherwise says how long until it may.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.forget(now);
        if (self.times.len() as u64) < u64::from(self.most) {
            self.times.push_back(now);
            return Ok(());
        }
        let oldest = self.times.front().copied().unwrap_or(now);
        Err((oldest + self.span).since(now))
    }

    pub fn used(&mut self, now: Instant) -> u32 {
        self.forget(now);
        self.times.len() as u32
    }

    fn forget(&mut self, now: Instant) {
        while self.times.front().is_some_and(|&oldest| now.since(oldest) >= self.span) {
            self.times.pop_front();
        }
    }
}

/// A [`Window`] for each key: for each tenant, for example. Those without a count are forgotten.
#[derive(Clone, Debug)]
pub struct Windows<K> {
    most: u32,
    span: Duration,
    windows: BTreeMap<K, Window>,
    swept: Instant,
}

impl<K: Ord> Windows<K> {
    pub fn new(most: u32, span: Duration) -> Self {
        Self { most, span, windows: BTreeMap::new(), swept: Instant::default() }
    }

    pub fn take(&mut self, now: Instant, key: K) -> Result<(), Duration> {
        if now.since(self.swept) >= self.span {
            self.swept = now;
            self.windows.retain(|_, window| window.used(now) > 0);
        }
        self.windows.entry(key).or_insert_with(|| Window::new(self.most, self.span)).take(now)
    }

    pub fn len(&self) -> usize {
        self.windows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn sixty_an_hour() {
        let mut window = Window::new(60, HOUR);
        for second in 0..60 {
            assert_eq!(window.take(at(second)), Ok(()));
        }
        assert_eq!(window.take(at(60)), Err(Duration::from_secs(3_540)));
        assert_eq!(window.take(at(3_599)), Err(Duration::from_secs(1)));
        assert_eq!(window.take(at(3_600)), Ok(()));
        assert!(window.take(at(3_600)).is_err());
        assert_eq!(Window::new(0, HOUR).take(at(0)), Err(HOUR));
    }

    #[test]
    fn each_key_has_its_own_and_the_idle_are_forgotten() {
        let mut windows = Windows::new(1, HOUR);
        for key in 0..1_000 {
            assert!(windows.take(at(1), key).is_ok());
            assert!(windows.take(at(1), key).is_err());
        }
        assert_eq!(windows.len(), 1_000);
        assert!(windows.take(at(3_601), 5_000).is_ok());
        assert_eq!(windows.len(), 1);
    }

    proptest! {
        #[test]
        fn never_more_than_most_in_any_span(most in 0..5u32, gaps in prop::collection::vec(0..40u64, 1..100)) {
            let span = Duration::from_secs(60);
            let mut window = Window::new(most, span);
            let mut taken = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                let recent = taken.iter().filter(|&&then| now - then < 60).count();
                let may = recent < most as usize;
                prop_assert_eq!(window.take(at(now)).is_ok(), may);
                if may {
                    taken.push(now);
                }
            }
        }
    }
}
