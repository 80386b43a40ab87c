//! Those that ring because of one INVITE: a proxy may have sent it to several (RFC 3261 13.2.2.4),
//! each of which may answer reliably (RFC 3262 4). One of them wins.

use super::Agent;
use super::asking::{Ack, MOST_BRANCHES, Purpose};
use super::body;
use super::border::{Effect, Event, LegId, Peer};
use super::chance::Branch;
use super::commands::shown;
use super::dial::Cancel;
use super::dialog::{Dialog, Far};
use super::extensions::requires;
use super::leg::{Leg, Stage};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::transaction::Time;

#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) far: Far,
    /// The last reliable answer of it that was acknowledged.
    rseq: Option<u32>,
    /// What it said of the session last, in what counts.
    pub(super) body: Option<Vec<u8>>,
    pracks: u32,
}

/// Reliable answers of one branch. More are not acknowledged, and it gives up.
const MOST_PRACKS: u32 = 64;

impl Agent {
    /// What came of an INVITE that made a leg.
    #[expect(clippy::too_many_arguments, reason = "a transaction, and what came of it")]
    pub(super) fn invite_answered(
        &mut self,
        now: Time,
        id: LegId,
        branch: Branch,
        from: Peer,
        status: u16,
        message: &Message,
        out: &mut Vec<Effect>,
    ) {
        let is_waited_for = self.is_dialling(id, branch);
        match status {
            100..200 if is_waited_for => self.ringing(now, id, from, status, message, out),
            // It was given up, for another place or for good: its end is not waited for any longer
            // than that of one that is silent.
            100..200 => {
                self.send_cancel(now, branch, None, out);
                self.abandon(now, branch);
            }
            200..300 => {
                let tag = message.tag_text(Name::To).unwrap_or_default();
                if self.acknowledge_again(branch, &tag, out) {
                    return;
                }
                if is_waited_for {
                    self.won(now, id, branch, from, message, out);
                } else {
                    self.lost(now, id, branch, message, out);
                }
            }
            _ if is_waited_for => self.invite_refused(now, id, branch, status, message, out),
            _ => {}
        }
    }

