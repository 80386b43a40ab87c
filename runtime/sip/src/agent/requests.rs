//! Requests that come in (RFC 3261 8.2, 9.2, 12.2.2, 13.3, 14.2, 15.1.2).

use super::body;
use super::border::{Decision, Effect, Event, Invite, Peer};
use super::dialog::Dialog;
use super::leg::{AcceptedKind, Leg, Reoffer, ReofferKind, Stage};
use super::{
    Agent, MOST_SERVERS, RESERVED_SERVERS, Refusal, Serving, Transport, back_to, carriage, methods, running_key,
};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::transaction::{Again, Server, Time};

impl Agent {
    pub(super) fn request(
        &mut self,
        now: Time,
        peer: Peer,
        message: Message,
        admit: &mut dyn FnMut(&Invite) -> Decision,
        out: &mut Vec<Effect>,
    ) {
        let (Some(method), Some(via)) = (message.method().cloned(), message.top_via()) else { return };
        let key = transaction_key(&message, &method);
        if method == Method::Ack {
            self.ack(now, &key, &message, out);
            return;
        }
        // 17.2: what came before is answered from the transaction, before anything else is spent.
        if let Some(serving) = self.servers.get(&key) {
            if let Again::Send(bytes) = serving.machine.repeated() {
                out.push(Effect::Send { peer: serving.peer, bytes });
            }
            return;
        }
        let is_outside = !message.to().is_some_and(|to| to.params.has("tag"));
        if method == Method::Options && is_outside {
            // Small talk is answered the same each time, and nothing is kept of it.
            if !self.refuse_extensions_of(peer, &message, out) {
                self.refuse_statelessly(peer, &message, 200, "", &capabilities(), out);
            }
            return;
        }
        // Calls that stand have a part of the table for themselves: what is new cannot keep their
        // requests out.
        let most = if self.is_ours(&message).is_some() { MOST_SERVERS + RESERVED_SERVERS } else { MOST_SERVERS };
        if self.servers.len() >= most {
            self.refuse_statelessly(peer, &message, 503, "Overloaded", &[("Retry-After", "10")], out);
            return;
        }
        let machine = match method {
            Method::Invite => Server::invite(carriage(&peer)),
            _ => Server::other(carriage(&peer)),
        };
        let serving =
            Serving { machine, request: message.clone(), peer: back_to(peer, &via), leg: None, deadline: None };
        self.servers.insert(key.clone(), serving);
        match method {
            Method::Cancel => self.cancelled(now, &key, &message, out),
            _ if message.to().is_some_and(|to| to.params.has("tag")) => {
                self.within_dialog(now, &key, peer, &message, &method, out);
            }
            Method::Invite => self.invited(now, &key, peer, message, admit, out),
            Method::Bye | Method::Info | Method::Update | Method::Prack => {
                self.refuse(now, &key, 481, "", &[], out);
            }
            Method::Other(_) => self.refuse(now, &key, 501, "", &[methods()], out),
            // Known, and not done here (8.2.1).
            _ => self.refuse(now, &key, 405, "", &[methods()], out),
        }
        self.schedule_server(&key);
    }

    fn invited(
        &mut self,
        now: Time,
        key: &str,
        peer: Peer,
        message: Message,
        admit: &mut dyn FnMut(&Invite) -> Decision,
        out: &mut Vec<Effect>,
    ) {
        let running = running_key(&message);
        if let Some(running) = &running
            && self.running.contains_key(running)
        {
            // 8.2.2.2
            self.refuse(now, key, 482, "", &[], out);
            return;
        }
        if self.refuse_extensions(now, key, &message, out) {
            return;
        }
        let Ok(offer) = body::session(&message) else {
            self.refuse(now, key, 415, "", &[("Accept", "application/sdp"), ("Accept-Encoding", "identity")], out);
            return;
        };
        if self.legs.len() >= self.settings.most_legs {
            self.turn_away(key, peer, &message, "Too many calls", 10, out);
            return;
        }
        let tag = self.chance.token();
        let Some(dialog) = Dialog::answering(&message, peer, tag) else {
            self.refuse(now, key, 400, "", &[], out);
            return;
        };
        let invite = Invite { message, peer, offer };
        match admit(&invite) {
            // A node that has too much to do keeps nothing of those it turns away.
            Err(Refusal { status: 503, reason, retry_after_s: Some(seconds) }) => {
                self.turn_away(key, peer, &invite.message, &reason, seconds, out);
            }
            Err(refusal) => {
                let retry = refusal.retry_after_s.map(|seconds| seconds.to_string());
                let headers: Vec<_> = retry.iter().map(|seconds| ("Retry-After", seconds.as_str())).collect();
                self.refuse(now, key, refusal.status, &refusal.reason, &headers, out);
            }
            Ok(id) => {
                if let Some(running) = running {
                    self.running.insert(running, key.to_owned());
                }
                self.dialogs.insert((dialog.call_id.clone(), dialog.local_tag.clone()), id);
                let stage = Stage::Incoming { transaction: key.to_owned(), remind: None };
                self.legs.insert(id, Leg { dialog, stage, accepted: None, reoffer: None, deadline: None });
                if let Some(serving) = self.servers.get_mut(key) {
                    serving.leg = Some(id);
                }
                // 17.2.1: 100 Trying stops the repetitions; it has no tag.
                if let Some(serving) = self.servers.get(key)
                    && let Ok(bytes) = self.answer_writer(serving, 100, "", None).empty()
                {
                    self.put_answer(now, key, 100, bytes, out);
                }
            }
        }
    }

