//! The client's side of a registration (RFC 3261 10.2): a trunk tells its registrar where we are.
//!
//! [`Enrolment::tick`] says what to send, [`Enrolment::answered`] is told how that ended, and
//! [`Enrolment::next_deadline`] says when to ask again. Challenges are answered by whoever sends:
//! what comes here is the end of it.

use std::time::Duration;

use crate::dice::Dice;
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::{GIVE_UP, Time};
use crate::uri::Uri;
use crate::write::phrase;

#[derive(Debug)]
pub struct Enrolment {
    /// The same for all requests of one client (RFC 3261 10.2).
    call_id: String,
    /// A URI of ours.
    contact: String,
    expires_s: u32,
    /// Of the last request.
    cseq: u32,
    /// In a row.
    failures: u32,
    /// Until then the registrar may know us, whatever became of later requests.
    bound_until: Time,
    dice: Dice,
    stage: Stage,
    state: State,
}

/// A REGISTER to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// 0 takes the contact back.
    pub expires_s: u32,
    pub cseq: u32,
    pub call_id: String,
    /// A URI. It goes into brackets.
    pub contact: String,
}

/// For operators: how it stands. It is not told of attempts in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Registering,
    Registered {
        until: Time,
    },
    /// Tried again by and by.
    Failed {
        status: u16,
        reason: String,
    },
    /// Taken back.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting {
        next: Time,
    },
    Asking,
    /// It was stopped while an answer was owed: one request at a time (RFC 3261 10.2).
    AskingForTheLastTime,
    ToLeave,
    Leaving,
    Over,
}

/// A node with many trunks does not register all of them in one moment.
const START_WITHIN: Duration = Duration::from_secs(2);
/// However brief a registrar wants it. One that grants less is asked no more often.
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// RFC 5626 4.5: the first pause after a failure, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(1_800);
/// After a refusal that would be the same again, such as a wrong password: half an hour, less the
/// spread. Who asks more often is banned by carriers.
const REFUSED_FAILURES: u32 = 6;
/// A registrar that insists on more is not understood.
const MOST_EXPIRES_S: u32 = 86_400;
/// When nobody answered, challenges may have been answered that are not known here.
const CSEQ_GAP: u32 = 8;

impl Enrolment {
    /// `call_id` is unique, `contact` a URI that leads to us.
    pub fn new(now: Time, call_id: String, contact: String, expires: Duration, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let next = now + dice.between(Duration::ZERO, START_WITHIN);
        let expires_s = u32::try_from(expires.as_secs()).unwrap_or(MOST_EXPIRES_S).clamp(1, MOST_EXPIRES_S);
        Self {
            call_id,
            contact,
            expires_s,
            cseq: 0,
            failures: 0,
            bound_until: Time::ZERO,
            dice,
            stage: Stage::Waiting { next },
            state: State::Registering,
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The earliest time at which [`Self::tick`] has something to send. None while an answer is
    /// owed, and in the end.
    pub fn next_deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::Waiting { next } => Some(next),
            Stage::ToLeave => Some(Time::ZERO),
            Stage::Asking | Stage::AskingForTheLastTime | Stage::Leaving | Stage::Over => None,
        }
    }

    pub fn tick(&mut self, now: Time) -> Option<Register> {
        match self.stage {
            Stage::Waiting { next } if next <= now => {
                self.stage = Stage::Asking;
                Some(self.request(self.expires_s))
            }
            Stage::ToLeave => {
                self.stage = Stage::Leaving;
                Some(self.request(0))
            }
            Stage::Waiting { .. } | Stage::Asking | Stage::AskingForTheLastTime | Stage::Leaving | Stage::Over => None,
        }
    }

    /// How the request ended: its final answer, or the status that stands for none.
    pub fn answered(&mut self, now: Time, result: &Result<Message, u16>) {
        match result {
            Ok(response) => {
                // Each answer to a challenge was a request with a count of its own.
                let used = response.cseq().filter(|(_, method)| *method == Method::Register).map(|(cseq, _)| cseq);
                self.cseq = self.cseq.max(used.unwrap_or(0));
            }
            Err(_) => self.cseq += CSEQ_GAP,
        }
        match self.stage {
            Stage::Asking => self.heard(now, result),
            Stage::AskingForTheLastTime => self.stage = Stage::ToLeave,
            // Whatever it was: it is over by itself after a while.
            Stage::Leaving => {
                self.stage = Stage::Over;
                self.state = State::Ended;
            }
            // No answer was owed.
            Stage::Waiting { .. } | Stage::ToLeave | Stage::Over => {}
        }
    }

