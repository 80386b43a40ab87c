//! Requests that come in (RFC 3261 8.2, 12.2.2, 15.1.2): whose they are, and what answers itself.

use super::asking::Purpose;
use super::body;
use super::border::{Answered, Door, Effect, Event, LegId, Peer, Transport};
use super::chance::Key;
use super::extensions::{ACCEPT, ALLOW, EVENTS, SUPPORTED, unsupported};
use super::leg::{Leg, Stage};
use super::reason::reason_text;
use super::serving::{Serving, back_to};
use super::{Agent, carriage};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::transaction::{Again, Server, Time};

/// A request, and what was read of it already.
#[derive(Clone, Copy)]
pub(super) struct Request<'m> {
    pub(super) key: Key,
    pub(super) message: &'m Message,
    pub(super) method: &'m Method,
    pub(super) cseq: u32,
}

impl Agent {
    pub(super) fn requested(
        &mut self,
        now: Time,
        peer: Peer,
        message: Message,
        door: &mut dyn Door,
        out: &mut Vec<Effect>,
    ) {
        let (Some(method), Some(via)) = (message.method().cloned(), message.top_via()) else { return };
        let key = self.transaction_key_of(&message, &method, Some(&via));
        if method == Method::Ack {
            self.acknowledged(now, key, &message, out);
            return;
        }
        // 17.2: what came before is answered from the transaction, before anything else is spent.
        if let Some(serving) = self.servers.get(&key) {
            if let Again::Send(bytes) = serving.machine.repeated() {
                out.push(Effect::Send { peer: serving.peer, bytes });
            }
            return;
        }
        let Some((cseq, _)) = message.cseq() else { return };
        if method == Method::Options && message.tag(Name::To).is_none() {
            // Small talk is answered the same each time, and nothing is kept of it.
            match unsupported(&message) {
                Some(unknown) => {
                    self.refuse_statelessly(now, peer, &message, 420, "", &[("Unsupported", &unknown)], out);
                }
                None => self.refuse_statelessly(now, peer, &message, 200, "", &capabilities(), out),
            }
            return;
        }
        if !self.has_room(&message) {
            self.refuse_statelessly(now, peer, &message, 503, "Overloaded", &[("Retry-After", "10")], out);
            return;
        }
        let machine = match method {
            Method::Invite => Server::invite(carriage(&peer)),
            _ => Server::other(carriage(&peer)),
        };
        let serving = Serving {
            machine,
            request: message.clone(),
            peer: back_to(peer, &via),
            via,
            leg: None,
            running: None,
            deadline: None,
        };
        self.servers.insert(key, serving);
        let request = Request { key, message: &message, method: &method, cseq };
        if method == Method::Cancel {
            self.cancelled(now, key, &message, out);
        } else if let Some(unknown) = unsupported(&message) {
            self.refuse(now, key, 420, "", &[("Unsupported", &unknown)], out);
        } else if message.tag(Name::To).is_some() {
            self.within_dialog(now, peer, request, out);
        } else {
            self.outside_dialog(now, peer, request, door, out);
        }
        self.schedule_server(key);
    }

    fn outside_dialog(
        &mut self,
        now: Time,
        peer: Peer,
        request: Request<'_>,
        door: &mut dyn Door,
        out: &mut Vec<Effect>,
    ) {
        let key = request.key;
        match request.method {
            Method::Invite => self.invited(now, peer, request, door, out),
            Method::Register => {
                let Answered { status, reason, headers } = door.register(now, &peer, request.message);
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.refuse(now, key, status, &reason, &headers, out);
            }
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => {
                self.refuse(now, key, 481, "", &[], out);
            }
            // RFC 6665 7.2.
            Method::Subscribe => self.refuse(now, key, 489, "", &[("Allow-Events", EVENTS)], out),
            // A REFER outside of a dialog has no leg that it could send away.
            Method::Refer => self.refuse(now, key, 403, "Refers to no call", &[], out),
            Method::Other(_) => self.refuse(now, key, 501, "", &[("Allow", ALLOW)], out),
            // Known, and not done here (8.2.1).
            _ => self.refuse(now, key, 405, "", &[("Allow", ALLOW)], out),
        }
    }

    /// 11.2
    fn options(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        self.refuse(now, key, 200, "", &capabilities(), out);
    }

