//! What the user wants of a leg.

use super::Agent;
use super::asking::Purpose;
use super::border::{Command, Effect, Event, LegId, No};
use super::chance::Key;
use super::extensions::{ALLOW, SUPPORTED};
use super::leg::{Accepted, AcceptedKind, Leg, OfferIn, REMIND_EVERY, Stage};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::transaction::Time;
use crate::write::{Unwritable, Writer};

impl Agent {
    /// Each is answered by one [`Event::Reply`], before anything else comes of it; but
    /// [`Command::Reoffer`] and [`Command::Refer`], which are done when the far end has answered.
    pub fn command(&mut self, now: Time, id: LegId, ask: u32, command: Command, out: &mut Vec<Effect>) {
        let at = out.len();
        let result = match command {
            Command::Dial(dial) => self.dial(now, id, *dial, out),
            _ if !self.legs.contains_key(&id) => Err(No::Gone),
            Command::Ring { status, body } => self.ring(now, id, status, body, out),
            Command::Answer { body, headers } => self.answer(now, id, body, &headers, out),
            Command::Reject { status, reason, headers } => self.reject(now, id, status, &reason, &headers, out),
            Command::Hangup { reason } => self.hang_up(now, id, reason, out),
            Command::AnswerReoffer { body } => self.decide_reoffer(now, id, 200, Some(body), out),
            Command::RefuseReoffer { status } if !(300..=699).contains(&status) => {
                Err(No::Invalid(format!("{status} refuses nothing")))
            }
            Command::RefuseReoffer { status } => self.decide_reoffer(now, id, status, None, out),
            Command::AnswerRefer { status } => self.decide_referral(now, id, status, out),
            Command::NotifyRefer { status } => self.notify_referrer(now, id, status, out),
            Command::Info { digit, length_ms } => self.info(now, id, digit, length_ms, out),
            Command::Reoffer { body } => match self.reoffer(now, id, ask, body, out) {
                Ok(()) => return self.schedule_leg(id),
                Err(no) => Err(no),
            },
            Command::Refer { to, timeout } => match self.refer(now, id, ask, &to, timeout, out) {
                Ok(()) => return self.schedule_leg(id),
                Err(no) => Err(no),
            },
        };
        let reply = Effect::Event { leg: id, event: Event::Reply { ask, result } };
        out.insert(at, reply);
        self.schedule_leg(id);
    }

    /// The INVITE's transaction, while it may still be answered.
    fn waiting(&self, id: LegId) -> Result<Key, No> {
        match self.legs.get(&id) {
            Some(Leg { stage: Stage::Incoming(incoming), .. }) if incoming.reliable.held().is_none() => {
                Ok(incoming.transaction)
            }
            Some(Leg { stage: Stage::Incoming(_), .. }) => Err(No::State("answered")),
            Some(leg) => Err(No::State(leg.state())),
            None => Err(No::Gone),
        }
    }

    fn ring(
        &mut self,
        now: Time,
        id: LegId,
        status: u16,
        body: Option<Vec<u8>>,
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let key = self.waiting(id)?;
        if !(101..=199).contains(&status) {
            return Err(No::Invalid(format!("{status} is no provisional status")));
        }
        let Some(Leg { stage: Stage::Incoming(incoming), .. }) = self.legs.get_mut(&id) else {
            return Err(No::Gone);
        };
        incoming.remind = Some(now + REMIND_EVERY);
        let Some((status, body)) = incoming.reliable.put(status, body)? else {
            return self.next_reliable(now, id, out);
        };
        let writer = self.invite_answer(now, key, id, status, "")?;
        let bytes = match body {
            Some(body) => writer.body("application/sdp", &body),
            None => writer.empty(),
        };
        self.put_answer(now, key, status, bytes.map_err(unwritable)?, out);
        Ok(())
    }

    fn answer(
        &mut self,
        now: Time,
        id: LegId,
        body: Vec<u8>,
        headers: &[(String, String)],
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let key = self.waiting(id)?;
        let mut writer = self.invite_answer(now, key, id, 200, "")?;
        let request = self.servers.get(&key).map(|serving| serving.request.clone());
        writer.header("Supported", SUPPORTED);
        if let Some(request) = &request {
            self.agree_on_session(now, id, request, &mut writer);
        }
        add_headers(&mut writer, headers, 200)?;
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        let Stage::Incoming(incoming) = &mut leg.stage else { return Err(No::State("answered")) };
        // RFC 3262 5: what was offered in a reliable answer, and answered, is not offered again.
        let bytes = match (incoming.offer, incoming.reliable.is_described()) {
            (OfferIn::Answer, true) => writer.empty(),
            _ => writer.body("application/sdp", &body),
        };
        let bytes = bytes.map_err(unwritable)?;
        leg.described = leg.timer.is_some().then(|| body.into());
        incoming.reliable.hold(bytes);
        self.let_answer_go(now, id, out);
        Ok(())
    }

    /// The 200, when nothing stands before it any more.
    pub(super) fn let_answer_go(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Stage::Incoming(incoming) = &mut leg.stage else { return };
        if leg.reoffer.is_some() || incoming.reliable.must_wait() {
            return;
        }
        let Some(bytes) = incoming.reliable.release() else { return };
        let key = incoming.transaction;
        let peer = self.servers.get(&key).map_or(leg.dialog.peer, |serving| serving.peer);
        let mut accepted = Accepted::new(now, bytes.clone(), peer, incoming.cseq, AcceptedKind::First);
        accepted.answer = incoming.reliable.take_answer();
        accepted.bye = incoming.reliable.take_bye();
        leg.stage = Stage::Up;
        leg.accepted = Some(accepted);
        self.put_answer(now, key, 200, bytes, out);
        self.schedule_leg(id);
    }