    /// The connection to the registrar is gone, and with it perhaps the way back to us: it is told
    /// anew (RFC 5626 4.2.1).
    pub fn flow_lost(&mut self, now: Time) {
        if let (Stage::Waiting { next }, State::Registered { .. }) = (self.stage, &self.state) {
            let soon = now + self.dice.between(Duration::ZERO, START_WITHIN);
            self.stage = Stage::Waiting { next: next.min(soon) };
        }
    }

    /// The trunk is to be registered no longer. [`Self::tick`] says what is to be sent.
    pub fn stop(&mut self, now: Time) {
        self.stage = match self.stage {
            Stage::Waiting { .. } if self.bound_until > now => Stage::ToLeave,
            Stage::Asking | Stage::AskingForTheLastTime => Stage::AskingForTheLastTime,
            Stage::ToLeave | Stage::Leaving => self.stage,
            // Nothing of ours stands there.
            Stage::Waiting { .. } | Stage::Over => {
                self.state = State::Ended;
                Stage::Over
            }
        };
    }

    fn request(&mut self, expires_s: u32) -> Register {
        self.cseq += 1;
        Register { expires_s, cseq: self.cseq, call_id: self.call_id.clone(), contact: self.contact.clone() }
    }

    fn heard(&mut self, now: Time, result: &Result<Message, u16>) {
        let response = match result {
            Ok(response) => response,
            Err(status) => {
                self.failed(now, *status, phrase(*status).to_owned(), None);
                return;
            }
        };
        match response.status().unwrap_or(0) {
            200..=299 => match self.granted(response) {
                Some(granted) => {
                    let granted = Duration::from_secs(granted.into());
                    self.failures = 0;
                    self.bound_until = now + granted;
                    self.state = State::Registered { until: self.bound_until };
                    self.stage = Stage::Waiting { next: now + self.refresh_after(granted) };
                }
                None => self.failed(now, 200, "the registrar took the contact back at once".to_owned(), None),
            },
            423 if let Some(least_s) = self.longer(response) => {
                // 10.2.8. Each time it is more, so that this ends.
                self.expires_s = least_s;
                self.stage = Stage::Waiting { next: now };
            }
            status => {
                let retry_after = response.first(Name::RetryAfter).and_then(|value| seconds(&value));
                self.failed(now, status, response.reason().chars().take(128).collect(), retry_after);
            }
        }
    }

    /// 10.2.4: what stands behind our contact, or else the header. None: it is not bound.
    fn granted(&self, response: &Message) -> Option<u32> {
        let ours = Uri::read(self.contact.as_bytes()).ok();
        let contacts = response.contacts();
        // A registrar that rewrites contacts shows one that is not ours; when it is the only one,
        // it stands for it.
        let contact = contacts.iter().find(|contact| Some(&contact.uri) == ours.as_ref()).or(match &contacts[..] {
            [one] => Some(one),
            _ => None,
        });
        let own = contact.and_then(|contact| contact.params.get("expires")).and_then(|text| seconds(text.as_bytes()));
        let header = || response.first(Name::Expires).and_then(|value| seconds(&value));
        let granted = own.or_else(header).unwrap_or(self.expires_s);
        (granted > 0).then_some(granted.min(MOST_EXPIRES_S))
    }

    fn longer(&self, response: &Message) -> Option<u32> {
        let least_s = response.first(Name::MinExpires).and_then(|value| seconds(&value))?;
        (least_s > self.expires_s && least_s <= MOST_EXPIRES_S).then_some(least_s)
    }

    /// At nine tenths, and early enough that a try that nobody answers is over before; then up to
    /// a tenth earlier, so that trunks that began together drift apart.
    fn refresh_after(&mut self, granted: Duration) -> Duration {
        let latest = if granted > 2 * GIVE_UP { (granted - GIVE_UP).min(granted * 9 / 10) } else { granted / 2 };
        self.dice.between(latest * 9 / 10, latest).max(LEAST_PAUSE)
    }

    fn failed(&mut self, now: Time, status: u16, reason: String, retry_after_s: Option<u32>) {
        self.failures += 1;
        // 400 to 407: the request, the password or the user is wrong. So is it with 6xx.
        if matches!(status, 400..=407 | 410 | 416 | 420 | 600..=699) {
            self.failures = self.failures.max(REFUSED_FAILURES);
        }
        // RFC 5626 4.5: doubled each time; between a half and the whole of it.
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST_PAUSE);
        let told = Duration::from_secs(retry_after_s.unwrap_or(0).into()).min(LONGEST_PAUSE);
        self.stage = Stage::Waiting { next: now + self.dice.between(pause / 2, pause).max(told) };
        self.state = State::Failed { status, reason };
    }
}

/// `Retry-After: 18000;duration=3600` and `120 (I'm in a meeting)` begin with what counts.
fn seconds(value: &[u8]) -> Option<u32> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    scan::number(&value[..digits])
}

#[cfg(test)]
mod tests;
