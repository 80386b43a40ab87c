//! Client transactions: INVITE (17.1.1, RFC 6026 7.2) and others (17.1.2).

use std::time::Duration;

use bytes::Bytes;

use super::{Carriage, GIVE_UP, Retransmission, T2, T4, Time};

#[derive(Debug)]
pub(crate) struct Client {
    carriage: Carriage,
    is_invite: Kind,
    request: Bytes,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Invite,
    Other,
}

#[derive(Debug)]
enum State {
    /// Nothing heard yet. Timers A and B, or E and F.
    Calling {
        again: Option<Retransmission>,
        until: Time,
    },
    /// A provisional answer came. An INVITE waits for as long as its user does.
    Proceeding {
        again: Option<Retransmission>,
        until: Option<Time>,
    },
    /// An INVITE was refused: its ACK is sent again for each repetition. Timer D; or timer K.
    Completed {
        ack: Option<Bytes>,
        until: Time,
    },
    /// An INVITE was accepted: further 200s go to the user. Timer M.
    Accepted {
        m: Time,
    },
    Terminated,
}

/// What a response or the time means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    /// The user is told.
    News,
    Send(Bytes),
    /// Timer B or F: nobody answered.
    Timeout,
}

impl Client {
    pub(crate) fn invite(now: Time, carriage: Carriage, request: Bytes) -> Self {
        Self::new(now, carriage, Kind::Invite, request)
    }

    pub(crate) fn other(now: Time, carriage: Carriage, request: Bytes) -> Self {
        Self::new(now, carriage, Kind::Other, request)
    }

    fn new(now: Time, carriage: Carriage, is_invite: Kind, request: Bytes) -> Self {
        // Timer A doubles without bound; timer E to T2.
        let most = if is_invite == Kind::Invite { Duration::MAX / 4 } else { T2 };
        let again = Retransmission::new(now, carriage, most);
        Self { carriage, is_invite, request, state: State::Calling { again, until: now + GIVE_UP } }
    }

    /// A response with this status came. `ack` makes the ACK of a refusal.
    pub(crate) fn response(&mut self, now: Time, status: u16, ack: impl FnOnce() -> Option<Bytes>) -> Heard {
        match (&mut self.state, self.is_invite, status) {
            (State::Terminated, ..) => Heard::Nothing,
            (State::Calling { .. } | State::Proceeding { .. }, Kind::Invite, 100..200) => {
                self.state = State::Proceeding { again: None, until: None };
                Heard::News
            }
            (State::Calling { until, .. }, Kind::Other, 100..200) => {
                // 17.1.2.2: timer E goes on, at T2.
                let again = Retransmission::new(now, self.carriage, T2).map(|_| Retransmission {
                    at: now + T2,
                    pause: T2,
                    most: T2,
                });
                self.state = State::Proceeding { again, until: Some(*until) };
                Heard::News
            }
            (State::Proceeding { .. }, Kind::Other, 100..200) => Heard::News,
            (State::Calling { .. } | State::Proceeding { .. }, Kind::Invite, 200..300) => {
                self.state = State::Accepted { m: now + GIVE_UP };
                Heard::News
            }
            // Another branch of a fork accepted too, or the same one again: the user decides.
            (State::Accepted { .. }, Kind::Invite, 200..300) => Heard::News,
            (State::Calling { .. } | State::Proceeding { .. }, Kind::Invite, _) => {
                let ack = ack();
                let d = now + self.carriage.linger(GIVE_UP);
                self.state = State::Completed { ack, until: d };
                Heard::News
            }
            (State::Calling { .. } | State::Proceeding { .. }, Kind::Other, _) => {
                self.state = State::Completed { ack: None, until: now + self.carriage.linger(T4) };
                Heard::News
            }
            (State::Completed { ack: Some(ack), .. }, Kind::Invite, 300..) => Heard::Send(ack.clone()),
            _ => Heard::Nothing,
        }
    }

