//! Provisional answers of ours that are acknowledged (RFC 3262 3): one after the other, each sent
//! again until its PRACK comes. A 200 waits for those that describe the session.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Agent;
use super::body;
use super::border::{Effect, Event, LegId, No};
use super::chance::Chance;
use super::commands::unwritable;
use super::extensions::{requires, supports};
use super::leg::{Leg, OfferIn, Reoffer, ReofferKind, Stage};
use super::requests::Request;
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::{GIVE_UP, Retransmission, Time};

#[derive(Debug)]
pub(crate) struct Reliable {
    wanted: Wanted,
    next: u32,
    unacknowledged: Option<Unacknowledged>,
    line: VecDeque<Provisional>,
    session: Session,
    answer: Answer,
    /// Their answer to our offer, which came in a PRACK.
    theirs: Option<Vec<u8>>,
}

/// What the caller says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    No,
    Supported,
    Required,
}

/// Whether a reliable answer has described the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Open,
    /// It stands in line, or waits for its PRACK.
    Describing,
    Described,
}

/// The 200, once the user has decided.
#[derive(Debug)]
enum Answer {
    Undecided,
    Held {
        bytes: Bytes,
        /// A hang-up that came meanwhile: the call is ended when it is set up.
        bye: Option<Option<String>>,
    },
    Gone,
}

type Provisional = (u16, Option<Vec<u8>>);

#[derive(Debug)]
struct Unacknowledged {
    rseq: u32,
    bytes: Bytes,
    again: Retransmission,
    until: Time,
    describes: bool,
}

/// Answers that wait for the PRACK of the one before. Nobody rings so fast.
const MOST_IN_LINE: usize = 8;

impl Reliable {
    pub(super) fn new(invite: &Message, chance: &mut Chance) -> Self {
        let wanted = match () {
            () if requires(invite, "100rel") => Wanted::Required,
            () if supports(invite, "100rel") => Wanted::Supported,
            () => Wanted::No,
        };
        let next = if wanted == Wanted::No { 1 } else { chance.sequence() };
        Self {
            wanted,
            next,
            unacknowledged: None,
            line: VecDeque::new(),
            session: Session::Open,
            answer: Answer::Undecided,
            theirs: None,
        }
    }

    /// Takes it into line, or gives it back: it may go out as it is.
    pub(super) fn put(&mut self, status: u16, body: Option<Vec<u8>>) -> Result<Option<Provisional>, No> {
        // 5: the session is described once.
        let body = body.filter(|_| self.wanted == Wanted::No || self.session == Session::Open);
        let is_reliable = match self.wanted {
            Wanted::No => false,
            Wanted::Supported => body.is_some(),
            Wanted::Required => true,
        };
        if !is_reliable {
            return Ok(Some((status, body)));
        }
        if self.line.len() >= MOST_IN_LINE {
            return Err(No::State("waiting for a PRACK"));
        }
        if body.is_some() {
            self.session = Session::Describing;
        }
        self.line.push_back((status, body));
        Ok(None)
    }

    pub(super) fn held(&self) -> Option<&Bytes> {
        match &self.answer {
            Answer::Held { bytes, .. } => Some(bytes),
            Answer::Undecided | Answer::Gone => None,
        }
    }

    pub(super) fn hold(&mut self, bytes: Bytes) {
        self.answer = Answer::Held { bytes, bye: None };
    }

    pub(super) fn put_bye(&mut self, reason: Option<String>) {
        if let Answer::Held { bye, .. } = &mut self.answer {
            *bye = Some(reason);
        }
    }

    /// 3: a 200 waits for those that describe the session.
    pub(super) fn must_wait(&self) -> bool {
        self.session == Session::Describing
    }

    pub(super) fn is_described(&self) -> bool {
        self.session != Session::Open
    }

    /// Described, and acknowledged: another offer may be made.
    pub(super) fn is_settled(&self) -> bool {
        self.session == Session::Described
    }

    pub(super) fn take_bye(&mut self) -> Option<Option<String>> {
        match std::mem::replace(&mut self.answer, Answer::Gone) {
            Answer::Held { bye, .. } => bye,
            Answer::Undecided | Answer::Gone => None,
        }
    }

    pub(super) fn release(&self) -> Option<Bytes> {
        self.held().cloned()
    }

    pub(super) fn take_answer(&mut self) -> Option<Vec<u8>> {
        self.theirs.take()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.unacknowledged.as_ref().map(|waiting| waiting.again.at().min(waiting.until))
    }
}