    /// 503, without a transaction: one answer for each time that it is asked.
    fn turn_away(
        &mut self,
        key: &str,
        peer: Peer,
        message: &Message,
        reason: &str,
        seconds: u32,
        out: &mut Vec<Effect>,
    ) {
        self.servers.remove(key);
        self.refuse_statelessly(peer, message, 503, reason, &[("Retry-After", &seconds.to_string())], out);
    }

    /// As [`Self::refuse_extensions`], for what is answered without a transaction.
    fn refuse_extensions_of(&self, peer: Peer, message: &Message, out: &mut Vec<Effect>) -> bool {
        let required = message.list(Name::Require);
        if required.is_empty() {
            return false;
        }
        self.refuse_statelessly(peer, message, 420, "", &[("Unsupported", &required.join(", "))], out);
        true
    }

    /// 8.2.2.3: no extension is spoken. True when the request was refused.
    fn refuse_extensions(&mut self, now: Time, key: &str, message: &Message, out: &mut Vec<Effect>) -> bool {
        let required = message.list(Name::Require);
        if required.is_empty() {
            return false;
        }
        self.refuse(now, key, 420, "", &[("Unsupported", &required.join(", "))], out);
        true
    }

    fn options(&mut self, now: Time, key: &str, out: &mut Vec<Effect>) {
        self.refuse(now, key, 200, "", &capabilities(), out);
    }

    /// 9.2
    fn cancelled(&mut self, now: Time, key: &str, message: &Message, out: &mut Vec<Effect>) {
        let invite = transaction_key(message, &Method::Invite);
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
        let is_ringing =
            leg.is_some_and(|id| self.legs.get(&id).is_some_and(|leg| matches!(leg.stage, Stage::Incoming { .. })));
        if let Some(id) = leg.filter(|_| is_ringing) {
            self.answer_invite(now, id, 487, "", out);
            self.end(now, id, 487, &reason_text(message, "cancelled"), true, out);
        }
    }

