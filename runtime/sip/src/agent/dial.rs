//! A call of ours, until it is answered: the places it may go to, in their order, and its end
//! (RFC 3261 9.1, 13.2; RFC 3263 4.3).

use std::collections::VecDeque;

use bytes::Bytes;

use super::Agent;
use super::asking::{Asking, Purpose};
use super::border::{Dial, Effect, LegId, No, Peer};
use super::chance::Branch;
use super::commands::{add_headers, unwritable};
use super::dialog::{Dialog, contact};
use super::extensions::{ALLOW, Options, SUPPORTED};
use super::fork::Early;
use super::leg::{Leg, Stage};
use super::reason::add_reason;
use super::replaces::Replaces;
use super::rewrite::{Change, again};
use crate::address::Address;
use crate::header::Name;
use crate::message::{Limits, Message, Method};
use crate::transaction::{GIVE_UP, Time};
use crate::uri::{Scheme, Uri};
use crate::write::Writer;

#[derive(Debug)]
pub(crate) struct Dialling {
    pub(super) branch: Branch,
    /// The INVITE's own number: its ACK and CANCEL have it.
    pub(super) cseq: u32,
    /// Where it may go yet.
    rest: VecDeque<Peer>,
    /// When the next of them has its turn, though nothing was heard.
    next_at: Option<Time>,
    /// When nobody has answered.
    give_up: Time,
    pub(super) cancel: Cancel,
    /// By the tags of those that ring, in the order in which they came.
    pub(super) early: Vec<Early>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// As soon as a provisional answer allows it (9.1).
    Wanted {
        reason: Option<String>,
    },
    Sent,
}

/// More than the largest set of SRV records in use.
const MOST_PEERS: usize = 16;

impl Dialling {
    pub(crate) fn deadline(&self) -> Time {
        self.next_at.map_or(self.give_up, |at| at.min(self.give_up))
    }

    pub(crate) fn early(&self, tag: &[u8]) -> Option<&Early> {
        self.early.iter().find(|early| early.far.tag.as_bytes() == tag)
    }

    pub(super) fn early_mut(&mut self, tag: &[u8]) -> Option<&mut Early> {
        self.early.iter_mut().find(|early| early.far.tag.as_bytes() == tag)
    }

    /// Somebody is there: no other place is tried by the clock alone.
    pub(super) fn heard(&mut self) {
        self.next_at = None;
    }
}

impl Agent {
    pub(super) fn dial(&mut self, now: Time, id: LegId, dial: Dial, out: &mut Vec<Effect>) -> Result<(), No> {
        if self.legs.contains_key(&id) {
            return Err(No::State("dialled already"));
        }
        if self.legs.len() >= self.settings.most_legs {
            return Err(No::State("one leg more than may be"));
        }
        let mut rest: VecDeque<_> = dial.to.into_iter().take(MOST_PEERS).collect();
        let peer = rest.pop_front().ok_or_else(|| No::Invalid("there is no place to send it to".to_owned()))?;
        let target = callable(&dial.target)?;
        let caller = Address::read(dial.caller.as_bytes()).filter(|caller| caller.params.is_empty());
        if caller.is_none_or(|caller| !is_callable(&caller.uri)) {
            return Err(No::Invalid(format!("`{}` is no caller", dial.caller)));
        }
        if dial.body.is_empty() {
            return Err(No::Invalid("there is no offer".to_owned()));
        }
        // 19.1.5: of the headers that a URI asks for, Replaces alone is harmless.
        let replaces = Replaces::of_uri(&target).map(|replaces| replaces.to_string());
        let address = target.as_str().split('?').next().unwrap_or_default();
        let mut dialog = Dialog::dialling(&dial.caller, address, dial.routes, peer, &mut self.chance);
        let (mut writer, branch) = dialog.request(&Method::Invite, &self.settings, &mut self.chance);
        writer.header("Contact", &dialog.contact(&self.settings)).header("Allow", ALLOW);
        writer.header("Supported", SUPPORTED).header("User-Agent", &self.settings.product);
        self.ask_for_session(&mut writer, None, self.settings.min_session);
        if let Some(replaces) = replaces {
            writer.header("Replaces", &replaces);
        }
        add_headers(&mut writer, &dial.headers, 0)?;
        let bytes = writer.body("application/sdp", &dial.body).map_err(unwritable)?;
        let next_at = self.next_turn(now, &rest);
        let (cseq, give_up) = (dialog.local_cseq, now + dial.timeout);
        let dialling = Dialling { branch, cseq, rest, next_at, give_up, cancel: Cancel::No, early: Vec::new() };
        let mut leg = Leg::new(dialog, Stage::Dialling(Box::new(dialling)), Options::default(), &self.settings);
        leg.credentials = dial.credentials.map(Box::new);
        leg.described = Some(Bytes::from(dial.body));
        self.add_leg(id, leg);
        self.ask_bytes(now, peer, branch, Method::Invite, Purpose::Invite(id), bytes, out);
        Ok(())
    }

    fn next_turn(&self, now: Time, rest: &VecDeque<Peer>) -> Option<Time> {
        (!rest.is_empty()).then_some(now + self.settings.next_peer_after)
    }