    /// 12.2.2
    fn within_dialog(&mut self, now: Time, peer: Peer, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, method, cseq } = request;
        let Some(id) = self.is_ours(message) else {
            self.refuse(now, key, 481, "", &[], out);
            return;
        };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let last = last_cseq(leg, message);
        if last.is_none_or(|last| last.is_some_and(|last| cseq <= last)) {
            self.refuse(now, key, 500, "CSeq is out of order", &[], out);
            return;
        }
        // A phone that came back over another connection is reached over that one.
        if peer.transport != Transport::Udp {
            leg.dialog.peer = peer;
        }
        if let Some(serving) = self.servers.get_mut(&key) {
            serving.leg = Some(id);
        }
        match method {
            Method::Bye => self.hung_up(now, key, id, message, out),
            Method::Options => self.options(now, key, out),
            Method::Info => match body::digit(message) {
                Some((digit, length_ms)) => {
                    self.refuse(now, key, 200, "", &[], out);
                    self.tell(id, Event::Digit { digit, length_ms }, out);
                }
                None if message.body().is_empty() => self.refuse(now, key, 200, "", &[], out),
                None => self.refuse(now, key, 415, "", &[("Accept", "application/dtmf-relay, application/dtmf")], out),
            },
            Method::Invite | Method::Update => self.reoffered(now, id, request, out),
            Method::Prack => self.prack(now, id, request, out),
            Method::Refer => self.referred(now, id, request, out),
            Method::Notify => self.notified(now, id, request, out),
            Method::Subscribe => self.resubscribed(now, id, request, out),
            Method::Other(_) => self.refuse(now, key, 501, "", &[("Allow", ALLOW)], out),
            _ => self.refuse(now, key, 405, "", &[("Allow", ALLOW)], out),
        }
        self.schedule_leg(id);
    }

    /// 15.1.2
    fn hung_up(&mut self, now: Time, key: Key, id: LegId, message: &Message, out: &mut Vec<Effect>) {
        self.refuse(now, key, 200, "", &[], out);
        let Some(leg) = self.legs.get(&id) else { return };
        // A branch of a fork that ends is not the end of the others; the INVITE's answer is.
        if let Stage::Dialling(_) = &leg.stage {
            return;
        }
        self.answer_invite(now, id, 487, "", out);
        self.end(now, id, 0, &reason_text(message, ""), true, out);
    }

    /// Our BYE was answered, whatever the answer (15.1.1).
    pub(super) fn left(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        if let Some(Leg { stage: Stage::Leaving { reason }, .. }) = self.legs.get(&id) {
            let reason = reason.clone();
            self.end(now, id, 0, &reason, false, out);
        }
    }

    /// 15.1.1
    pub(super) fn send_bye(&mut self, now: Time, id: LegId, reason: Option<String>, out: &mut Vec<Effect>) {
        self.answer_reoffer(now, id, 487, None, out);
        self.answer_referral(now, id, 487, out);
        self.drop_asks(id, out);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.accepted = None;
        leg.timer = None;
        leg.subscription = None;
        leg.referring = None;
        let ours = leg.ours.take().and_then(|ours| ours.branch());
        leg.stage = Stage::Leaving { reason: reason.clone().unwrap_or_default() };
        let (mut writer, branch) = leg.dialog.request(&Method::Bye, &self.settings, &mut self.chance);
        let peer = leg.dialog.next_hop();
        super::reason::add_reason(&mut writer, &Method::Bye, reason.as_deref());
        writer.header("User-Agent", &self.settings.product);
        if let Some(ours) = ours {
            self.abandon(now, ours);
        }
        if !self.ask(now, peer, branch, Method::Bye, Purpose::Bye(id), writer, out) {
            self.end(now, id, 0, &reason.unwrap_or_default(), false, out);
        }
        self.schedule_leg(id);
    }
}

/// The number of the last request of this far end, set to that of this one. None: no such far end.
fn last_cseq(leg: &mut Leg, message: &Message) -> Option<Option<u32>> {
    let (cseq, _) = message.cseq()?;
    let tag = message.tag(Name::From).unwrap_or_default();
    let far = match &mut leg.stage {
        Stage::Dialling(dialling) => &mut dialling.early_mut(&tag)?.far,
        _ => &mut leg.dialog.far,
    };
    let last = far.cseq;
    if last.is_none_or(|last| cseq > last) {
        far.cseq = Some(cseq);
    }
    Some(last)
}

/// 11.2
fn capabilities() -> [(&'static str, &'static str); 5] {
    [
        ("Allow", ALLOW),
        ("Accept", ACCEPT),
        ("Accept-Encoding", "identity"),
        ("Supported", SUPPORTED),
        ("Allow-Events", EVENTS),
    ]
}