    fn ack(&mut self, now: Time, key: &str, message: &Message, out: &mut Vec<Effect>) {
        // Of a refusal: the same branch as its INVITE (17.1.1.3).
        if let Some(serving) = self.servers.get_mut(key) {
            serving.machine.acknowledged(now);
            self.schedule_server(key);
        }
        // Of a 200: a branch of its own (13.2.2.4).
        let Some(id) = self.is_ours(message) else { return };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let cseq = message.cseq().map(|(number, _)| number);
        let Some(accepted) = leg.accepted.take_if(|accepted| Some(accepted.cseq) == cseq) else { return };
        let body = body::session(message).ok().flatten();
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

    /// 12.2.2
    fn within_dialog(
        &mut self,
        now: Time,
        key: &str,
        peer: Peer,
        message: &Message,
        method: &Method,
        out: &mut Vec<Effect>,
    ) {
        let Some(id) = self.is_ours(message) else {
            self.refuse(now, key, 481, "", &[], out);
            return;
        };
        let (Some(leg), Some((cseq, _))) = (self.legs.get_mut(&id), message.cseq()) else { return };
        if leg.dialog.remote_cseq.is_some_and(|last| cseq <= last) {
            self.refuse(now, key, 500, "CSeq is out of order", &[], out);
            return;
        }
        leg.dialog.remote_cseq = Some(cseq);
        // A phone that came back over another connection is reached over that one.
        if peer.transport == Transport::Tcp {
            leg.dialog.peer = peer;
        }
        if let Some(serving) = self.servers.get_mut(key) {
            serving.leg = Some(id);
        }
        match method {
            Method::Bye => {
                self.refuse(now, key, 200, "", &[], out);
                // 15.1.2: what still waits is answered 487.
                self.answer_reoffer(now, id, 487, None, out);
                if let Some(Stage::Incoming { .. }) = self.legs.get(&id).map(|leg| &leg.stage) {
                    self.answer_invite(now, id, 487, "", out);
                }
                self.end(now, id, 0, &reason_text(message, ""), true, out);
            }
            Method::Options => self.options(now, key, out),
            Method::Info => match body::digit(message) {
                Some((digit, length_ms)) => {
                    self.refuse(now, key, 200, "", &[], out);
                    self.tell(id, Event::Digit { digit, length_ms }, out);
                }
                None if message.body().is_empty() => self.refuse(now, key, 200, "", &[], out),
                None => self.refuse(now, key, 415, "", &[("Accept", "application/dtmf-relay, application/dtmf")], out),
            },
            Method::Invite | Method::Update => {
                if !self.refuse_extensions(now, key, message, out) {
                    self.reoffered(now, key, id, cseq, message, method, out);
                }
            }
            Method::Other(_) => self.refuse(now, key, 501, "", &[methods()], out),
            _ => self.refuse(now, key, 405, "", &[methods()], out),
        }
    }

    /// 14.2, RFC 3311 5.2
    #[expect(clippy::too_many_arguments, reason = "one request, and what was read of it already")]
    fn reoffered(
        &mut self,
        now: Time,
        key: &str,
        id: u64,
        cseq: u32,
        message: &Message,
        method: &Method,
        out: &mut Vec<Effect>,
    ) {
        let Ok(body) = body::session(message) else {
            self.refuse(now, key, 415, "", &[("Accept", "application/sdp")], out);
            return;
        };
        let decide_within = self.settings.decide_within;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let is_settled = matches!(leg.stage, Stage::Up) && leg.reoffer.is_none() && leg.accepted.is_none();
        let kind = match (method, &body) {
            (Method::Update, None) => {
                // Nothing but a sign of life, or a new Contact.
                leg.dialog.refresh(message);
                let contact = contact(&leg.dialog.peer, &self.settings);
                self.refuse(now, key, 200, "", &[("Contact", &contact)], out);
                return;
            }
            (Method::Update, Some(_)) => ReofferKind::Update,
            (_, Some(_)) => ReofferKind::Invite,
            (_, None) => ReofferKind::InviteAsking,
        };
        if !is_settled {
            // One at a time; a few seconds later it may be.
            self.refuse(now, key, 500, "Another offer is being answered", &[("Retry-After", "2")], out);
            return;
        }
        leg.dialog.refresh(message);
        leg.reoffer = Some(Reoffer { transaction: key.to_owned(), cseq, until: now + decide_within, kind });
        self.schedule_leg(id);
        if kind != ReofferKind::Update
            && let Some(serving) = self.servers.get(key)
            && let Ok(bytes) = self.answer_writer(serving, 100, "", None).empty()
        {
            self.put_answer(now, key, 100, bytes, out);
        }
        self.tell(id, Event::Reoffered { body }, out);
    }
}

/// 11.2
fn capabilities() -> [(&'static str, &'static str); 4] {
    [methods(), ("Accept", "application/sdp"), ("Accept-Encoding", "identity"), ("Supported", "")]
}

pub(super) fn contact(peer: &Peer, settings: &super::Settings) -> String {
    let transport = match peer.transport {
        super::Transport::Udp => "",
        super::Transport::Tcp => ";transport=tcp",
    };
    format!("<sip:{}{transport}>", peer.advertised(settings))
}

/// 17.2.3. Without the cookie, the RFC 2543 way: what a repetition has in common.
pub(super) fn transaction_key(message: &Message, method: &Method) -> String {
    // An ACK is matched to its INVITE.
    let method = if *method == Method::Ack { Method::Invite } else { method.clone() };
    let via = message.top_via();
    let branch = via.as_ref().and_then(crate::Via::branch).unwrap_or_default();
    match (via, branch.strip_prefix("z9hG4bK")) {
        (Some(via), Some(unique)) if !unique.is_empty() => {
            format!("{branch} {} {} {method}", via.host, via.port.unwrap_or(5_060))
        }
        _ => {
            let from = message.from().and_then(|from| from.tag()).unwrap_or_default();
            let number = message.cseq().map(|(number, _)| number).unwrap_or_default();
            let via = message.text(Name::Via).unwrap_or_default();
            format!("2543 {} {from} {number} {via} {method}", message.call_id().unwrap_or_default())
        }
    }
}

/// RFC 3326, as far as it is words.
pub(super) fn reason_text(message: &Message, otherwise: &str) -> String {
    let Some(reason) = message.text(Name::Reason) else { return otherwise.to_owned() };
    let params = reason.split_once(';').and_then(|(_, params)| crate::header::Params::read(params.as_bytes()));
    params.and_then(|params| params.get("text").or_else(|| params.get("cause"))).unwrap_or(reason)
}
