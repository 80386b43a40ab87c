//! An INVITE that wants in, until it is acknowledged (RFC 3261 9.2, 13.3).

use std::time::Duration;

use super::body;
use super::border::{Door, Effect, Event, Invite, LegId, Peer, Refusal};
use super::chance::Key;
use super::dialog::Dialog;
use super::extensions::{ACCEPT, Options};
use super::leg::{AcceptedKind, Incoming, Leg, OfferIn, REMIND_EVERY, Stage};
use super::prack::Reliable;
use super::reason::reason_text;
use super::requests::Request;
use super::{Agent, replaces};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::{Again, Time};

impl Agent {
    pub(super) fn invited(
        &mut self,
        now: Time,
        peer: Peer,
        request: Request<'_>,
        door: &mut dyn Door,
        out: &mut Vec<Effect>,
    ) {
        let Request { key, message, cseq, .. } = request;
        let running = self.running_key(message, cseq);
        if self.running.contains_key(&running) {
            // 8.2.2.2
            self.refuse(now, key, 482, "", &[], out);
            return;
        }
        // A call that goes through here goes on as another one: a proxy would not pass it on.
        if message.max_forwards() == Some(Some(0)) {
            self.refuse(now, key, 483, "", &[], out);
            return;
        }
        let Ok(offer) = body::session(message) else {
            self.refuse(now, key, 415, "", &[("Accept", ACCEPT), ("Accept-Encoding", "identity")], out);
            return;
        };
        if let Some(least) = self.too_brief(message) {
            self.refuse(now, key, 422, "", &[("Min-SE", &least)], out);
            return;
        }
        if self.legs.len() >= self.settings.most_legs {
            self.turn_away(now, key, peer, message, "Too many calls", 10, out);
            return;
        }
        let replaces = match self.replaced_by(message) {
            Ok(leg) => leg,
            Err((status, reason)) => {
                self.refuse(now, key, status, reason, &[], out);
                return;
            }
        };
        let tag = self.chance.token();
        let Some(dialog) = Dialog::answering(message, peer, tag) else {
            self.refuse(now, key, 400, "", &[], out);
            return;
        };
        let offer_in = if offer.is_some() { OfferIn::Invite } else { OfferIn::Answer };
        let invite = Invite { message: message.clone(), peer, offer, replaces };
        match door.invite(now, &invite) {
            // A node that has too much to do keeps nothing of those it turns away.
            Err(Refusal { status: 503, reason, retry_after_s: Some(seconds), .. }) => {
                self.turn_away(now, key, peer, message, &reason, seconds, out);
            }
            Err(refusal) => {
                let retry = refusal.retry_after_s.map(|seconds| seconds.to_string());
                let mut headers: Vec<_> = retry.iter().map(|seconds| ("Retry-After", seconds.as_str())).collect();
                headers.extend(refusal.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                self.refuse(now, key, refusal.status, &refusal.reason, &headers, out);
            }
            Ok(id) if self.legs.contains_key(&id) => self.refuse(now, key, 500, "", &[], out),
            Ok(id) => {
                self.running.insert(running, key);
                if let Some(serving) = self.servers.get_mut(&key) {
                    serving.leg = Some(id);
                    serving.running = Some(running);
                }
                let reliable = Reliable::new(message, &mut self.chance);
                let expires = message.first(Name::Expires).and_then(|value| scan::number::<u32>(&value));
                let expires = expires.map(|seconds| now + Duration::from_secs(seconds.into()));
                let incoming = Incoming { transaction: key, cseq, expires, remind: None, reliable, offer: offer_in };
                let mut options = Options::default();
                options.learn(message);
                self.add_leg(id, Leg::new(dialog, Stage::Incoming(Box::new(incoming)), options, &self.settings));
                self.put_trying(now, key, out);
            }
        }
    }

    /// What identifies an INVITE that came by two ways (8.2.2.2).
    fn running_key(&self, message: &Message, cseq: u32) -> Key {
        let call_id = message.first(Name::CallId).unwrap_or_default();
        let tag = message.tag(Name::From).unwrap_or_default();
        self.chance.key(&[b"running", &call_id, &tag, &cseq.to_be_bytes()])
    }

    fn replaced_by(&self, message: &Message) -> Result<Option<LegId>, replaces::No> {
        match message.count(Name::Replaces) {
            0 => Ok(None),
            1 => {
                let value = message.text(Name::Replaces).unwrap_or_default();
                let replaces = replaces::Replaces::read(&value).ok_or((400, "Replaces is unreadable"))?;
                self.replaceable(&replaces).map(Some)
            }
            _ => Err((400, "Replaces is there more than once")),
        }
    }

    /// 503, without a transaction: one answer for each time that it is asked.
    #[expect(clippy::too_many_arguments, reason = "all that an answer is made of")]
    fn turn_away(
        &mut self,
        now: Time,
        key: Key,
        peer: Peer,
        message: &Message,
        reason: &str,
        seconds: u32,
        out: &mut Vec<Effect>,
    ) {
        self.servers.remove(&key);
        self.refuse_statelessly(now, peer, message, 503, reason, &[("Retry-After", &seconds.to_string())], out);
    }

    /// 9.2
    pub(super) fn cancelled(&mut self, now: Time, key: Key, message: &Message, out: &mut Vec<Effect>) {
        let invite = self.transaction_key(message, &Method::Invite);
        let Some(leg) = self.servers.get(&invite).map(|serving| serving.leg) else {
            self.refuse(now, key, 481, "", &[], out);
            return;
        };
        // 9.2: with the tag of the answers to the INVITE.
        let tag = leg.and_then(|id| self.legs.get(&id)).map(|leg| leg.dialog.local_tag.clone());
        match tag {
            Some(tag) => self.refuse_as(now, key, &tag, 200, "", &[], out),
            None => self.refuse(now, key, 200, "", &[], out),
        }
        let Some(id) = leg else { return };
        match self.legs.get(&id) {
            Some(Leg { stage: Stage::Incoming(_), .. }) => {
                self.answer_invite(now, id, 487, "", out);
                self.end(now, id, 487, &reason_text(message, "cancelled"), true, out);
            }
            // Of a re-INVITE that our user still thinks about.
            Some(Leg { reoffer: Some(reoffer), .. }) if reoffer.transaction == invite => {
                self.answer_reoffer(now, id, 487, None, out);
            }
            _ => {}
        }
    }

    pub(super) fn acknowledged(&mut self, now: Time, key: Key, message: &Message, out: &mut Vec<Effect>) {
        // Of a refusal: the same branch as its INVITE (17.1.1.3).
        if let Some(serving) = self.servers.get_mut(&key) {
            serving.machine.acknowledged(now);
            self.schedule_server(key);
        }
        // Of a 200: a branch of its own (13.2.2.4).
        let Some(id) = self.is_ours(message) else { return };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let cseq = message.cseq().map(|(number, _)| number);
        let Some(accepted) = leg.accepted.take_if(|accepted| Some(accepted.cseq) == cseq) else { return };
        let body = body::session(message).ok().flatten().or(accepted.answer);
        match (accepted.kind, body) {
            (AcceptedKind::First, body) => self.tell(id, Event::Confirmed { body }, out),
            (AcceptedKind::AgainOffering, Some(body)) => self.tell(id, Event::Reconfirmed { body }, out),
            (AcceptedKind::AgainOffering, None) | (AcceptedKind::Again, _) => {}
        }
        if let Some(reason) = accepted.bye {
            self.send_bye(now, id, reason, out);
        }
        self.schedule_leg(id);
    }

    /// Our 200, until its ACK.
    pub(super) fn accepted_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(accepted) = &mut leg.accepted else { return };
        if accepted.until <= now {
            // 13.3.1.4: no ACK ever came. The session is over; so is, in a re-INVITE, the call.
            leg.accepted = None;
            self.send_bye(now, id, Some("no ACK".to_owned()), out);
        } else if accepted.again.is_due(now) {
            out.push(Effect::Send { peer: accepted.peer, bytes: accepted.bytes.clone() });
        }
    }

    pub(super) fn incoming_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        self.reliable_tick(now, id, out);
        let Some(Leg { stage: Stage::Incoming(incoming), .. }) = self.legs.get_mut(&id) else { return };
        if incoming.expires.take_if(|at| *at <= now).is_some() && incoming.reliable.held().is_none() {
            self.answer_invite(now, id, 487, "Expired", out);
            self.end(now, id, 487, "the invitation has expired", true, out);
            return;
        }
        if incoming.remind.is_none_or(|at| at > now) {
            return;
        }
        // 13.3.1.1: a caller who waits long is told again that it rings.
        incoming.remind = Some(now + REMIND_EVERY);
        if let Some(serving) = self.servers.get(&incoming.transaction)
            && let Again::Send(bytes) = serving.machine.repeated()
        {
            out.push(Effect::Send { peer: serving.peer, bytes });
        }
    }
}
