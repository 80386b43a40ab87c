//! Addresses that failed lately: they are tried last, until they have had time to recover.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::locate::Target;
use crate::transaction::Time;

#[derive(Debug)]
pub struct Failing {
    targets: BTreeMap<Key, Failed>,
    due: BTreeSet<(Time, Key)>,
    most: usize,
}

type Key = (SocketAddr, &'static str);

#[derive(Clone, Copy, Debug)]
struct Failed {
    until: Time,
    times: u32,
}

/// As long as an INVITE over UDP waits in vain: whoever comes meanwhile need not find out again.
const FIRST_PAUSE: Duration = Duration::from_secs(32);
/// One call in ten minutes finds out whether it works again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How long the count of failures is remembered when there are no more of them.
const REMEMBERED: Duration = Duration::from_secs(600);
/// 400 KB or so. More targets than a node has carriers.
const MOST: usize = 4_096;

impl Default for Failing {
    fn default() -> Self {
        Self { targets: BTreeMap::new(), due: BTreeSet::new(), most: MOST }
    }
}

impl Failing {
    /// It could not be reached, did not answer, or answered 503, perhaps with Retry-After.
    pub fn failed(&mut self, now: Time, target: Target, retry_after: Option<Duration>) {
        let key = key(target);
        let times = self.forget(key).map_or(0, |failed| failed.times);
        // Those whose time is long over are forgotten first, then those whose time is next over.
        while let Some((until, oldest)) = self.due.first().copied()
            && (until + REMEMBERED < now || self.targets.len() >= self.most)
        {
            self.forget(oldest);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << times.min(8)).min(LONGEST_PAUSE);
        let until = now + retry_after.map_or(pause, |told| told.min(LONGEST_PAUSE));
        self.targets.insert(key, Failed { until, times: times.saturating_add(1) });
        self.due.insert((until, key));
    }

    pub fn worked(&mut self, target: Target) {
        self.forget(key(target));
    }

    /// Moves those that failed behind the others; among them, who has waited longest is first.
    pub fn order(&self, now: Time, targets: &mut [Target]) {
        targets.sort_by_key(|target| match self.targets.get(&key(*target)) {
            Some(failed) if failed.until > now => failed.until,
            _ => Time::ZERO,
        });
    }

    pub fn is_failing(&self, now: Time, target: Target) -> bool {
        self.targets.get(&key(target)).is_some_and(|failed| failed.until > now)
    }

    fn forget(&mut self, key: Key) -> Option<Failed> {
        let failed = self.targets.remove(&key)?;
        self.due.remove(&(failed.until, key));
        Some(failed)
    }
}

fn key(target: Target) -> Key {
    (target.address, target.transport.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Transport;

    fn target(number: u32) -> Target {
        let address = std::net::Ipv4Addr::from_bits(0xc000_0200 + number);
        Target { transport: Transport::Udp, address: SocketAddr::new(address.into(), 5_060) }
    }

    #[test]
    fn what_failed_comes_last_until_it_recovers() {
        let mut failing = Failing::default();
        let seconds = Duration::from_secs;
        failing.failed(seconds(0), target(1), None);
        failing.failed(seconds(1), target(2), None);
        let ordered = |failing: &Failing, at| {
            let mut targets = vec![target(2), target(1), target(4), target(3)];
            failing.order(seconds(at), &mut targets);
            targets
        };
        assert_eq!(ordered(&failing, 2), [target(4), target(3), target(1), target(2)]);
        assert_eq!(ordered(&failing, 32), [target(1), target(4), target(3), target(2)]);
        failing.worked(target(2));
        assert_eq!(ordered(&failing, 32), [target(2), target(1), target(4), target(3)]);
        // The same address over another transport is another target.
        let over_tcp = Target { transport: Transport::Tcp, ..target(1) };
        assert!(failing.is_failing(seconds(2), target(1)) && !failing.is_failing(seconds(2), over_tcp));
    }

    #[test]
    fn pauses_double_and_are_forgotten() {
        let mut failing = Failing::default();
        let mut now = Duration::ZERO;
        for pause_s in [32, 64, 128, 256, 512, 600, 600] {
            failing.failed(now, target(1), None);
            let pause = Duration::from_secs(pause_s);
            assert!(failing.is_failing(now + pause - Duration::from_millis(1), target(1)));
            now += pause;
            assert!(!failing.is_failing(now, target(1)));
        }
        failing.failed(now, target(1), Some(Duration::from_secs(5)));
        assert!(!failing.is_failing(now + Duration::from_secs(5), target(1)), "it said when");
        now += Duration::from_secs(5) + REMEMBERED + Duration::from_secs(1);
        failing.failed(now, target(2), None);
        failing.failed(now, target(1), None);
        assert!(!failing.is_failing(now + FIRST_PAUSE, target(1)), "it begins anew");
    }

    #[test]
    fn memory_is_bounded() {
        let mut failing = Failing { most: 10, ..Failing::default() };
        for number in 0..1_000 {
            failing.failed(Duration::from_millis(number.into()), target(number), None);
        }
        assert_eq!((failing.targets.len(), failing.due.len()), (10, 10));
        assert!(failing.is_failing(Duration::from_secs(1), target(999)), "the latest are remembered");
    }
}
