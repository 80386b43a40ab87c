//! Server transactions: INVITE (17.2.1, RFC 6026 7.1) and others (17.2.2).

use bytes::Bytes;

use super::{Carriage, GIVE_UP, Retransmission, T2, T4, Time};

#[derive(Debug)]
pub(crate) struct Server {
    carriage: Carriage,
    state: State,
}

#[derive(Debug)]
enum State {
    /// INVITE: the user has not decided. `last` is the newest provisional answer.
    Proceeding {
        last: Option<Bytes>,
    },
    /// INVITE refused; waits for the ACK. Timers G and H.
    Completed {
        answer: Bytes,
        g: Option<Retransmission>,
        h: Time,
    },
    /// INVITE refused and acknowledged: takes up late ACKs. Timer I.
    Confirmed {
        i: Time,
    },
    /// INVITE accepted: takes up late INVITEs; the user sends the 200 again. Timer L.
    Accepted {
        l: Time,
    },
    /// Not an INVITE: no final answer yet.
    Trying,
    /// Not an INVITE: answered. Timer J.
    Answered {
        answer: Bytes,
        j: Time,
    },
    Terminated,
}

/// What to send because of something that came, or because of the time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Nothing,
    Send(Bytes),
    /// Timer H: no ACK ever came.
    NoAck,
}

impl Server {
    pub(crate) fn invite(carriage: Carriage) -> Self {
        Self { carriage, state: State::Proceeding { last: None } }
    }

    pub(crate) fn other(carriage: Carriage) -> Self {
        Self { carriage, state: State::Trying }
    }

    /// The request came again.
    pub(crate) fn repeated(&self) -> Again {
        match &self.state {
            State::Proceeding { last: Some(answer) }
            | State::Completed { answer, .. }
            | State::Answered { answer, .. } => Again::Send(answer.clone()),
            // RFC 6026 7.1: in Accepted, a repeated INVITE is taken up without an answer.
            _ => Again::Nothing,
        }
    }

    /// What the user answers. It is sent by the caller.
    pub(crate) fn answer(&mut self, now: Time, status: u16, answer: &Bytes) {
        self.state = match (std::mem::replace(&mut self.state, State::Terminated), status) {
            (State::Proceeding { .. }, 100..200) => State::Proceeding { last: Some(answer.clone()) },
            (State::Proceeding { .. }, 200..300) => State::Accepted { l: now + GIVE_UP },
            (State::Proceeding { .. }, _) => State::Completed {
                answer: answer.clone(),
                g: Retransmission::new(now, self.carriage, T2),
                h: now + GIVE_UP,
            },
            (State::Trying, 100..200) => State::Trying,
            (State::Trying, _) => State::Answered { answer: answer.clone(), j: now + self.carriage.linger(GIVE_UP) },
            // It was answered already: the first answer stands.
            (state, _) => state,
        };
    }

    /// The ACK of a refusal.
    pub(crate) fn acknowledged(&mut self, now: Time) {
        if matches!(self.state, State::Completed { .. }) {
            self.state = State::Confirmed { i: now + self.carriage.linger(T4) };
        }
    }

    pub(crate) fn tick(&mut self, now: Time) -> Again {
        match &mut self.state {
            State::Completed { h, .. } if *h <= now => {
                self.state = State::Terminated;
                Again::NoAck
            }
            State::Completed { answer, g: Some(g), .. } => {
                if g.is_due(now) {
                    Again::Send(answer.clone())
                } else {
                    Again::Nothing
                }
            }
            State::Confirmed { i: end } | State::Accepted { l: end } | State::Answered { j: end, .. }
                if *end <= now =>
            {
                self.state = State::Terminated;
                Again::Nothing
            }
            _ => Again::Nothing,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Proceeding { .. } | State::Trying | State::Terminated => None,
            State::Completed { g, h, .. } => Some(g.as_ref().map_or(*h, |g| g.at().min(*h))),
            State::Confirmed { i: end } | State::Accepted { l: end } | State::Answered { j: end, .. } => Some(*end),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transaction::T1;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_refusal_is_sent_again_until_it_is_acknowledged() {
        let mut server = Server::invite(Carriage::Unreliable);
        assert_eq!(server.repeated(), Again::Nothing);
        server.answer(Time::ZERO, 180, &bytes("180"));
        assert_eq!(server.repeated(), Again::Send(bytes("180")));
        server.answer(Time::ZERO, 486, &bytes("486"));
        let mut times = Vec::new();
        while let Some(at) = server.deadline().filter(|at| *at < GIVE_UP) {
            assert_eq!(server.tick(at), Again::Send(bytes("486")));
            times.push(at.as_millis());
        }
        assert_eq!(times[..5], [500, 1_500, 3_500, 7_500, 11_500], "T1, doubling to T2");
        assert_eq!(server.tick(GIVE_UP), Again::NoAck);
        assert!(server.is_over());

        let mut server = Server::invite(Carriage::Unreliable);
        server.answer(Time::ZERO, 486, &bytes("486"));
        server.acknowledged(T1);
        assert_eq!(server.repeated(), Again::Nothing);
        assert_eq!(server.deadline(), Some(T1 + T4));
        server.tick(T1 + T4);
        assert!(server.is_over());
    }

    #[test]
    fn an_accepted_invite_takes_up_repetitions() {
        let mut server = Server::invite(Carriage::Reliable);
        server.answer(Time::ZERO, 200, &bytes("200"));
        assert_eq!(server.repeated(), Again::Nothing);
        assert_eq!(server.deadline(), Some(GIVE_UP));
    }

    #[test]
    fn others_answer_repetitions_for_a_while() {
        let mut server = Server::other(Carriage::Unreliable);
        server.answer(Time::ZERO, 200, &bytes("200"));
        server.answer(Time::ZERO, 500, &bytes("500"));
        assert_eq!(server.repeated(), Again::Send(bytes("200")));
        server.tick(GIVE_UP);
        assert!(server.is_over());
        let mut server = Server::other(Carriage::Reliable);
        server.answer(Duration::from_secs(1), 200, &bytes("200"));
        server.tick(Duration::from_secs(1));
        assert!(server.is_over(), "timer J is zero over TCP");
    }
}
