//! How the targets of a dial are tried: in rounds, each way of a round by an attempt of its own.
//!
//! ```text
//!  round: open the port ──▶ one attempt a way ──▶ a 200: that one is the leg's, the others are hung up
//!                                             └─▶ all failed, or the round's time is over: next round
//! ```
//!
//! All at once is one round; one by one, each target is a round, with its share of the time. One
//! port has one address: ways that leave by another are a round of their own, after the others.

use std::collections::VecDeque;
use std::time::Duration;

use callbox_model::{
    Change, EndCause, Header, Instant, LegCommand, LegEvent, LegKey, LegNumber, LegState, MediaPlan, Refused, Way,
};
use callbox_sdp::{Agreed, Description, Direction};

use crate::Output;
use crate::call::Call;
use crate::dial::nobody_there;
use crate::early::Early;
use crate::leg::{Leg, Signal, Sound};
use crate::line::LegAsk;

#[derive(Debug)]
pub(crate) struct Dialling {
    pub(crate) targets: Vec<String>,
    pub(crate) headers: Vec<Header>,
    pub(crate) until: Instant,
    pub(crate) round_until: Instant,
    /// The time of one round.
    pub(crate) share: Duration,
    pub(crate) rounds: VecDeque<Vec<Try>>,
    /// Of this round, while its port opens.
    pub(crate) untried: Vec<Try>,
    pub(crate) attempts: Vec<Attempt>,
    /// Why it failed, so far.
    pub(crate) best: Option<EndCause>,
    pub(crate) ringing: Option<u16>,
    pub(crate) ringings: u32,
    pub(crate) early: Early,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) send_digits: Option<String>,
    /// The leg whose far end asked for it.
    pub(crate) referrer: Option<LegNumber>,
    /// It is to be another call's leg: the ask of that.
    pub(crate) taking: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) target: usize,
    pub(crate) way: Way,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) key: LegKey,
    ask: u32,
    target: usize,
    pub(crate) plan: MediaPlan,
    /// What a provisional answer agreed to.
    pub(crate) agreed: Option<Agreed>,
}

impl Dialling {
    pub(crate) fn has(&self, key: LegKey) -> bool {
        self.attempts.iter().any(|attempt| attempt.key == key)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.round_until.min(self.until)
    }

    fn failed(&mut self, cause: EndCause) {
        let is_better = self.best.as_ref().is_none_or(|best| rank(&cause) < rank(best));
        if is_better {
            self.best = Some(cause);
        }
    }
}

impl Call {
    pub(crate) fn next_round(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(dialling) = self.legs.get_mut(number).and_then(Leg::dialling) else { return };
        while let Some(round) = dialling.rounds.pop_front().filter(|_| now < dialling.until) {
            let Some(first) = round.first() else {
                dialling.failed(nobody_there());
                continue;
            };
            let local = first.way.local;
            let (round, elsewhere): (Vec<_>, Vec<_>) = round.into_iter().partition(|one| one.way.local == local);
            if !elsewhere.is_empty() {
                dialling.rounds.push_front(elsewhere);
            }
            let first = round.first().map(|one| one.way.clone());
            dialling.untried = round;
            dialling.ringing = None;
            dialling.round_until = dialling.until.min(now + dialling.share);
            if let Some(first) = first {
                self.open_for_round(number, &first, out);
            }
            return;
        }
        let cause = dialling.best.take().unwrap_or_else(nobody_there);
        self.leg_ended(number, cause, out);
    }

    /// The port is open.
    pub(crate) fn try_round(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(leg) = self.legs.get_mut(number) else { return };
        let (Sound::Open(local), Signal::Dialling(dialling)) = (&leg.sound, &mut leg.signal) else { return };
        let body = leg.line.session.offer(*local, Direction::SendRecv);
        let timeout_ms = u32::try_from(dialling.round_until.since(now).as_millis()).unwrap_or(u32::MAX).max(1);
        for Try { target, way } in std::mem::take(&mut dialling.untried) {
            let key = self.keys.next(self.lane);
            out.push(Output::Own { leg: key });
            let ask = leg.line.asks.next(LegAsk::Dial);
            let plan = MediaPlan {
                tenant: self.tenant,
                local: way.local,
                peer: way.local,
                networks: way.media_networks.clone(),
                remote: None,
            };
            dialling.attempts.push(Attempt { key, ask, target, plan, agreed: None });
            let (way, body, headers) = (Box::new(way), body.clone(), dialling.headers.clone());
            out.push(Output::Leg(key, LegCommand::Dial { ask, way, body, headers, timeout_ms }));
        }
    }