    fn ringing(&mut self, now: Time, id: LegId, from: Peer, status: u16, message: &Message, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Dialling(dialling), dialog, .. }) = self.legs.get_mut(&id) else { return };
        dialling.heard();
        dialog.came_by(from);
        if let Cancel::Wanted { reason } = dialling.cancel.clone() {
            self.cancel(now, id, reason, out);
            return;
        }
        if status == 100 {
            return;
        }
        let body = body::session(message).ok().flatten();
        let is_reliable = requires(message, "100rel");
        // RFC 2543 phones ring without a tag, which makes no dialog.
        if let Some(tag) = message.tag(Name::To) {
            if dialling.early(&tag).is_none() && dialling.early.len() < MOST_BRANCHES {
                let far = Far::answered(message, &dialog.far.target);
                dialling.early.push(Early { far, rseq: None, body: None, pracks: 0 });
            }
            let Some(early) = dialling.early_mut(&tag) else { return };
            early.far.refresh(message);
            if is_reliable {
                // RFC 3262 4: in their order; what came before was acknowledged.
                let Some(rseq) = message.first(Name::RSeq).and_then(|value| scan::number::<u32>(&value)) else {
                    return;
                };
                if early.rseq.is_some_and(|last| last.checked_add(1) != Some(rseq)) || early.pracks >= MOST_PRACKS {
                    return;
                }
                early.rseq = Some(rseq);
                early.pracks += 1;
                if early.body.is_none() {
                    early.body.clone_from(&body);
                }
                self.send_prack(now, id, rseq, &tag, out);
            }
        }
        let (headers, peer) = (shown(message), from.remote.ip());
        self.tell(id, Event::Ringing { status, body, headers, peer }, out);
    }

    /// RFC 3262 4. It holds nothing: the offer was in the INVITE.
    fn send_prack(&mut self, now: Time, id: LegId, rseq: u32, tag: &[u8], out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Dialling(dialling), dialog, .. }) = self.legs.get_mut(&id) else { return };
        let Some(early) = dialling.early(tag) else { return };
        dialog.local_cseq += 1;
        let number = dialog.local_cseq;
        let (mut writer, branch) = dialog.write(&early.far, &Method::Prack, number, &self.settings, &mut self.chance);
        writer.parts("RAck", &[&rseq.to_string(), " ", &dialling.cseq.to_string(), " INVITE"]);
        writer.header("User-Agent", &self.settings.product);
        let peer = dialog.next_hop_to(&early.far);
        self.ask(now, peer, branch, Method::Prack, Purpose::Prack(id), writer, out);
    }

    /// The first 200: this one is the call.
    fn won(&mut self, now: Time, id: LegId, branch: Branch, from: Peer, message: &Message, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Stage::Dialling(dialling) = &mut leg.stage else { return };
        let mut far = Far::answered(message, &leg.dialog.far.target);
        let mut body = body::session(message).ok().flatten();
        if let Some(early) = dialling.early_mut(far.tag.as_bytes()) {
            far.cseq = early.far.cseq;
            if message.count(Name::Contact) == 0 {
                far.target.clone_from(&early.far.target);
            }
            // What it said reliably before is what counts (3261 13.2.1).
            body = early.body.take().or(body);
        }
        let (is_unwanted, cseq) = (dialling.cancel != Cancel::No, dialling.cseq);
        leg.dialog.far = far;
        leg.dialog.came_by(from);
        leg.options.learn(message);
        // What was offered by the other branches is moot.
        let moot = leg.reoffer.take_if(|reoffer| reoffer.tag != leg.dialog.far.tag);
        leg.stage = Stage::Up;
        if let Some(reoffer) = moot {
            self.refuse(now, reoffer.transaction, 487, "", &[], out);
        }
        self.acknowledge(id, branch, cseq, out);
        if is_unwanted {
            // 9.1: it was answered before it was cancelled.
            self.send_bye(now, id, Some("cancelled".to_owned()), out);
            return;
        }
        self.begin_session_timer(now, id, message);
        let (headers, peer) = (shown(message), from.remote.ip());
        self.tell(id, Event::Answered { body, headers, peer }, out);
    }

    /// The ACK of a 200: its own transaction, without one. Kept for when the 200 comes again.
    pub(super) fn acknowledge(&mut self, id: LegId, of: Branch, cseq: u32, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let dialog = &leg.dialog;
        let (mut writer, _) = dialog.write(&dialog.far, &Method::Ack, cseq, &self.settings, &mut self.chance);
        // 22.3: what the INVITE was accepted with.
        self.copy_credentials(of, &mut writer);
        let (peer, tag) = (dialog.next_hop(), dialog.far.tag.clone());
        let Ok(bytes) = writer.empty() else { return };
        self.put_ack(of, Ack { tag, peer, bytes }, out);
    }

    fn put_ack(&mut self, of: Branch, ack: Ack, out: &mut Vec<Effect>) {
        out.push(Effect::Send { peer: ack.peer, bytes: ack.bytes.clone() });
        if let Some(asking) = self.clients.get_mut(&of) {
            asking.acks.push(ack);
        }
    }

    /// 13.2.2.4: the same 200 again is acknowledged again. True when it is.
    pub(super) fn acknowledge_again(&self, branch: Branch, tag: &str, out: &mut Vec<Effect>) -> bool {
        let asking = self.clients.get(&branch);
        let ack = asking.and_then(|asking| asking.acks.iter().find(|ack| ack.tag == tag));
        if let Some(ack) = ack {
            out.push(Effect::Send { peer: ack.peer, bytes: ack.bytes.clone() });
        }
        ack.is_some()
    }

    /// ACK and BYE to a 200 that nobody waits for any more.
    fn lost(&mut self, now: Time, id: LegId, branch: Branch, message: &Message, out: &mut Vec<Effect>) {
        let (Some(from), Some(to)) = (message.from(), message.to()) else { return };
        let (Some(call_id), Some((cseq, _))) = (message.call_id(), message.cseq()) else { return };
        let Some(asking) = self.clients.get(&branch).filter(|asking| asking.acks.len() < MOST_BRANCHES) else {
            return;
        };
        let peer = asking.peer;
        let local = format!("<{}>", from.uri);
        let mut dialog = Dialog::dialling(&local, to.uri.as_str(), Vec::new(), peer, &mut self.chance);
        dialog.call_id = call_id;
        dialog.local_tag = from.tag().unwrap_or_default();
        // Beyond every number that the leg has used in this dialog.
        dialog.local_cseq = cseq + MOST_PRACKS * MOST_BRANCHES as u32;
        dialog.far = Far::answered(message, to.uri.as_str());
        let (ack, _) = dialog.write(&dialog.far, &Method::Ack, cseq, &self.settings, &mut self.chance);
        let peer = dialog.next_hop();
        let Ok(bytes) = ack.empty() else { return };
        self.put_ack(branch, Ack { tag: dialog.far.tag.clone(), peer, bytes }, out);
        let (bye, bye_branch) = dialog.request(&Method::Bye, &self.settings, &mut self.chance);
        self.ask(now, peer, bye_branch, Method::Bye, Purpose::Lost(id), bye, out);
    }

    /// A final answer that is none of 2xx.
    fn invite_refused(
        &mut self,
        now: Time,
        id: LegId,
        branch: Branch,
        status: u16,
        message: &Message,
        out: &mut Vec<Effect>,
    ) {
        let Some(Leg { stage: Stage::Dialling(dialling), .. }) = self.legs.get(&id) else { return };
        if dialling.cancel != Cancel::No {
            self.end(now, id, status, &message.reason(), status != 487, out);
            return;
        }
        let Some(request) = self.asked(branch) else { return };
        let is_tried_again = match status {
            // RFC 4028 7.3: at least so long.
            422 => match self.longer_session(&request, message) {
                Some(set) => self.dial_again(now, id, &request, &set, out),
                None => false,
            },
            // RFC 3263 4.3
            503 => self.try_next(now, id, request.bytes(), out),
            _ => false,
        };
        if !is_tried_again {
            self.end(now, id, status, &message.reason(), true, out);
        }
    }
}
