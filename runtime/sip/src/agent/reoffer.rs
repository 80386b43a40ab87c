//! What we offer within a call (RFC 3261 14.1, RFC 3311 5.1): one at a time, in its turn, and once
//! more when both sides spoke at once.

use std::time::Duration;

use bytes::Bytes;

use super::Agent;
use super::asking::Purpose;
use super::body;
use super::border::{Effect, Event, LegId, No};
use super::chance::Branch;
use super::dialog::Began;
use super::extensions::{ALLOW, Can, SUPPORTED};
use super::leg::{Leg, Stage};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::Time;

#[derive(Debug)]
pub(crate) struct Ours {
    of: Of,
    method: Method,
    /// None in an UPDATE that only refreshes.
    body: Option<Bytes>,
    tries: u32,
    phase: Phase,
}

#[derive(Debug)]
enum Of {
    /// Told when it is answered; None when that was told before.
    User { ask: Option<u32> },
    /// The session's timer.
    Timer,
}

#[derive(Debug)]
enum Phase {
    /// For its turn, and until then.
    Waiting { not_before: Time },
    /// `until` is when an INVITE that only rings is cancelled.
    Sent { branch: Branch, cseq: u32, until: Option<Time> },
}

/// 14.1: glare. A far end that offers as often as we do is let be.
const MOST_TRIES: u32 = 5;
/// A re-INVITE asks nobody: it is answered at once, or not at all.
const REOFFER_WITHIN: Duration = Duration::from_secs(32);
/// A far end that wants to be asked again later than that is one that said no.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

impl Ours {
    pub(super) fn refresh(now: Time, body: Option<Bytes>) -> Self {
        let method = if body.is_some() { Method::Invite } else { Method::Update };
        Self { of: Of::Timer, method, body, tries: 0, phase: Phase::Waiting { not_before: now } }
    }

    pub(crate) fn deadline(&self, is_turn: bool) -> Option<Time> {
        match self.phase {
            Phase::Waiting { not_before } => is_turn.then_some(not_before),
            Phase::Sent { until, .. } => until,
        }
    }

    pub(super) fn branch(&self) -> Option<Branch> {
        match self.phase {
            Phase::Sent { branch, .. } => Some(branch),
            Phase::Waiting { .. } => None,
        }
    }

    /// An offer of ours is out, and not answered.
    pub(super) fn is_open(&self) -> bool {
        self.body.is_some() && matches!(self.phase, Phase::Sent { .. })
    }

    pub(super) fn take_ask(&mut self) -> Option<u32> {
        match &mut self.of {
            Of::User { ask } => ask.take(),
            Of::Timer => None,
        }
    }

    /// It went out once more, under another branch.
    pub(super) fn moved(&mut self, from: Branch, to: Branch, number: u32) -> bool {
        match &mut self.phase {
            Phase::Sent { branch, cseq, .. } if *branch == from => {
                (*branch, *cseq) = (to, number);
                true
            }
            _ => false,
        }
    }
}

impl Agent {
    pub(super) fn reoffer(
        &mut self,
        now: Time,
        id: LegId,
        ask: u32,
        body: Vec<u8>,
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        if !matches!(leg.stage, Stage::Up) {
            return Err(No::State(leg.state()));
        }
        if body.is_empty() {
            return Err(No::Invalid("there is no offer".to_owned()));
        }
        match &mut leg.ours {
            // A refresh that has not gone out is made by this one.
            Some(Ours { of: Of::Timer, phase: Phase::Waiting { .. }, .. }) | None => {}
            Some(Ours { of: Of::User { .. }, .. }) => return Err(No::State("offering already")),
            Some(Ours { of: Of::Timer, .. }) => return Err(No::State("being refreshed")),
        }
        leg.ours = Some(Ours {
            of: Of::User { ask: Some(ask) },
            method: Method::Invite,
            body: Some(body.into()),
            tries: 0,
            phase: Phase::Waiting { not_before: now },
        });
        self.reoffer_tick(now, id, out);
        Ok(())
    }

