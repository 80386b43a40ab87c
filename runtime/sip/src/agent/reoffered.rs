//! What the far end offers within a call (RFC 3261 14.2, RFC 3311 5.2), until our user has decided.

use std::time::Duration;

use super::Agent;
use super::body;
use super::border::{Effect, Event, LegId, No};
use super::extensions::{ALLOW, SUPPORTED};
use super::leg::{Accepted, AcceptedKind, Leg, OfferIn, Reoffer, ReofferKind, Stage};
use super::reoffer::Ours;
use super::requests::Request;
use crate::header::Name;
use crate::message::Method;
use crate::transaction::Time;

impl Agent {
    pub(super) fn reoffered(&mut self, now: Time, id: LegId, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, method, cseq } = request;
        let Ok(body) = body::session(message) else {
            self.refuse(now, key, 415, "", &[("Accept", "application/sdp")], out);
            return;
        };
        if let Some(least) = self.too_brief(message) {
            self.refuse(now, key, 422, "", &[("Min-SE", &least)], out);
            return;
        }
        let kind = match (method, &body) {
            (Method::Update, None) => {
                self.refreshed(now, id, request, out);
                return;
            }
            (Method::Update, Some(_)) => ReofferKind::Update,
            (_, Some(_)) => ReofferKind::Invite,
            (_, None) => ReofferKind::InviteAsking,
        };
        let tag = message.tag_text(Name::From).unwrap_or_default();
        let Some(leg) = self.legs.get(&id) else { return };
        match may_offer(leg, kind, &tag) {
            Turn::Yes => {}
            // 14.2, RFC 3311 5.2: our own is open.
            Turn::Ours => return self.refuse(now, key, 491, "", &[], out),
            // Theirs is: in a few seconds.
            Turn::Theirs => {
                let wait = self.chance.between(Duration::from_secs(1), Duration::from_secs(10)).as_secs();
                let headers = [("Retry-After", wait.to_string())];
                let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
                return self.refuse(now, key, 500, "Another offer is being answered", &headers, out);
            }
            Turn::Over => return self.refuse(now, key, 481, "", &[], out),
        }
        let until = now + self.settings.decide_within;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.options.learn(message);
        match &mut leg.stage {
            Stage::Dialling(dialling) => {
                if let Some(early) = dialling.early_mut(tag.as_bytes()) {
                    early.far.refresh(message);
                    early.body.clone_from(&body);
                }
            }
            _ => leg.dialog.refresh(message),
        }
        leg.reoffer = Some(Reoffer { transaction: key, cseq, until, kind, tag });
        self.schedule_leg(id);
        if kind != ReofferKind::Update {
            self.put_trying(now, key, out);
        }
        self.tell(id, Event::Reoffered { body }, out);
    }

    /// An UPDATE that offers nothing: a sign of life, or a new Contact.
    fn refreshed(&mut self, now: Time, id: LegId, request: Request<'_>, out: &mut Vec<Effect>) {
        let Request { key, message, .. } = request;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.options.learn(message);
        match &mut leg.stage {
            Stage::Dialling(dialling) => {
                if let Some(early) = dialling.early_mut(&message.tag(Name::From).unwrap_or_default()) {
                    early.far.refresh(message);
                }
            }
            _ => leg.dialog.refresh(message),
        }
        let (contact, is_up) = (leg.dialog.contact(&self.settings), matches!(leg.stage, Stage::Up));
        let Some(serving) = self.servers.get(&key) else { return };
        let mut writer = self.answer_writer(now, serving, 200, "", None);
        writer.header("Contact", &contact).header("Allow", ALLOW).header("Supported", SUPPORTED);
        if is_up {
            self.agree_on_session(now, id, message, &mut writer);
        }
        if let Ok(bytes) = writer.empty() {
            self.put_answer(now, key, 200, bytes, out);
        }
    }

    pub(super) fn decide_reoffer(
        &mut self,
        now: Time,
        id: LegId,
        status: u16,
        body: Option<Vec<u8>>,
        out: &mut Vec<Effect>,
    ) -> Result<(), No> {
        let Some(leg) = self.legs.get(&id) else { return Err(No::Gone) };
        if leg.reoffer.is_none() {
            return Err(No::State("offered nothing"));
        }
        self.answer_reoffer(now, id, status, body, out);
        self.settled(now, id, out);
        Ok(())
    }

    /// Nothing, when nothing was offered.
    pub(super) fn answer_reoffer(
        &mut self,
        now: Time,
        id: LegId,
        status: u16,
        body: Option<Vec<u8>>,
        out: &mut Vec<Effect>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(reoffer) = leg.reoffer.take() else { return };
        let (contact, is_up) = (leg.dialog.contact(&self.settings), matches!(leg.stage, Stage::Up));
        let Some(serving) = self.servers.get(&reoffer.transaction) else { return };
        let (request, peer) = (serving.request.clone(), serving.peer);
        let mut writer = self.answer_writer(now, serving, status, "", None);
        if status < 300 {
            writer.header("Contact", &contact).header("Allow", ALLOW).header("Supported", SUPPORTED);
            if is_up && reoffer.kind != ReofferKind::Prack {
                self.agree_on_session(now, id, &request, &mut writer);
            }
        }
        let bytes = match &body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.empty(),
        };
        let Ok(bytes) = bytes else { return };
        self.put_answer(now, reoffer.transaction, status, bytes.clone(), out);
        let kind = match reoffer.kind {
            ReofferKind::Update | ReofferKind::Prack => None,
            ReofferKind::Invite => Some(AcceptedKind::Again),
            ReofferKind::InviteAsking => Some(AcceptedKind::AgainOffering),
        };
        if status < 300
            && let Some(leg) = self.legs.get_mut(&id)
        {
            if let Some(body) = body.filter(|_| leg.timer.is_some()) {
                leg.described = Some(body.into());
            }
            leg.accepted = kind.map(|kind| Accepted::new(now, bytes, peer, reoffer.cseq, kind)).or(leg.accepted.take());
        }
        self.schedule_leg(id);
    }

    /// Nobody has decided.
    pub(super) fn reoffered_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get(&id) else { return };
        if leg.reoffer.as_ref().is_some_and(|reoffer| reoffer.until <= now) {
            self.answer_reoffer(now, id, 500, None, out);
            self.settled(now, id, out);
        }
    }

    /// What waited for the end of their offer has its turn: the 200 of the call, or an offer of ours.
    fn settled(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        self.let_answer_go(now, id, out);
        self.reoffer_tick(now, id, out);
    }
}

