//! What the user wants of a leg.

use std::time::Duration;

use super::border::{Command, Effect, Event, LegId, No, Peer};
use super::dialog::Dialog;
use super::leg::{Accepted, AcceptedKind, Cancel, Leg, ReofferKind, Stage};
use super::requests::contact;
use super::{Agent, Asking, Purpose, carriage, methods};
use crate::header::Name;
use crate::message::{Limits, Message, Method};
use crate::transaction::{Carriage, Client, GIVE_UP, Retransmission, T2, Time};
use crate::uri::{Scheme, Uri};
use crate::write::{Unwritable, Writer};

impl Agent {
    /// Each is answered by one [`Event::Reply`], before anything else comes of it.
    pub fn command(&mut self, now: Time, id: LegId, ask: u32, command: Command, out: &mut Vec<Effect>) {
        let at = out.len();
        let result = match command {
            Command::Dial { to, target, caller, body, headers, timeout } => {
                let wanted = Wanted { to, target, caller, body, headers, timeout };
                self.dial(now, id, wanted, out)
            }
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
        };
        let reply = Effect::Event { leg: id, event: Event::Reply { ask, result } };
        out.insert(at, reply);
        self.schedule_leg(id);
    }

    /// The INVITE's transaction, while it may still be answered.
    fn ringing(&self, id: LegId) -> Result<String, No> {
        match self.legs.get(&id) {
            Some(Leg { stage: Stage::Incoming { transaction, .. }, .. }) => Ok(transaction.clone()),
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
        let key = self.ringing(id)?;
        if !(101..=199).contains(&status) {
            return Err(No::Invalid(format!("{status} is no provisional status")));
        }
        let writer = self.invite_answer(&key, id, status, "")?;
        let bytes = match body {
            Some(body) => writer.body("application/sdp", &body),
            None => writer.empty(),
        };
        self.put_answer(now, &key, status, bytes.map_err(unwritable)?, out);
        if let Some(Leg { stage: Stage::Incoming { remind, .. }, .. }) = self.legs.get_mut(&id) {
            *remind = Some(now + REMIND_EVERY);
        }
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
        let key = self.ringing(id)?;
        let mut writer = self.invite_answer(&key, id, 200, "")?;
        add_headers(&mut writer, headers, 200)?;
        let bytes = writer.body("application/sdp", &body).map_err(unwritable)?;
        self.put_answer(now, &key, 200, bytes.clone(), out);
        if let Some(leg) = self.legs.get_mut(&id) {
            // The INVITE's own number, whatever came within the early dialog since: the ACK has it.
            let invite = self.servers.get(&key).and_then(|serving| serving.request.cseq());
            let cseq = invite.map(|(number, _)| number).unwrap_or_default();
            leg.stage = Stage::Up;
            leg.accepted = accepted(now, bytes, cseq, AcceptedKind::First);
        }
        Ok(())
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
        let key = self.ringing(id)?;
        if !(300..=699).contains(&status) {
            return Err(No::Invalid(format!("{status} refuses nothing")));
        }
        let mut writer = self.invite_answer(&key, id, status, reason)?;
        add_headers(&mut writer, headers, status)?;
        let bytes = writer.empty().map_err(unwritable)?;
        self.put_answer(now, &key, status, bytes, out);
        let said = if reason.is_empty() { crate::write::phrase(status) } else { reason };
        self.end(now, id, status, said, false, out);
        Ok(())
    }

    /// A final answer to the INVITE of a leg that is about to end.
    pub(super) fn answer_invite(&mut self, now: Time, id: LegId, status: u16, reason: &str, out: &mut Vec<Effect>) {
        if let Ok(key) = self.ringing(id)
            && let Ok(writer) = self.invite_answer(&key, id, status, reason)
            && let Ok(bytes) = writer.empty()
        {
            self.put_answer(now, &key, status, bytes, out);
        }
    }

    /// With our tag; with what makes a dialog where it makes one (12.1.1).
    fn invite_answer(&self, key: &str, id: LegId, status: u16, reason: &str) -> Result<Writer, No> {
        let (Some(serving), Some(leg)) = (self.servers.get(key), self.legs.get(&id)) else { return Err(No::Gone) };
        let mut writer = self.answer_writer(serving, status, reason, Some(&leg.dialog.local_tag));
        if status < 300 {
            writer.copy_all(Name::RecordRoute, &serving.request);
            writer.header("Contact", &contact(&leg.dialog.peer, &self.settings));
            writer.header(methods().0, methods().1);
        }
        Ok(writer)
    }

    fn hang_up(&mut self, now: Time, id: LegId, reason: Option<String>, out: &mut Vec<Effect>) -> Result<(), No> {
        let Some(leg) = self.legs.get_mut(&id) else { return Err(No::Gone) };
        match &leg.stage {
            Stage::Incoming { .. } => {
                let words = reason.unwrap_or_default();
                return self
                    .reject(now, id, 480, &words, &[], out)
                    .or_else(|_| self.reject(now, id, 480, "", &[], out));
            }
            // 15: not before the ACK has come, or can no longer.
            Stage::Up => match &mut leg.accepted {
                Some(accepted) if !accepted.kind.is_again() => accepted.bye = Some(reason),
                _ => self.send_bye(now, id, reason, out),
            },
            Stage::Dialling { .. } => self.cancel(now, id, reason, out),
            Stage::Leaving { .. } => {}
        }
        Ok(())
    }

    /// 15.1.1
    pub(super) fn send_bye(&mut self, now: Time, id: LegId, reason: Option<String>, out: &mut Vec<Effect>) {
        self.answer_reoffer(now, id, 487, None, out);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.accepted = None;
        leg.stage = Stage::Leaving { reason: reason.clone().unwrap_or_default() };
        let (mut writer, branch) = leg.dialog.request(&Method::Bye, &self.settings, &mut self.chance);
        let peer = leg.dialog.next_hop();
        add_reason(&mut writer, reason.as_deref());
        writer.header("User-Agent", &self.settings.product);
        if !self.ask(now, id, peer, branch, Purpose::Bye, writer, out) {
            self.end(now, id, 0, &reason.unwrap_or_default(), false, out);
        }
    }

    fn decide_reoffer(
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
        Ok(())
    }

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
        let contact = contact(&leg.dialog.peer, &self.settings);
        let Some(serving) = self.servers.get(&reoffer.transaction) else { return };
        let mut writer = self.answer_writer(serving, status, "", None);
        if status < 300 {
            writer.header("Contact", &contact);
            writer.header(methods().0, methods().1);
        }
        let bytes = match body {
            Some(body) => writer.body("application/sdp", &body),
            None => writer.empty(),
        };
        let Ok(bytes) = bytes else { return };
        self.put_answer(now, &reoffer.transaction, status, bytes.clone(), out);
        let kind = match reoffer.kind {
            ReofferKind::Update => None,
            ReofferKind::Invite => Some(AcceptedKind::Again),
            ReofferKind::InviteAsking => Some(AcceptedKind::AgainOffering),
        };
        if status < 300
            && let (Some(kind), Some(leg)) = (kind, self.legs.get_mut(&id))
        {
            leg.accepted = accepted(now, bytes, reoffer.cseq, kind);
        }
        self.schedule_leg(id);
    }

