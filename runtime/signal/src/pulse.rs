//! Whether the far end of a stream still stands: when it is asked, and what no answer means.

use std::time::Duration;

use crate::wire::Pings;

type Time = tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Pulse {
    beat: Beat,
    every: Duration,
    within: Duration,
    pings: Pings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    Resting {
        until: Time,
    },
    /// A ping is out.
    Listening {
        until: Time,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ping,
    Wait,
    /// It owes an answer, and gave none.
    Dead,
}

impl Pulse {
    pub(crate) fn new(now: Time, pings: Pings, every: Duration, within: Duration) -> Self {
        Self { beat: Beat::Resting { until: now + every }, every, within, pings }
    }

    /// When to ask [`Self::next`]. None: never.
    pub(crate) fn due(&self) -> Option<Time> {
        match (self.pings, self.beat) {
            (Pings::Theirs, _) => None,
            (_, Beat::Resting { until } | Beat::Listening { until }) => Some(until),
        }
    }

    pub(crate) fn next(&mut self, now: Time) -> Next {
        match (self.beat, self.pings) {
            (Beat::Resting { until }, Pings::Ours | Pings::OursAndAnswered) if until <= now => {
                self.beat = Beat::Listening { until: now + self.within };
                Next::Ping
            }
            (Beat::Listening { until }, Pings::OursAndAnswered) if until <= now => Next::Dead,
            // RFC 5626 4.4.1 would close it. Many that are older never answer, and stand.
            (Beat::Listening { until }, Pings::Ours) if until <= now => {
                self.beat = Beat::Resting { until: now + self.every };
                Next::Wait
            }
            _ => Next::Wait,
        }
    }

    /// Whatever has come says that somebody is there.
    pub(crate) fn heard(&mut self, now: Time) {
        self.beat = Beat::Resting { until: now + self.every };
    }

    /// Who has answered once owes it from then on.
    pub(crate) fn answered(&mut self) {
        if self.pings == Pings::Ours {
            self.pings = Pings::OursAndAnswered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(100);
    const WITHIN: Duration = Duration::from_secs(10);

    #[test]
    fn who_never_answers_is_pinged_for_ever_and_who_did_is_dead_without() {
        let mut now = Time::now();
        let mut pulse = Pulse::new(now, Pings::Ours, EVERY, WITHIN);
        for _ in 0..3 {
            now += EVERY;
            assert_eq!(pulse.next(now), Next::Ping);
            now += WITHIN;
            assert_eq!(pulse.next(now), Next::Wait);
        }
        now += EVERY;
        assert_eq!(pulse.next(now), Next::Ping);
        pulse.heard(now);
        pulse.answered();
        assert_eq!(pulse.next(now + WITHIN), Next::Wait, "it was heard");
        now += EVERY;
        assert_eq!(pulse.next(now), Next::Ping);
        assert_eq!(pulse.next(now + WITHIN), Next::Dead);
    }

    #[test]
    fn where_pings_are_theirs_nothing_is_due() {
        assert_eq!(Pulse::new(Time::now(), Pings::Theirs, EVERY, WITHIN).due(), None);
    }
}
