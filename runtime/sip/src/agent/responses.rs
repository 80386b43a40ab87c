//! Answers to what we asked (RFC 3261 8.1.3, 17.1).

use bytes::Bytes;

use super::Agent;
use super::asking::Purpose;
use super::border::{Effect, Peer};
use super::chance::{Branch, BranchOf};
use crate::header::Name;
use crate::message::{Limits, Message, Method};
use crate::transaction::{Heard, Time};
use crate::write::Writer;

impl Agent {
    pub(super) fn response(&mut self, now: Time, from: Peer, message: &Message, out: &mut Vec<Effect>) {
        let (Some(status), Some(via)) = (message.status(), message.top_via()) else { return };
        // 18.1.2: a response that is not for us has somebody else's Via on top, or more than ours.
        if message.count(Name::Via) > 1 {
            return;
        }
        let Some((_, method)) = message.cseq() else { return };
        let of = if method == Method::Cancel { BranchOf::Cancel } else { BranchOf::Request };
        let Some(branch) = via.branch().and_then(|branch| Branch::read(&branch, of)) else { return };
        // 17.1.3: the branch, and the method.
        let Some(asking) = self.clients.get_mut(&branch).filter(|asking| asking.method == method) else { return };
        let request = asking.machine.request().clone();
        let heard = asking.machine.response(now, status, || refusal_ack(request, message));
        let (peer, purpose) = (asking.peer, asking.purpose);
        let ack = asking.machine.ack();
        match heard {
            Heard::Send(bytes) => out.push(Effect::Send { peer, bytes }),
            Heard::News => {
                if let Some(bytes) = ack {
                    out.push(Effect::Send { peer, bytes });
                }
                if !self.challenged(now, branch, purpose, status, message, out) {
                    self.answered(now, branch, purpose, from, status, message, out);
                }
            }
            Heard::Nothing | Heard::Timeout => {}
        }
        self.schedule_client(branch);
        if let Some(id) = purpose.leg() {
            self.schedule_leg(id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a transaction, and what came of it")]
    fn answered(
        &mut self,
        now: Time,
        branch: Branch,
        purpose: Purpose,
        from: Peer,
        status: u16,
        message: &Message,
        out: &mut Vec<Effect>,
    ) {
        match purpose {
            Purpose::Invite(id) => self.invite_answered(now, id, branch, from, status, message, out),
            Purpose::Reoffer(id) => match status {
                100..200 if self.is_reoffering(id, branch) => {}
                100..200 => self.abandon(now, branch),
                200..300 => self.reoffer_accepted(now, id, branch, message, out),
                _ => self.reoffer_refused(now, id, branch, status, &message.reason(), Some(message), out),
            },
            Purpose::Own(request) => self.own_answered(now, request, branch, status, message, out),
            _ if status < 200 => {}
            Purpose::Bye(id) => self.left(now, id, out),
            Purpose::Refer(id) => match status {
                200..300 => self.refer_accepted(id, out),
                _ => self.refer_refused(id, status, &message.reason(), out),
            },
            Purpose::Notify(id) if status >= 300 => self.notify_refused(id),
            Purpose::Notify(_) | Purpose::Prack(_) | Purpose::Info(_) | Purpose::Lost(_) | Purpose::Nothing => {}
        }
    }
}

/// 17.1.1.3: the INVITE's Request-URI, top Via and number; the To of the answer.
fn refusal_ack(invite: Bytes, response: &Message) -> Option<Bytes> {
    let invite = Message::parse_datagram(invite, &Limits::default()).ok()?;
    let mut writer = Writer::request(&Method::Ack, &String::from_utf8_lossy(invite.request_uri()));
    let (number, _) = invite.cseq()?;
    writer.copy_first(Name::Via, &invite).header("Max-Forwards", "70").copy_all(Name::From, &invite);
    writer.copy_all(Name::To, response).copy_all(Name::CallId, &invite).copy_all(Name::Route, &invite);
    writer.parts("CSeq", &[&number.to_string(), " ACK"]);
    writer.empty().ok()
}
