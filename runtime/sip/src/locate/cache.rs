//! Answers of DNS, for as long as they say, and longer while DNS does not answer (RFC 8767).

use std::time::Duration;

use crate::locate::{Answer, Question, Record};
use crate::lru::Lru;
use crate::transaction::Time;

#[derive(Debug)]
pub struct Cache {
    entries: Lru<Question, Entry>,
}

#[derive(Debug)]
struct Entry {
    records: Vec<Record>,
    fresh_until: Time,
    stale_until: Time,
    /// DNS did not answer: until then it is not asked again.
    quiet_until: Time,
}

/// Some give 0. A burst of calls is one question nevertheless.
const LEAST_TTL: Duration = Duration::from_secs(5);
/// RFC 8767 4 asks for a bound, for names that moved.
const LONGEST_TTL: Duration = Duration::from_secs(86_400);
/// That something is not there is believed for less (RFC 2308 5 has an hour or more; a carrier
/// that mends its zone is called sooner).
const LONGEST_ABSENCE: Duration = Duration::from_secs(60);
/// RFC 8767 5 names one to three days: a weekend without DNS.
const STALE_FOR: Duration = Duration::from_secs(2 * 86_400);
/// RFC 8767 5: the pause before DNS is asked again.
const QUIET_FOR: Duration = Duration::from_secs(30);
/// 1 to 2 KB each.
const MOST_ENTRIES: usize = 4_096;
/// Of one answer. No zone of a carrier has more.
const MOST_RECORDS: usize = 64;

impl Default for Cache {
    fn default() -> Self {
        Self { entries: Lru::new(MOST_ENTRIES) }
    }
}

impl Cache {
    /// None: DNS is to be asked, and [`Self::learned`] or [`Self::failed`] told.
    pub fn look(&mut self, now: Time, question: &Question) -> Option<Answer> {
        let entry = self.entries.get(question)?;
        let is_usable = entry.fresh_until > now || entry.quiet_until > now;
        is_usable.then(|| entry.at(now))
    }

    /// DNS answered, with the least time to live of its records. For an answer without records: of
    /// the absence.
    pub fn learned(&mut self, now: Time, question: &Question, mut records: Vec<Record>, ttl: Duration) -> Answer {
        records.truncate(MOST_RECORDS);
        let longest = if records.is_empty() { LONGEST_ABSENCE } else { LONGEST_TTL };
        let fresh_until = now + ttl.clamp(LEAST_TTL, longest);
        // That nothing is there is no help when nobody answers.
        let stale_until = if records.is_empty() { fresh_until } else { fresh_until + STALE_FOR };
        self.entries.put(question.clone(), Entry { records, fresh_until, stale_until, quiet_until: Time::ZERO }).at(now)
    }

    /// DNS did not answer, or with a failure: the old answer is used, if there is one that is not
    /// too old.
    pub fn failed(&mut self, now: Time, question: &Question) -> Answer {
        let quiet_until = now + QUIET_FOR;
        if let Some(entry) = self.entries.get(question) {
            entry.quiet_until = quiet_until;
            return entry.at(now);
        }
        let (fresh_until, stale_until) = (Time::ZERO, Time::ZERO);
        self.entries.put(question.clone(), Entry { records: Vec::new(), fresh_until, stale_until, quiet_until }).at(now)
    }
}

impl Entry {
    fn at(&self, now: Time) -> Answer {
        if self.stale_until > now { Answer::Records(self.records.clone()) } else { Answer::Silence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn question(number: usize) -> Question {
        Question::V4(format!("host{number}.example"))
    }

    fn record(number: u32) -> Vec<Record> {
        vec![Record::Address(std::net::Ipv4Addr::from_bits(number).into())]
    }

    #[test]
    fn an_answer_lives_as_long_as_it_says() {
        let mut cache = Cache::default();
        assert_eq!(cache.look(seconds(0), &question(1)), None);
        let learned = cache.learned(seconds(0), &question(1), record(1), seconds(60));
        assert_eq!(learned, Answer::Records(record(1)));
        assert_eq!(cache.look(seconds(59), &question(1)), Some(learned));
        assert_eq!(cache.look(seconds(60), &question(1)), None);
        cache.learned(seconds(60), &question(1), record(2), seconds(0));
        assert_eq!(cache.look(seconds(64), &question(1)), Some(Answer::Records(record(2))));
        assert_eq!(cache.look(seconds(65), &question(1)), None);
        cache.learned(seconds(100), &question(2), Vec::new(), seconds(9_999));
        assert_eq!(cache.look(seconds(159), &question(2)), Some(Answer::Records(Vec::new())));
        assert_eq!(cache.look(seconds(160), &question(2)), None);
    }

    #[test]
    fn an_old_answer_is_used_while_dns_is_silent() {
        let mut cache = Cache::default();
        cache.learned(seconds(0), &question(1), record(1), seconds(60));
        assert_eq!(cache.failed(seconds(100), &question(1)), Answer::Records(record(1)));
        assert_eq!(cache.look(seconds(129), &question(1)), Some(Answer::Records(record(1))), "it is not asked");
        assert_eq!(cache.look(seconds(130), &question(1)), None, "and then it is");
        let too_old = seconds(60) + STALE_FOR;
        assert_eq!(cache.failed(too_old - seconds(1), &question(1)), Answer::Records(record(1)));
        assert_eq!(cache.failed(too_old, &question(1)), Answer::Silence);
        // Of what was never known, silence is remembered for a while too.
        assert_eq!(cache.failed(seconds(0), &question(2)), Answer::Silence);
        assert_eq!(cache.look(seconds(29), &question(2)), Some(Answer::Silence));
        assert_eq!(cache.look(seconds(30), &question(2)), None);
        cache.learned(seconds(40), &question(3), Vec::new(), seconds(30));
        assert_eq!(cache.failed(seconds(80), &question(3)), Answer::Silence, "absence does not help");
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut cache = Cache { entries: Lru::new(10) };
        for number in 0..1_000 {
            cache.learned(seconds(0), &question(number), record(1), seconds(60));
            cache.look(seconds(1), &question(0));
        }
        assert_eq!(cache.entries.len(), (10, 10));
        assert!(cache.look(seconds(1), &question(0)).is_some());
        cache.learned(seconds(0), &question(0), vec![record(1)[0].clone(); 1_000], seconds(60));
        assert!(
            matches!(cache.look(seconds(1), &question(0)), Some(Answer::Records(all)) if all.len() == MOST_RECORDS)
        );
    }
}