    pub(crate) fn attempt_event(&mut self, number: LegNumber, key: LegKey, event: LegEvent, out: &mut Vec<Output>) {
        match event {
            LegEvent::Reply { ask, result } => {
                let Some(leg) = self.legs.get_mut(number) else { return };
                match (leg.line.asks.take(ask), result) {
                    // It has not begun: there is no end to wait for.
                    (Some(LegAsk::Dial), Err(refused)) => {
                        self.attempt_ended(number, key, refused_cause(refused), out);
                    }
                    (Some(_), _) => {}
                    (None, _) => self.strays += 1,
                }
            }
            // RFC 3311 5.2: our own offer is not answered by the final answer yet.
            LegEvent::Reoffered { .. } => {
                if let Some(leg) = self.legs.get_mut(number) {
                    let ask = leg.line.asks.next(LegAsk::Reoffer);
                    out.push(Output::Leg(key, LegCommand::RefuseReoffer { ask, status: 491 }));
                }
            }
            LegEvent::Ringing { status, body, headers, peer } => {
                self.attempt_rings(number, key, status, body.as_deref(), headers, peer, out);
            }
            LegEvent::Answered { body, headers, peer } => {
                self.attempt_answered(number, key, body.as_deref(), headers, peer, out);
            }
            LegEvent::Ended(cause) => self.attempt_ended(number, key, cause, out),
            _ => self.strays += 1,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, and whose it is")]
    fn attempt_rings(
        &mut self,
        number: LegNumber,
        key: LegKey,
        status: u16,
        body: Option<&[u8]>,
        headers: Vec<Header>,
        peer: std::net::IpAddr,
        out: &mut Vec<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Signal::Dialling(dialling) = &mut leg.signal else { return };
        if !headers.is_empty() {
            leg.line.headers = headers;
        }
        let Some(attempt) = dialling.attempts.iter_mut().find(|attempt| attempt.key == key) else { return };
        attempt.plan.peer = peer;
        let answer = body.map(Description::read).and_then(Result::ok);
        if let Some(agreed) = answer.and_then(|answer| leg.line.session.accept(&answer, Direction::SendRecv).ok()) {
            attempt.agreed = Some(agreed);
        }
        let is_heard = attempt.agreed.is_some();
        // A far end may say so as often as it likes; it is written down when it says something new.
        if status > 100 && dialling.ringing != Some(status) && dialling.ringings < MOST_RINGINGS {
            dialling.ringing = Some(status);
            dialling.ringings += 1;
            let referrer = dialling.referrer;
            if number == 1 {
                self.record(Change::CallRinging { status }, out);
            } else {
                self.record(Change::LegRinging { leg: number, status }, out);
                self.tell_leg(number, LegState::Ringing(status), out);
            }
            if let Some(referrer) = referrer {
                self.notify_referrer(referrer, 180, out);
            }
        }
        if is_heard {
            self.hear_early(number, key, out);
        }
    }

    /// The first to answer wins.
    fn attempt_answered(
        &mut self,
        number: LegNumber,
        key: LegKey,
        body: Option<&[u8]>,
        headers: Vec<Header>,
        peer: std::net::IpAddr,
        out: &mut Vec<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Signal::Dialling(dialling) = &mut leg.signal else { return };
        let Some(place) = dialling.attempts.iter().position(|attempt| attempt.key == key) else { return };
        let early = dialling.attempts.get(place).and_then(|attempt| attempt.agreed.clone());
        let agreed = match (body, early) {
            (Some(bytes), _) => Description::read(bytes)
                .and_then(|answer| leg.line.session.accept(&answer, Direction::SendRecv))
                .map_err(|error| error.to_string()),
            // RFC 3262 5: a reliable provisional answer had it already.
            (None, Some(agreed)) => Ok(agreed),
            (None, None) => Err("its answer has no session description".to_owned()),
        };
        let agreed = match agreed {
            Ok(agreed) => agreed,
            Err(why) => {
                self.shed_dialog(key, Some(why.clone()), out);
                self.attempt_failed(number, key, EndCause { status: 488, reason: why, remote: false }, out);
                return;
            }
        };
        self.stop_early(number, out);
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Signal::Dialling(dialling) = std::mem::replace(&mut leg.signal, Signal::Answered) else { return };
        let Dialling { mut attempts, targets, time_limit, send_digits, referrer, .. } = *dialling;
        let won = attempts.swap_remove(place);
        // Replies to commands of the others are nobody's now; the winner's is waited for no more.
        leg.line.asks.clear();
        leg.line.dialog = key;
        leg.line.plan = MediaPlan { peer, ..won.plan };
        leg.line.limit = time_limit.map(|limit| self.now.at + limit);
        if !headers.is_empty() {
            leg.line.headers = headers;
        }
        if let Some(target) = targets.into_iter().nth(won.target) {
            leg.line.address = target;
        }
        leg.line.agreed = Some(agreed);
        leg.update_media(out);
        for other in attempts {
            self.shed_dialog(other.key, Some("answered elsewhere".to_owned()), out);
        }
        self.dialled_is_answered(number, send_digits, referrer, out);
    }

    /// A leg of ours talks. Also said of one that came from another call in a dialled one's place.
    pub(crate) fn dialled_is_answered(
        &mut self,
        number: LegNumber,
        send_digits: Option<String>,
        referrer: Option<LegNumber>,
        out: &mut Vec<Output>,
    ) {
        if number == 1 {
            self.ledger.answered(self.now, out);
            self.record(Change::CallAnswered, out);
        } else {
            self.record(Change::LegAnswered { leg: number }, out);
        }
        self.sound_agreed(number, out);
        if let Some(referrer) = referrer {
            self.end_referral(referrer, 200, out);
        }
        if let Some(digits) = send_digits {
            self.press(number, &digits, crate::press::For::Dial, out);
        }
        if number == 1 {
            self.begin_after_answer(out);
        } else {
            let state = self.legs.get(number).map_or(LegState::Answered, Leg::state);
            self.tell_leg(number, state, out);
        }
    }

    fn attempt_ended(&mut self, number: LegNumber, key: LegKey, cause: EndCause, out: &mut Vec<Output>) {
        out.push(Output::Forget { leg: key });
        self.attempt_failed(number, key, cause, out);
    }

    fn attempt_failed(&mut self, number: LegNumber, key: LegKey, cause: EndCause, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Signal::Dialling(dialling) = &mut leg.signal else { return };
        let Some(place) = dialling.attempts.iter().position(|attempt| attempt.key == key) else { return };
        let attempt = dialling.attempts.swap_remove(place);
        leg.line.asks.take(attempt.ask);
        let was_heard = dialling.early == Early::Heard(key);
        let is_refused_everywhere = cause.status >= 600;
        dialling.failed(cause);
        // RFC 3261 16.7 (5): a 6xx speaks for all phones of who was called; another target is
        // somebody else.
        let mut others = Vec::new();
        if is_refused_everywhere {
            let (same, rest) =
                std::mem::take(&mut dialling.attempts).into_iter().partition(|other| other.target == attempt.target);
            (others, dialling.attempts) = (same, rest);
        }
        let is_round_over = dialling.attempts.is_empty();
        for other in others {
            self.shed_dialog(other.key, None, out);
        }
        if was_heard {
            self.stop_early(number, out);
        }
        if is_round_over {
            self.next_round(number, out);
        }
    }

    /// Hangs every attempt up. The leg's end is said by whoever asked for it.
    pub(crate) fn stop_dialling(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        self.stop_early(number, out);
        let Some(dialling) = self.legs.get_mut(number).and_then(Leg::dialling) else { return };
        dialling.rounds.clear();
        dialling.untried.clear();
        for attempt in std::mem::take(&mut dialling.attempts) {
            self.shed_dialog(attempt.key, None, out);
        }
    }

    /// A round's time is over.
    pub(crate) fn dial_tick(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        let now = self.now.at;
        let Some(dialling) = self.legs.get_mut(number).and_then(Leg::dialling) else { return };
        if dialling.deadline() > now {
            return;
        }
        dialling.failed(EndCause { status: 408, reason: "nobody answered in time".to_owned(), remote: false });
        dialling.untried.clear();
        for attempt in std::mem::take(&mut dialling.attempts) {
            self.shed_dialog(attempt.key, None, out);
        }
        self.stop_early(number, out);
        self.next_round(number, out);
    }
}

/// What is told of several failures (RFC 3261 16.7 (6)): the lowest is.
fn rank(cause: &EndCause) -> u16 {
    match cause.status {
        600.. => 0,
        300..=399 => 1,
        // They say what would help to be let through.
        401 | 407 | 415 | 420 | 484 => 2,
        // That nobody was heard of says less than that somebody said no.
        408 | 487 => 4,
        400..=499 => 3,
        500..=599 => 5,
        _ => 6,
    }
}

fn refused_cause(refused: Refused) -> EndCause {
    let (status, reason, remote) = match refused {
        Refused::Answered { status, reason } => (status, reason, true),
        Refused::Denied(why) => (403, why, false),
        Refused::Unavailable(why) => (503, why, false),
        Refused::Invalid(why) => (400, why, false),
        Refused::State(state) => (500, format!("the leg is {state}"), false),
        Refused::Gone => (500, "the leg is gone".to_owned(), false),
    };
    EndCause { status, reason, remote }
}

/// Changes of a ringing that are told of one leg.
const MOST_RINGINGS: u32 = 16;