    pub(super) fn dialling_tick(&mut self, now: Time, id: LegId, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Dialling(dialling), .. }) = self.legs.get_mut(&id) else { return };
        if dialling.give_up <= now {
            // After the CANCEL an answer is owed for a while; then the far end is given up.
            if dialling.cancel == Cancel::Sent {
                self.end(now, id, 408, "no answer", false, out);
            } else {
                dialling.give_up = now + GIVE_UP;
                self.cancel(now, id, Some("no answer".to_owned()), out);
            }
        } else if dialling.next_at.is_some_and(|at| at <= now) {
            dialling.next_at = None;
            let branch = dialling.branch;
            let Some(asking) = self.clients.get(&branch) else { return };
            let request = asking.machine.request().clone();
            // What still comes of the old one is acknowledged, and ended.
            self.abandon(now, branch);
            self.try_next(now, id, &request, out);
        }
    }

    /// RFC 3263 4.3. False when there is no other place.
    pub(super) fn try_next(&mut self, now: Time, id: LegId, request: &Bytes, out: &mut Vec<Effect>) -> bool {
        let Ok(request) = Message::parse_datagram(request.clone(), &Limits::default()) else { return false };
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let Stage::Dialling(dialling) = &mut leg.stage else { return false };
        if dialling.cancel != Cancel::No {
            return false;
        }
        let Some(peer) = dialling.rest.pop_front() else { return false };
        leg.dialog.peer = peer;
        let contact = contact(&peer, leg.dialog.scheme, &self.settings);
        self.dial_again(now, id, &request, &[(Name::Contact, contact)], out)
    }

    /// The INVITE once more, as another request of the same call.
    pub(super) fn dial_again(
        &mut self,
        now: Time,
        id: LegId,
        request: &Message,
        set: &[(Name, String)],
        out: &mut Vec<Effect>,
    ) -> bool {
        let branch = self.chance.branch();
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let Stage::Dialling(dialling) = &mut leg.stage else { return false };
        leg.dialog.local_cseq += 1;
        let (peer, cseq) = (leg.dialog.peer, leg.dialog.local_cseq);
        let Ok(bytes) = again(request, &Change { peer: &peer, branch, cseq, set }, &self.settings) else {
            return false;
        };
        dialling.branch = branch;
        dialling.cseq = cseq;
        dialling.early.clear();
        dialling.next_at = (!dialling.rest.is_empty()).then_some(now + self.settings.next_peer_after);
        self.ask_bytes(now, peer, branch, Method::Invite, Purpose::Invite(id), bytes, out);
        true
    }

    /// Nobody answered, or nobody could be reached.
    #[expect(clippy::too_many_arguments, reason = "a transaction, and how it ended")]
    pub(super) fn invite_failed(
        &mut self,
        now: Time,
        id: LegId,
        branch: Branch,
        asking: &Asking,
        status: u16,
        reason: &str,
        out: &mut Vec<Effect>,
    ) {
        if self.is_dialling(id, branch) && !self.try_next(now, id, asking.machine.request(), out) {
            self.end(now, id, status, reason, false, out);
        }
    }

    /// Whether the leg waits for this very INVITE.
    pub(super) fn is_dialling(&self, id: LegId, branch: Branch) -> bool {
        let stage = self.legs.get(&id).map(|leg| &leg.stage);
        matches!(stage, Some(Stage::Dialling(dialling)) if dialling.branch == branch)
    }

    /// 9.1
    pub(super) fn cancel(&mut self, now: Time, id: LegId, reason: Option<String>, out: &mut Vec<Effect>) {
        let Some(Leg { stage: Stage::Dialling(dialling), .. }) = self.legs.get_mut(&id) else { return };
        if dialling.cancel == Cancel::Sent {
            return;
        }
        let Some(asking) = self.clients.get(&dialling.branch) else { return };
        if !asking.machine.is_proceeding() {
            dialling.cancel = Cancel::Wanted { reason };
            return;
        }
        dialling.cancel = Cancel::Sent;
        // The 487 is owed within 64*T1; after that there is nobody.
        dialling.give_up = now + GIVE_UP;
        let branch = dialling.branch;
        self.send_cancel(now, branch, reason.as_deref(), out);
    }

    /// Of an INVITE that a provisional answer came to. Once.
    pub(super) fn send_cancel(&mut self, now: Time, branch: Branch, reason: Option<&str>, out: &mut Vec<Effect>) {
        let of_cancel = branch.of_cancel();
        if self.clients.contains_key(&of_cancel) {
            return;
        }
        let (Some(invite), Some(asking)) = (self.asked(branch), self.clients.get(&branch)) else { return };
        let peer = asking.peer;
        let mut writer = Writer::request(&Method::Cancel, &String::from_utf8_lossy(invite.request_uri()));
        let number = invite.cseq().map(|(number, _)| number).unwrap_or_default();
        writer.copy_first(Name::Via, &invite).header("Max-Forwards", "70").copy_all(Name::From, &invite);
        writer.copy_all(Name::To, &invite).copy_all(Name::CallId, &invite).copy_all(Name::Route, &invite);
        writer.parts("CSeq", &[&number.to_string(), " CANCEL"]);
        add_reason(&mut writer, &Method::Cancel, reason);
        self.ask(now, peer, of_cancel, Method::Cancel, Purpose::Nothing, writer, out);
    }
}

fn callable(uri: &str) -> Result<Uri, No> {
    let read = Uri::read(uri.as_bytes()).map_err(|error| No::Invalid(error.to_string()))?;
    if is_callable(&read) { Ok(read) } else { Err(No::Invalid(format!("`{uri}` is no sip: or tel: URI"))) }
}

fn is_callable(uri: &Uri) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel)
}