    // Dialling.

    fn dial(&mut self, now: Time, id: LegId, wanted: Wanted, out: &mut Vec<Effect>) -> Result<(), No> {
        if self.legs.contains_key(&id) {
            return Err(No::State("dialled already"));
        }
        for uri in [&wanted.target, &wanted.caller] {
            let read = Uri::read(uri.as_bytes()).map_err(|error| No::Invalid(error.to_string()))?;
            if !matches!(read.scheme, Scheme::Sip | Scheme::Tel) {
                return Err(No::Invalid(format!("`{uri}` is no sip: or tel: URI")));
            }
        }
        let mut dialog = Dialog::dialling(&wanted.caller, &wanted.target, wanted.to, &mut self.chance);
        let (mut writer, branch) = dialog.request(&Method::Invite, &self.settings, &mut self.chance);
        writer.header("Contact", &contact(&wanted.to, &self.settings));
        writer.header(methods().0, methods().1);
        writer.header("User-Agent", &self.settings.product);
        add_headers(&mut writer, &wanted.headers, 0)?;
        let bytes = writer.body("application/sdp", &wanted.body).map_err(unwritable)?;
        let Ok(invite) = Message::parse_datagram(bytes.clone(), &Limits::default()) else {
            return Err(No::Invalid("the INVITE cannot be read back".to_owned()));
        };
        self.dialogs.insert((dialog.call_id.clone(), dialog.local_tag.clone()), id);
        let give_up = now + wanted.timeout;
        let stage = Stage::Dialling { branch: branch.clone(), invite: invite.clone(), give_up, cancel: Cancel::No };
        self.legs.insert(id, Leg { dialog, stage, accepted: None, reoffer: None, deadline: None });
        let machine = Client::invite(now, carriage(&wanted.to), bytes.clone());
        let asking =
            Asking { machine, request: invite, peer: wanted.to, leg: id, purpose: Purpose::Invite, deadline: None };
        self.clients.insert(branch.clone(), asking);
        self.schedule_client(&branch);
        out.push(Effect::Send { peer: wanted.to, bytes });
        Ok(())
    }