/// Whose offer is open.
enum Turn {
    Yes,
    Ours,
    Theirs,
    Over,
}

fn may_offer(leg: &Leg, kind: ReofferKind, tag: &str) -> Turn {
    if leg.reoffer.is_some() {
        return Turn::Theirs;
    }
    if leg.ours.as_ref().is_some_and(Ours::is_open) {
        return Turn::Ours;
    }
    match &leg.stage {
        Stage::Up => match leg.accepted.as_ref().map(|accepted| accepted.kind) {
            None => Turn::Yes,
            Some(AcceptedKind::AgainOffering) => Turn::Ours,
            Some(AcceptedKind::First | AcceptedKind::Again) => Turn::Theirs,
        },
        Stage::Leaving { .. } => Turn::Over,
        Stage::Incoming(incoming) => {
            let is_free = incoming.reliable.is_settled() && incoming.reliable.held().is_none();
            match (kind, incoming.offer) {
                (ReofferKind::Update, _) if is_free => Turn::Yes,
                (ReofferKind::Update, OfferIn::Answer) if incoming.reliable.is_described() => Turn::Ours,
                _ => Turn::Theirs,
            }
        }
        Stage::Dialling(dialling) => {
            let is_answered = dialling.early(tag.as_bytes()).is_some_and(|early| early.body.is_some());
            if kind == ReofferKind::Update && is_answered { Turn::Yes } else { Turn::Ours }
        }
    }
}