impl Agent {
    /// Sends the next in line, unless one waits for its PRACK.
    pub(super) fn next_reliable(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) -> Result<(), No> {
        let Some(Leg { stage: Stage::Incoming(incoming), .. }) = self.legs.get_mut(&id) else { return Ok(()) };
        let reliable = &mut incoming.reliable;
        if reliable.unacknowledged.is_some() {
            return Ok(());
        }
        let Some((status, body)) = reliable.line.pop_front() else { return Ok(()) };
        let rseq = reliable.next;
        reliable.next += 1;
        let key = incoming.transaction;
        let mut writer = self.invite_answer(now, key, id, status, "")?;
        writer.header("Require", "100rel").header("RSeq", &rseq.to_string());
        let bytes = match &body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.empty(),
        };
        let bytes = bytes.map_err(unwritable)?;
        self.put_answer(now, key, status, bytes.clone(), out);
        let Some(Leg { stage: Stage::Incoming(incoming), .. }) = self.legs.get_mut(&id) else { return Ok(()) };
        // 3: the pause doubles, without a bound.
        let again = Retransmission::always(now, GIVE_UP);
        incoming.reliable.unacknowledged =
            Some(Unacknowledged { rseq, bytes, again, until: now + GIVE_UP, describes: body.is_some() });
        Ok(())
    }

    pub(super) fn reliable_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Incoming(incoming), .. }) = self.legs.get_mut(&id) else { return };
        let Some(waiting) = &mut incoming.reliable.unacknowledged else { return };
        if waiting.until <= now {
            // 3: it is refused with a 5xx.
            self.answer_invite(now, id, 504, "No PRACK came", out);
            self.end(now, id, 504, "no PRACK", false, out);
        } else if waiting.again.is_due(now)
            && let Some(serving) = self.servers.get(&incoming.transaction)
        {
            out.push(Effect::Send { peer: serving.peer, bytes: waiting.bytes.clone() });
        }
    }

    pub(super) fn prack(&mut self, now: Time, id: LegId, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, cseq, .. } = request;
        let rack = message.first(Name::RAck).and_then(|value| read_rack(&value));
        let Some((rseq, of)) = rack else {
            self.refuse(now, key, 400, "RAck is unreadable", &[], out);
            return;
        };
        let Ok(body) = body::session(message) else {
            self.refuse(now, key, 415, "", &[("Accept", "application/sdp")], out);
            return;
        };
        let decide_within = self.settings.decide_within;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Stage::Incoming(incoming) = &mut leg.stage else {
            // It was on its way when the 200 went out, which said more.
            let status = if matches!(leg.stage, Stage::Up) { 200 } else { 481 };
            self.refuse(now, key, status, "", &[], out);
            return;
        };
        let reliable = &mut incoming.reliable;
        let is_it = |waiting: &mut Unacknowledged| waiting.rseq == rseq && of == incoming.cseq;
        let Some(waiting) = reliable.unacknowledged.take_if(is_it) else {
            self.refuse(now, key, 481, "", &[], out);
            return;
        };
        if waiting.describes {
            reliable.session = Session::Described;
        }
        match (body, incoming.offer) {
            (Some(body), OfferIn::Answer) if waiting.describes => {
                reliable.theirs = Some(body);
                self.refuse(now, key, 200, "", &[], out);
            }
            // 5: once the first offer is answered, a PRACK may hold another one.
            (Some(body), _) if reliable.session == Session::Described && leg.reoffer.is_none() => {
                let tag = leg.dialog.far.tag.clone();
                let until = now + decide_within;
                leg.reoffer = Some(Reoffer { transaction: key, cseq, until, kind: ReofferKind::Prack, tag });
                self.tell(id, Event::Reoffered { body: Some(body) }, out);
            }
            (Some(_), _) => self.refuse(now, key, 488, "No offer is due", &[], out),
            (None, _) => self.refuse(now, key, 200, "", &[], out),
        }
        // What cannot be written was refused when it was put in line.
        let _ = self.next_reliable(now, id, out);
        self.let_answer_go(now, id, out);
    }
}

/// `RSeq CSeq method`, of an INVITE.
fn read_rack(value: &[u8]) -> Option<(u32, u32)> {
    let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (rseq, cseq) = (scan::number(words.next()?)?, scan::number(words.next()?)?);
    let is_invite = Method::read(words.next()?) == Some(Method::Invite) && words.next().is_none();
    is_invite.then_some((rseq, cseq))
}