    fn reject(
        &mut self,
        now: Time,
        id: LegId,
        status: u16,
        reason: &str,
        headers: &[(String, String)],
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let key = self.waiting(id)?;
        if !(300..=699).contains(&status) {
            return Err(No::Invalid(format!("{status} refuses nothing")));
        }
        let mut writer = self.invite_answer(now, key, id, status, reason)?;
        add_headers(&mut writer, headers, status)?;
        let bytes = writer.empty().map_err(unwritable)?;
        self.put_answer(now, key, status, bytes, out);
        let said = if reason.is_empty() { crate::write::phrase(status) } else { reason };
        self.end(now, id, status, said, false, out);
        Ok(())
    }

    /// A final answer to the INVITE of a leg that is about to end.
    pub(super) fn answer_invite(&mut self, now: Time, id: LegId, status: u16, reason: &str, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Incoming(incoming), .. }) = self.legs.get(&id) else { return };
        let key = incoming.transaction;
        if let Ok(writer) = self.invite_answer(now, key, id, status, reason)
            && let Ok(bytes) = writer.empty()
        {
            self.put_answer(now, key, status, bytes, out);
        }
    }

    /// With our tag; with what makes a dialog where it makes one (12.1.1).
    pub(super) fn invite_answer(
        &self,
        now: Time,
        key: Key,
        id: LegId,
        status: u16,
        reason: &str,
    ) -> Result<Writer, No> {
        let (Some(serving), Some(leg)) = (self.servers.get(&key), self.legs.get(&id)) else { return Err(No::Gone) };
        let mut writer = self.answer_writer(now, serving, status, reason, Some(&leg.dialog.local_tag));
        if status < 300 {
            writer.copy_all(Name::RecordRoute, &serving.request);
            writer.header("Contact", &leg.dialog.contact(&self.settings));
            writer.header("Allow", ALLOW);
        }
        Ok(writer)
    }

    fn hang_up(&mut self, now: Time, id: LegId, reason: Option<String>, out: &mut Vec<Effect>) -> Result<(), No> {
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        match &mut leg.stage {
            // Answered, in the user's eyes: the call is set up, and ended.
            Stage::Incoming(incoming) if incoming.reliable.held().is_some() => incoming.reliable.put_bye(reason),
            Stage::Incoming(_) => {
                let words = reason.unwrap_or_default();
                return self
                    .reject(now, id, 480, &words, &[], out)
                    .or_else(|_| self.reject(now, id, 480, "", &[], out));
            }
            // 15: not before the ACK has come, or can no longer.
            Stage::Up => match &mut leg.accepted {
                Some(accepted) if accepted.kind == AcceptedKind::First => accepted.bye = Some(reason),
                _ => self.send_bye(now, id, reason, out),
            },
            Stage::Dialling(_) => self.cancel(now, id, reason, out),
            Stage::Leaving { .. } => {}
        }
        Ok(())
    }

    /// RFC 6086, as far as digits go.
    fn info(&mut self, now: Time, id: LegId, digit: char, length_ms: u32, out: &mut Vec<Effect>) -> Result<(), No> {
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        if !matches!(leg.stage, Stage::Up) {
            return Err(No::State(leg.state()));
        }
        if self.clients.len() >= MOST_CLIENTS {
            return Err(No::State("one of too many requests that are not answered"));
        }
        if !"0123456789*#ABCD".contains(digit) {
            return Err(No::Invalid(format!("`{}` is no digit", digit.escape_debug())));
        }
        let (mut writer, branch) = leg.dialog.request(&Method::Info, &self.settings, &mut self.chance);
        let peer = leg.dialog.next_hop();
        writer.header("User-Agent", &self.settings.product);
        let body = format!("Signal={digit}\r\nDuration={length_ms}\r\n");
        let bytes = writer.body("application/dtmf-relay", body.as_bytes()).map_err(unwritable)?;
        self.ask_bytes(now, peer, branch, Method::Info, Purpose::Info(id), bytes, out);
        Ok(())
    }
}

/// What belongs to the protocol's own working is not the user's to give, but for where a caller is
/// sent to (21.3).
pub(super) fn add_headers(writer: &mut Writer, headers: &[(String, String)], status: u16) -> Result<(), No> {
    for (name, value) in headers {
        let known = Name::read(name.as_bytes());
        let is_redirect = known == Name::Contact && (300..400).contains(&status);
        if known.is_plumbing() && !is_redirect {
            return Err(No::Invalid(format!("the header `{name}` belongs to the protocol")));
        }
        writer.header(name, value);
    }
    Ok(())
}

/// What the user may see of a message.
pub(super) fn shown(message: &Message) -> Vec<(String, String)> {
    let shown = message.headers().filter(|(name, ..)| !name.is_plumbing());
    shown.map(|(_, label, value)| (label.to_owned(), crate::scan::text(&value))).collect()
}

/// Each leg has a few; digits that nobody answers are what there may be many of.
const MOST_CLIENTS: usize = 262_144;

pub(super) fn unwritable(error: Unwritable) -> No {
    No::Invalid(error.to_string())
}