    /// Nobody waits for it any more: what still comes within 64*T1 is dealt with, and no more.
    pub(crate) fn abandon(&mut self, now: Time) {
        match &mut self.state {
            State::Calling { again, .. } => *again = None,
            State::Proceeding { until, .. } => {
                until.get_or_insert(now + GIVE_UP);
            }
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// As it went out.
    pub(crate) fn request(&self) -> &Bytes {
        &self.request
    }

    /// Its final answer came.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// The ACK that goes out with the first refusal.
    pub(crate) fn ack(&self) -> Option<Bytes> {
        match &self.state {
            State::Completed { ack, .. } => ack.clone(),
            _ => None,
        }
    }

    pub(crate) fn tick(&mut self, now: Time) -> Heard {
        match &mut self.state {
            State::Calling { until, .. } | State::Proceeding { until: Some(until), .. } if *until <= now => {
                self.state = State::Terminated;
                Heard::Timeout
            }
            State::Calling { again: Some(again), .. } | State::Proceeding { again: Some(again), .. } => {
                if again.is_due(now) { Heard::Send(self.request.clone()) } else { Heard::Nothing }
            }
            State::Completed { until: end, .. } | State::Accepted { m: end } if *end <= now => {
                self.state = State::Terminated;
                Heard::Nothing
            }
            _ => Heard::Nothing,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let again = |again: &Option<Retransmission>| again.as_ref().map(Retransmission::at);
        match &self.state {
            State::Calling { again: next, until } => Some(again(next).map_or(*until, |at| at.min(*until))),
            State::Proceeding { again: next, until } => [again(next), *until].into_iter().flatten().min(),
            State::Completed { until: end, .. } | State::Accepted { m: end } => Some(*end),
            State::Terminated => None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// 9.1: a CANCEL goes out only after a provisional answer.
    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Bytes {
        Bytes::from_static(b"request")
    }

    fn sent(mut client: Client) -> Vec<u128> {
        let mut times = Vec::new();
        while let Some(at) = client.deadline() {
            match client.tick(at) {
                Heard::Send(_) => times.push(at.as_millis()),
                Heard::Timeout => {
                    assert_eq!(at, GIVE_UP);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(client.is_over());
        times
    }

    #[test]
    fn requests_are_repeated_as_the_rfc_says() {
        assert_eq!(
            sent(Client::invite(Time::ZERO, Carriage::Unreliable, request())),
            [500, 1_500, 3_500, 7_500, 15_500, 31_500]
        );
        let others = sent(Client::other(Time::ZERO, Carriage::Unreliable, request()));
        assert_eq!(others[..5], [500, 1_500, 3_500, 7_500, 11_500]);
        assert!(sent(Client::invite(Time::ZERO, Carriage::Reliable, request())).is_empty());
    }

    #[test]
    fn a_refusal_is_acknowledged_each_time_and_told_once() {
        let mut client = Client::invite(Time::ZERO, Carriage::Unreliable, request());
        let ack = || Some(Bytes::from_static(b"ack"));
        assert_eq!(client.response(Time::ZERO, 180, ack), Heard::News);
        assert_eq!(client.deadline(), None, "it may ring for as long as it wants");
        assert!(client.is_proceeding());
        assert_eq!(client.response(Time::ZERO, 486, ack), Heard::News);
        assert_eq!(client.response(Time::ZERO, 486, ack), Heard::Send(Bytes::from_static(b"ack")));
        assert_eq!(client.response(Time::ZERO, 200, ack), Heard::Nothing);
        client.tick(GIVE_UP);
        assert!(client.is_over());
    }

    #[test]
    fn further_200s_reach_the_user() {
        let mut client = Client::invite(Time::ZERO, Carriage::Unreliable, request());
        for _ in 0..2 {
            assert_eq!(client.response(Time::ZERO, 200, || None), Heard::News);
        }
        assert_eq!(client.response(Time::ZERO, 486, || None), Heard::Nothing);
    }
}
