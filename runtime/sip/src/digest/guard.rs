//! Guessing is made slow: each wrong answer counts against where it came from, and against the
//! user whose password was tried. After a few, answers from there are not looked at for a while,
//! and the while doubles.
//!
//! Locking a user out by guessing at them would be an attack of its own, and one wrong phone must
//! not lock out the office behind its address. So where a user's right answer came from is
//! remembered, and there they are judged by their own failures alone.

use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha512_256};

use crate::lru::Lru;
use crate::transaction::Time;

#[derive(Debug)]
pub(super) struct Guard {
    key: [u8; 32],
    sources: Lru<Source, Record>,
    users: Lru<User, Record>,
    pairs: Lru<(Source, User), Pair>,
}

/// IPv6 networks by their /64, which is what one customer has at least.
type Source = [u8; 8];
/// A keyed hash: a name of any length takes the same room, and nobody can aim at a row.
type User = [u8; 16];

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    last: Time,
    held_until: Time,
}

#[derive(Debug, Default)]
struct Pair {
    record: Record,
    trusted_until: Option<Time>,
}

/// Whose answer it is, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    source: Source,
    user: User,
}

/// Somebody who types a password may be wrong this often.
const FREE_FAILURES: u32 = 4;
/// The first time. Then 20, 40, ..: 14 guesses are looked at in the first three hours.
const FIRST_HOLD: Duration = Duration::from_secs(10);
/// From here on, one guess an hour. Longer would keep out who mended a password.
const LONGEST_HOLD: Duration = Duration::from_secs(3_600);
/// Failures are forgotten when none came for this long. Well over the longest hold: who waits
/// every hold out gains nothing.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(6 * 3_600);
/// Phones prove themselves once an hour at least, when they register again.
const TRUSTED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Rows of each table, 100 bytes or so each. To push a row out, an attacker must fail from
/// thousands of networks.
const MOST_ROWS: usize = 65_536;

impl Guard {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, sources: Lru::new(MOST_ROWS), users: Lru::new(MOST_ROWS), pairs: Lru::new(MOST_ROWS) }
    }

    pub(super) fn who(&self, source: IpAddr, realm: &str, user: &str) -> Who {
        let source = match source.to_canonical() {
            // Of a network that no IPv6 address has.
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                [0xff, 0xff, 0xff, 0xff, a, b, c, d]
            }
            IpAddr::V6(address) => (address.to_bits() >> 64).to_be_bytes()[8..].try_into().unwrap_or_default(),
        };
        let hash = Sha512_256::new()
            .chain_update(self.key)
            .chain_update((realm.len() as u64).to_be_bytes())
            .chain_update(realm)
            .chain_update(user)
            .finalize();
        let mut id = User::default();
        id.copy_from_slice(&hash[..16]);
        Who { source, user: id }
    }

    /// For how long answers are not looked at.
    pub(super) fn held(&mut self, now: Time, who: Who) -> Option<Duration> {
        let until = match self.pairs.get(&(who.source, who.user)) {
            Some(pair) if pair.is_trusted(now) => pair.record.held_until,
            _ => {
                let source = self.sources.get(&who.source).map_or(Time::ZERO, |record| record.held_until);
                let user = self.users.get(&who.user).map_or(Time::ZERO, |record| record.held_until);
                source.max(user)
            }
        };
        (until > now).then(|| until - now)
    }

    pub(super) fn failed(&mut self, now: Time, who: Who) {
        let pair = self.pairs.make((who.source, who.user));
        pair.record.fail(now);
        if !pair.is_trusted(now) {
            self.sources.make(who.source).fail(now);
            self.users.make(who.user).fail(now);
        }
    }

    /// A right answer takes back its own failures, and nobody else's: an account of one's own is
    /// no licence to guess at others, and a user's phone does not pardon those who guess at it.
    pub(super) fn passed(&mut self, now: Time, who: Who) {
        let pair = self.pairs.make((who.source, who.user));
        let own = std::mem::take(&mut pair.record).failures;
        let was_trusted = pair.is_trusted(now);
        pair.trusted_until = Some(now + TRUSTED_FOR);
        if own > 0 && !was_trusted {
            for record in [self.sources.get(&who.source), self.users.get(&who.user)].into_iter().flatten() {
                record.pardon(own);
            }
        }
    }
}

impl Record {
    fn fail(&mut self, now: Time) {
        if now.saturating_sub(self.last) > FORGOTTEN_AFTER {
            self.failures = 0;
        }
        self.last = now;
        self.failures = self.failures.saturating_add(1);
        if let Some(over) = self.failures.checked_sub(FREE_FAILURES + 1) {
            self.held_until = now + FIRST_HOLD.saturating_mul(1 << over.min(16)).min(LONGEST_HOLD);
        }
    }

