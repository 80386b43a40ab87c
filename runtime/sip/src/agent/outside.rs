//! Requests of the driver's own outside of calls: REGISTER to a trunk, OPTIONS to see whether it
//! is there. Several places in turn, and answers to challenges.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Agent;
use super::asking::{Asking, Purpose};
use super::border::{Credentials, Effect, Peer, RequestId};
use super::chance::Branch;
use super::dialog::{Secure, contact};
use super::rewrite::{Change, again};
use crate::header::Name;
use crate::message::{Limits, Message, Method};
use crate::transaction::Time;
use crate::write::{Unwritable, Writer};

#[derive(Debug)]
pub(super) struct Own {
    pub(super) credentials: Option<Credentials>,
    rest: VecDeque<Peer>,
    branch: Branch,
    cseq: u32,
}

impl Own {
    /// It goes out once more, under another branch. Gives its number.
    pub(super) fn moved(&mut self, from: Branch, to: Branch) -> Option<u32> {
        if self.branch != from {
            return None;
        }
        self.branch = to;
        self.cseq += 1;
        Some(self.cseq)
    }
}

/// At once. As many trunks may be registered and looked after.
const MOST_OWN: usize = 10_000;
const MOST_PEERS: usize = 16;

impl Agent {
    /// Sends a request outside of dialogs, which makes none, to the first of `to` that can be reached; the end of it
    /// is an [`Effect::Response`]. `headers` may hold From (with its tag), To, Call-ID, CSeq (the
    /// number alone) and Contact, which are made otherwise; a body needs its Content-Type there.
    /// A later request that answers to the same Call-ID must count on from the CSeq that the
    /// answer shows: each challenge that was answered took a number.
    #[expect(clippy::too_many_arguments, reason = "all that a request is made of")]
    pub fn request(
        &mut self,
        now: Time,
        id: RequestId,
        to: Vec<Peer>,
        method: Method,
        target: &str,
        routes: &[String],
        headers: &[(String, String)],
        body: &[u8],
        credentials: Option<Credentials>,
        out: &mut Vec<Effect>,
    ) {
        if matches!(method, Method::Invite | Method::Ack | Method::Cancel) {
            out.push(Effect::Response { request: id, result: Err(405) });
            return;
        }
        let mut rest: VecDeque<_> = to.into_iter().take(MOST_PEERS).collect();
        let (Some(peer), false) = (rest.pop_front(), self.own.len() >= MOST_OWN || self.own.contains_key(&id)) else {
            out.push(Effect::Response { request: id, result: Err(503) });
            return;
        };
        let branch = self.chance.branch();
        let cseq = given(headers, Name::CSeq).and_then(|number| number.trim().parse().ok()).unwrap_or(1);
        let Ok(bytes) = self.write_own(&peer, branch, &method, cseq, target, routes, headers, body) else {
            out.push(Effect::Response { request: id, result: Err(400) });
            return;
        };
        self.own.insert(id, Own { credentials, rest, branch, cseq });
        self.ask_bytes(now, peer, branch, method, Purpose::Own(id), bytes, out);
    }

    #[expect(clippy::too_many_arguments, reason = "all that a request is made of")]
    fn write_own(
        &mut self,
        peer: &Peer,
        branch: Branch,
        method: &Method,
        cseq: u32,
        target: &str,
        routes: &[String],
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Bytes, Unwritable> {
        let mut writer = Writer::request(method, target);
        writer.via(peer.transport.name(), peer.advertised(&self.settings), branch);
        writer.header("Max-Forwards", "70");
        match given(headers, Name::From) {
            Some(from) => writer.header("From", from),
            None => {
                let at = peer.advertised(&self.settings);
                let tag = self.chance.token();
                writer.parts("From", &["<sip:", &at.to_string(), ">;tag=", &tag])
            }
        };
        match given(headers, Name::To) {
            Some(to) => writer.header("To", to),
            None => writer.parts("To", &["<", target, ">"]),
        };
        match given(headers, Name::CallId) {
            Some(call_id) => writer.header("Call-ID", call_id),
            None => writer.header("Call-ID", &(self.chance.token() + &self.chance.token())),
        };
        writer.parts("CSeq", &[&cseq.to_string(), " ", method.as_str()]);
        for route in routes {
            writer.header("Route", route);
        }
        if given(headers, Name::Contact).is_none() {
            writer.header("Contact", &contact(peer, Secure::Sip, &self.settings));
        }
        writer.header("User-Agent", &self.settings.product);
        let mut kind = None;
        for (name, value) in headers {
            match Name::read(name.as_bytes()) {
                Name::From | Name::To | Name::CallId | Name::CSeq => {}
                Name::ContentType => kind = Some(value.as_str()),
                _ => {
                    writer.header(name, value);
                }
            }
        }
        match kind {
            Some(kind) => writer.body(kind, body),
            None => writer.empty(),
        }
    }

    pub(super) fn own_answered(
        &mut self,
        now: Time,
        id: RequestId,
        branch: Branch,
        status: u16,
        message: &Message,
        out: &mut Vec<Effect>,
    ) {
        let is_it = self.own.get(&id).is_some_and(|own| own.branch == branch);
        if status < 200 || !is_it {
            return;
        }
        if status == 503
            && let Some(request) = self.asked(branch)
            && self.own_next(now, id, &request, out)
        {
            return;
        }
        self.own.remove(&id);
        out.push(Effect::Response { request: id, result: Ok(message.clone()) });
    }

    pub(super) fn own_failed(
        &mut self,
        now: Time,
        id: RequestId,
        branch: Branch,
        asking: &Asking,
        status: u16,
        out: &mut Vec<Effect>,
    ) {
        if self.own.get(&id).is_none_or(|own| own.branch != branch) {
            return;
        }
        let request = Message::parse_datagram(asking.machine.request().clone(), &Limits::default());
        if request.is_ok_and(|request| self.own_next(now, id, &request, out)) {
            return;
        }
        self.own.remove(&id);
        out.push(Effect::Response { request: id, result: Err(status) });
    }

    /// RFC 3263 4.3. False when there is no other place.
    fn own_next(&mut self, now: Time, id: RequestId, request: &Message, out: &mut Vec<Effect>) -> bool {
        let branch = self.chance.branch();
        let Some(own) = self.own.get_mut(&id) else { return false };
        let (Some(peer), Some(method)) = (own.rest.pop_front(), request.method().cloned()) else { return false };
        own.cseq += 1;
        own.branch = branch;
        let change = Change { peer: &peer, branch, cseq: own.cseq, set: &[] };
        let Ok(bytes) = again(request, &change, &self.settings) else { return false };
        self.ask_bytes(now, peer, branch, method, Purpose::Own(id), bytes, out);
        true
    }

    pub(super) fn close_own(&mut self, out: &mut Vec<Effect>) {
        for (request, _) in std::mem::take(&mut self.own) {
            out.push(Effect::Response { request, result: Err(503) });
        }
    }
}

fn given(headers: &[(String, String)], wanted: Name) -> Option<&str> {
    headers.iter().find(|(name, _)| Name::read(name.as_bytes()) == wanted).map(|(_, value)| value.as_str())
}