    pub(super) fn reoffer_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_turn = leg.may_offer();
        match leg.ours.as_mut().map(|ours| &mut ours.phase) {
            Some(Phase::Waiting { not_before }) if is_turn && *not_before <= now => self.send_reoffer(now, id, out),
            Some(Phase::Sent { branch, until, .. }) if until.is_some_and(|until| until <= now) => {
                *until = None;
                let branch = *branch;
                self.send_cancel(now, branch, None, out);
                // Its 487 comes, or nothing.
                self.abandon(now, branch);
            }
            _ => {}
        }
    }

    fn send_reoffer(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(Leg { ours: Some(ours), dialog, .. }) = self.legs.get_mut(&id) else { return };
        let (mut writer, branch) = dialog.request(&ours.method, &self.settings, &mut self.chance);
        let (peer, cseq) = (dialog.next_hop(), dialog.local_cseq);
        writer.header("Contact", &dialog.contact(&self.settings)).header("Allow", ALLOW);
        writer.header("Supported", SUPPORTED).header("User-Agent", &self.settings.product);
        let is_invite = ours.method == Method::Invite;
        ours.tries += 1;
        ours.phase = Phase::Sent { branch, cseq, until: is_invite.then_some(now + REOFFER_WITHIN) };
        let (method, body) = (ours.method.clone(), ours.body.clone());
        self.ask_for_session_of(id, &mut writer);
        let bytes = match &body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.empty(),
        };
        match bytes {
            Ok(bytes) => self.ask_bytes(now, peer, branch, method, Purpose::Reoffer(id), bytes, out),
            Err(error) => self.reoffer_over(id, Err(super::commands::unwritable(error)), out),
        }
    }

    pub(super) fn reoffer_accepted(
        &mut self,
        now: Time,
        id: LegId,
        branch: Branch,
        message: &Message,
        out: &mut Vec<Effect>,
    ) {
        let tag = message.tag_text(Name::To).unwrap_or_default();
        if self.acknowledge_again(branch, &tag, out) {
            return;
        }
        let Some((cseq, method)) = message.cseq() else { return };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.dialog.refresh(message);
        leg.options.learn(message);
        if method == Method::Invite {
            self.acknowledge(id, branch, cseq, out);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_it = |ours: &mut Ours| ours.branch() == Some(branch);
        let Some(ours) = leg.ours.take_if(is_it) else { return };
        if leg.timer.is_some() && ours.body.is_some() {
            leg.described = ours.body;
        }
        self.begin_session_timer(now, id, message);
        if let Of::User { ask: Some(ask) } = ours.of {
            let body = body::session(message).ok().flatten();
            self.tell(id, Event::Reanswered { body }, out);
            self.reply(id, ask, Ok(()), out);
        }
    }

    /// `message` is None when nobody answered.
    #[expect(clippy::too_many_arguments, reason = "a transaction, and how it ended")]
    pub(super) fn reoffer_refused(
        &mut self,
        now: Time,
        id: LegId,
        branch: Branch,
        status: u16,
        reason: &str,
        message: Option<&Message>,
        out: &mut Vec<Effect>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(ours) = leg.ours.as_mut().filter(|ours| ours.branch() == Some(branch)) else { return };
        let retry_after = message.and_then(retry_after).filter(|wait| *wait <= LONGEST_RETRY);
        let wait = match status {
            // 14.1: the owner of the Call-ID waits longer, so that they do not meet again.
            491 => match leg.dialog.began {
                Began::Here => Some(self.chance.between(Duration::from_millis(2_100), Duration::from_secs(4))),
                Began::There => Some(self.chance.between(Duration::ZERO, Duration::from_secs(2))),
            },
            500 | 503 => retry_after,
            // RFC 4028 7.3
            422 => message.and_then(least_session).filter(|least| *least > leg.min_session).map(|least| {
                leg.min_session = least;
                Duration::ZERO
            }),
            // A refresh by a method that it does not know after all.
            405 | 501 if ours.method == Method::Update && leg.described.is_some() => {
                leg.options.update = Can::Unsaid;
                ours.method = Method::Invite;
                ours.body.clone_from(&leg.described);
                Some(Duration::ZERO)
            }
            _ => None,
        };
        if let Some(wait) = wait.filter(|_| ours.tries < MOST_TRIES) {
            ours.phase = Phase::Waiting { not_before: now + wait };
            self.reoffer_tick(now, id, out);
            return;
        }
        self.reoffer_over(id, Err(No::Answered { status, reason: reason.to_owned() }), out);
        // 12.2.1.2: the far end knows nothing of the call, or is not there.
        if matches!(status, 408 | 481) && self.legs.get(&id).is_some_and(|leg| matches!(leg.stage, Stage::Up)) {
            self.send_bye(now, id, Some("the far end is gone".to_owned()), out);
        }
    }

    /// Whether the leg waits for this very one.
    pub(super) fn is_reoffering(&self, id: LegId, branch: Branch) -> bool {
        let ours = self.legs.get(&id).and_then(|leg| leg.ours.as_ref());
        ours.is_some_and(|ours| ours.branch() == Some(branch))
    }

    fn reoffer_over(&mut self, id: LegId, result: Result<(), No>, out: &mut Vec<Effect>) {
        let Some(mut ours) = self.legs.get_mut(&id).and_then(|leg| leg.ours.take()) else { return };
        if let Some(ask) = ours.take_ask() {
            self.reply(id, ask, result, out);
        }
    }
}

fn retry_after(message: &Message) -> Option<Duration> {
    let value = message.text(Name::RetryAfter)?;
    let digits = value.split(|letter: char| !letter.is_ascii_digit()).next()?;
    scan::number(digits.as_bytes()).map(Duration::from_secs)
}

pub(super) fn least_session(message: &Message) -> Option<Duration> {
    let value = message.first(Name::MinSe)?;
    let digits = value.split(|&byte| byte == b';').next()?.trim_ascii();
    scan::number::<u32>(digits).map(|seconds| Duration::from_secs(seconds.into()))
}