    /// 9.1
    pub(super) fn cancel(&mut self, now: Time, id: LegId, reason: Option<String>, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Dialling { branch, invite, cancel, give_up }, .. }) = self.legs.get_mut(&id)
        else {
            return;
        };
        if *cancel == Cancel::Sent {
            return;
        }
        let Some(asking) = self.clients.get(branch) else { return };
        if !asking.machine.is_proceeding() {
            *cancel = Cancel::Wanted { reason };
            return;
        }
        *cancel = Cancel::Sent;
        // The 487 is owed within 64*T1; after that there is nobody.
        *give_up = now + GIVE_UP;
        let peer = asking.peer;
        let mut writer = Writer::request(&Method::Cancel, &String::from_utf8_lossy(invite.request_uri()));
        let number = invite.cseq().map(|(number, _)| number).unwrap_or_default();
        writer.copy_first(Name::Via, invite).header("Max-Forwards", "70").copy_all(Name::From, invite);
        writer.copy_all(Name::To, invite).copy_all(Name::CallId, invite).header("CSeq", &format!("{number} CANCEL"));
        add_reason(&mut writer, reason.as_deref());
        // It shares the INVITE's branch; the two are told apart by method.
        let branch = format!("{branch} CANCEL");
        self.ask(now, id, peer, branch, Purpose::Cancel, writer, out);
    }

    /// Sends a request in a transaction of its own. False when it cannot be written.
    #[expect(clippy::too_many_arguments, reason = "all that a transaction is made of")]
    pub(super) fn ask(
        &mut self,
        now: Time,
        leg: LegId,
        peer: Peer,
        branch: String,
        purpose: Purpose,
        writer: Writer,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Ok(bytes) = writer.empty() else { return false };
        let Ok(request) = Message::parse_datagram(bytes.clone(), &Limits::default()) else { return false };
        let machine = Client::other(now, carriage(&peer), bytes.clone());
        self.clients.insert(branch.clone(), Asking { machine, request, peer, leg, purpose, deadline: None });
        self.schedule_client(&branch);
        out.push(Effect::Send { peer, bytes });
        true
    }
}

struct Wanted {
    to: Peer,
    target: String,
    caller: String,
    body: Vec<u8>,
    headers: Vec<(String, String)>,
    timeout: Duration,
}

fn accepted(now: Time, bytes: bytes::Bytes, cseq: u32, kind: AcceptedKind) -> Option<Accepted> {
    let again = Retransmission::new(now, Carriage::Unreliable, T2)?;
    Some(Accepted { bytes, cseq, again, until: now + GIVE_UP, kind, bye: None })
}

fn add_reason(writer: &mut Writer, reason: Option<&str>) {
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        let plain: String =
            reason.chars().filter(|letter| !letter.is_control() && !matches!(letter, '"' | '\\')).collect();
        writer.header("Reason", &format!("SIP;cause=200;text=\"{plain}\""));
    }
}

/// What belongs to the protocol's own working is not the user's to give, but for where a caller is
/// sent to (21.3).
fn add_headers(writer: &mut Writer, headers: &[(String, String)], status: u16) -> Result<(), No> {
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

/// 13.3.1.1: proxies give a call up that is silent for three minutes.
pub(super) const REMIND_EVERY: Duration = Duration::from_secs(60);

fn unwritable(error: Unwritable) -> No {
    No::Invalid(error.to_string())
}
