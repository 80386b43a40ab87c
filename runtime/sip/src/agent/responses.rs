//! Answers to what we asked (RFC 3261 8.1.3, 13.2.2, 15.1.1).

use bytes::Bytes;

use super::body;
use super::border::{Effect, Event, LegId};
use super::leg::{Cancel, Leg, Stage};
use super::{Agent, Purpose};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::transaction::{Heard, Time};
use crate::write::Writer;

impl Agent {
    pub(super) fn response(&mut self, now: Time, message: Message, out: &mut Vec<Effect>) {
        let (Some(status), Some(via)) = (message.status(), message.top_via()) else { return };
        // 18.1.2: a response that is not for us has somebody else's Via on top, or more than ours.
        let Some((_, method)) = message.cseq() else { return };
        let mut branch = via.branch().unwrap_or_default();
        if method == Method::Cancel {
            branch.push_str(" CANCEL");
        }
        let Some(asking) = self.clients.get_mut(&branch) else { return };
        let request = &asking.request;
        let heard = asking.machine.response(now, status, || refusal_ack(request, &message));
        let (peer, id, purpose) = (asking.peer, asking.leg, asking.purpose);
        let ack = asking.machine.ack();
        match heard {
            Heard::Send(bytes) => out.push(Effect::Send { peer, bytes }),
            Heard::News => {
                if let Some(bytes) = ack {
                    out.push(Effect::Send { peer, bytes });
                }
                match purpose {
                    Purpose::Invite => self.invite_answered(now, id, status, &message, out),
                    Purpose::Bye if status >= 200 => self.left(now, id, out),
                    Purpose::Bye | Purpose::Cancel => {}
                }
            }
            Heard::Nothing | Heard::Timeout => {}
        }
        self.schedule_client(&branch);
        self.schedule_leg(id);
    }

    fn invite_answered(&mut self, now: Time, id: LegId, status: u16, message: &Message, out: &mut Vec<Effect>) {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let Some(leg) = self.legs.get_mut(&id) else {
            // Given up meanwhile; a late 200 must not leave a call behind.
            if (200..300).contains(&status) {
                self.refuse_accepted(now, message, out);
            }
            return;
        };
        match (&mut leg.stage, status) {
            (Stage::Dialling { cancel, .. }, 100..200) => {
                if let Cancel::Wanted { reason } = cancel.clone() {
                    self.cancel(now, id, reason, out);
                } else if status > 100 {
                    let body = body::session(message).ok().flatten();
                    self.tell(id, Event::Ringing { status, body }, out);
                }
            }
            (Stage::Dialling { cancel, .. }, 200..300) => {
                let is_unwanted = *cancel != Cancel::No;
                leg.dialog.established(message);
                leg.stage = Stage::Up;
                self.acknowledge(id, out);
                if is_unwanted {
                    // 9.1: it was answered before it was cancelled.
                    self.send_bye(now, id, Some("cancelled".to_owned()), out);
                } else {
                    let body = body::session(message).ok().flatten();
                    self.tell(id, Event::Answered { body }, out);
                }
            }
            (Stage::Dialling { cancel, .. }, _) => {
                let is_ours = *cancel != Cancel::No && status == 487;
                self.end(now, id, status, &message.reason(), !is_ours, out);
            }
            // 13.2.2.4: the same 200 again is acknowledged again; one of another branch is not wanted.
            (_, 200..300) if leg.dialog.remote_tag == tag => self.acknowledge(id, out),
            (_, 200..300) => self.refuse_accepted(now, message, out),
            _ => {}
        }
    }

    /// The ACK of a 200: its own transaction, without one.
    fn acknowledge(&mut self, id: LegId, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let number = leg.dialog.local_cseq.min(1);
        let (writer, _) = leg.dialog.request_with(&Method::Ack, number, &self.settings, &mut self.chance);
        let peer = leg.dialog.next_hop();
        if let Ok(bytes) = writer.empty() {
            out.push(Effect::Send { peer, bytes });
        }
    }

    /// ACK and BYE to a 200 that nobody waits for any more.
    fn refuse_accepted(&mut self, now: Time, message: &Message, out: &mut Vec<Effect>) {
        let (Some(from), Some(call_id)) = (message.from(), message.call_id()) else { return };
        let branch = message.top_via().and_then(|via| via.branch()).unwrap_or_default();
        let Some(asking) = self.clients.get(&branch) else { return };
        let peer = asking.peer;
        let leg = asking.leg;
        let mut dialog =
            super::dialog::Dialog::dialling(&from.uri.to_string(), "sip:nobody@invalid", peer, &mut self.chance);
        dialog.call_id = call_id;
        dialog.local_tag = from.tag().unwrap_or_default();
        dialog.local_cseq = 1;
        dialog.established(message);
        let (ack, _) = dialog.request_with(&Method::Ack, 1, &self.settings, &mut self.chance);
        let to = dialog.next_hop();
        if let Ok(bytes) = ack.empty() {
            out.push(Effect::Send { peer: to, bytes });
        }
        let (bye, branch) = dialog.request(&Method::Bye, &self.settings, &mut self.chance);
        self.ask(now, leg, to, branch, Purpose::Cancel, bye, out);
    }

    /// Our BYE was answered, whatever the answer (15.1.1).
    fn left(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        if let Some(Leg { stage: Stage::Leaving { reason }, .. }) = self.legs.get(&id) {
            let reason = reason.clone();
            self.end(now, id, 0, &reason, false, out);
        }
    }

    /// Timer B or F: as a 408. The connection is gone, or never was: as a 503 (8.1.3.1).
    pub(super) fn client_failed(&mut self, now: Time, branch: &str, status: u16, reason: &str, out: &mut Vec<Effect>) {
        let Some(asking) = self.clients.remove(branch) else { return };
        if let Some(at) = asking.deadline {
            self.due.remove(&(at, super::Due::Client(branch.to_owned())));
        }
        match asking.purpose {
            Purpose::Invite => {
                if matches!(self.legs.get(&asking.leg), Some(Leg { stage: Stage::Dialling { .. }, .. })) {
                    self.end(now, asking.leg, status, reason, false, out);
                }
            }
            Purpose::Bye => self.left(now, asking.leg, out),
            Purpose::Cancel => {}
        }
    }
}

/// 17.1.1.3: the INVITE's Request-URI, top Via and number; the To of the answer.
fn refusal_ack(invite: &Message, response: &Message) -> Option<Bytes> {
    let mut writer = Writer::request(&Method::Ack, &String::from_utf8_lossy(invite.request_uri()));
    let (number, _) = invite.cseq()?;
    writer.copy_first(Name::Via, invite).header("Max-Forwards", "70").copy_all(Name::From, invite);
    writer.copy_all(Name::To, response).copy_all(Name::CallId, invite).copy_all(Name::Route, invite);
    writer.header("CSeq", &format!("{number} ACK"));
    writer.empty().ok()
}