    fn pardon(&mut self, failures: u32) {
        self.failures = self.failures.saturating_sub(failures);
        if self.failures <= FREE_FAILURES {
            self.held_until = Time::ZERO;
        }
    }
}

impl Pair {
    fn is_trusted(&self, now: Time) -> bool {
        self.trusted_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0xc000_0200 + number).to_be_bytes())
    }

    /// How many of 10,000 guesses are looked at, one every `pause_ms`.
    fn looked_at(pause_ms: u64, guess: impl Fn(u32) -> (u32, String)) -> usize {
        let mut guard = Guard::new([1; 32]);
        (0..10_000u32)
            .filter(|&number| {
                let (source, user) = guess(number);
                let who = guard.who(address(source), "example.org", &user);
                let now = Duration::from_millis(pause_ms * u64::from(number));
                let is_looked_at = guard.held(now, who).is_none();
                if is_looked_at {
                    guard.failed(now, who);
                }
                is_looked_at
            })
            .count()
    }

    #[test]
    fn under_twenty_of_ten_thousand_guesses_are_looked_at() {
        for pause_ms in [0, 1, 100, 1_000] {
            let one = looked_at(pause_ms, |_| (1, "alice".to_owned()));
            let many_sources = looked_at(pause_ms, |number| (number, "alice".to_owned()));
            let many_users = looked_at(pause_ms, |number| (1, number.to_string()));
            for count in [one, many_sources, many_users] {
                assert!((FREE_FAILURES as usize..20).contains(&count), "{count} at one in {pause_ms} ms");
            }
        }
    }

    #[test]
    fn guesses_from_elsewhere_do_not_lock_a_phone_out() {
        let mut guard = Guard::new([1; 32]);
        let (home, away) = (guard.who(address(1), "d", "alice"), guard.who(address(2), "d", "alice"));
        guard.passed(Time::ZERO, home);
        for at in 0..100 {
            guard.failed(Duration::from_secs(at), away);
        }
        let now = Duration::from_secs(100);
        assert_eq!(guard.held(now, home), None);
        assert!(guard.held(now, away).is_some());
        // Whoever guesses from where the phone is meets the same back-off.
        for _ in 0..=FREE_FAILURES {
            assert_eq!(guard.held(now, home), None);
            guard.failed(now, home);
        }
        assert_eq!(guard.held(now, home), Some(FIRST_HOLD));
    }

    #[test]
    fn one_wrong_phone_does_not_lock_out_the_office() {
        let mut guard = Guard::new([1; 32]);
        let (right, wrong) = (guard.who(address(1), "d", "alice"), guard.who(address(1), "d", "bob"));
        guard.passed(Time::ZERO, right);
        for _ in 0..100 {
            guard.failed(Time::ZERO, wrong);
        }
        assert_eq!(guard.held(Time::ZERO, right), None);
        assert!(guard.held(Time::ZERO, wrong).is_some());
    }

    #[test]
    fn an_account_of_ones_own_does_not_pardon_guesses() {
        let mut guard = Guard::new([1; 32]);
        let own = guard.who(address(1), "d", "mallory");
        let mut looked_at = 0;
        for number in 0..10_000 {
            guard.passed(Time::ZERO, own);
            let who = guard.who(address(1), "d", &number.to_string());
            if guard.held(Time::ZERO, who).is_none() {
                guard.failed(Time::ZERO, who);
                looked_at += 1;
            }
        }
        assert!(looked_at < 20, "{looked_at}");
    }

    #[test]
    fn a_right_answer_takes_back_what_was_mistyped() {
        let mut guard = Guard::new([1; 32]);
        let who = guard.who(address(1), "d", "alice");
        for _ in 0..3 {
            for _ in 0..FREE_FAILURES {
                guard.failed(Time::ZERO, who);
            }
            assert_eq!(guard.held(Time::ZERO, who), None);
            guard.passed(Time::ZERO, who);
        }
    }

    #[test]
    fn failures_are_forgotten_after_a_quiet_time() {
        let mut guard = Guard::new([1; 32]);
        let who = guard.who(address(1), "d", "alice");
        for _ in 0..30 {
            guard.failed(Time::ZERO, who);
        }
        assert_eq!(guard.held(Time::ZERO, who), Some(LONGEST_HOLD));
        let later = FORGOTTEN_AFTER + Duration::from_secs(1);
        assert_eq!(guard.held(later, who), None);
        guard.failed(later, who);
        assert_eq!(guard.held(later, who), None, "it is the first one again");
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let guard = Guard::new([1; 32]);
        let source = |text: &str| guard.who(text.parse().unwrap(), "d", "a").source;
        assert_eq!(source("2001:db8:0:1::5"), source("2001:db8:0:1:ffff::"));
        assert_ne!(source("2001:db8:0:1::5"), source("2001:db8:0:2::5"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
