//! A dialog (RFC 3261 12): what requests within it carry, and where they go.

use std::net::SocketAddr;

use super::border::{Peer, Settings, Transport};
use super::chance::Chance;
use crate::header::Name;
use crate::message::{Message, Method};
use crate::uri::{Host, Uri};
use crate::write::Writer;

#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    /// Empty while dialling.
    pub(crate) remote_tag: String,
    /// Our From in requests, without its tag.
    local: String,
    /// Our To in requests, without its tag.
    remote: String,
    target: String,
    routes: Vec<String>,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: Option<u32>,
    /// How the far end is reached.
    pub(crate) peer: Peer,
}

impl Dialog {
    /// UAS (12.1.1).
    pub(crate) fn answering(invite: &Message, peer: Peer, local_tag: String) -> Option<Self> {
        let (from, to) = (invite.from()?, invite.to()?);
        Some(Self {
            call_id: invite.call_id()?,
            local_tag,
            // RFC 2543 phones send none.
            remote_tag: from.tag().unwrap_or_default(),
            local: format!("<{}>", to.uri),
            remote: format!("<{}>", from.uri),
            target: invite.contacts().first().map_or_else(|| from.uri.to_string(), |contact| contact.uri.to_string()),
            routes: routes(invite, Order::AsCame),
            local_cseq: 0,
            remote_cseq: invite.cseq().map(|(number, _)| number),
            peer,
        })
    }

    /// UAC, before anything is known of the far end.
    pub(crate) fn dialling(caller: &str, target: &str, peer: Peer, chance: &mut Chance) -> Self {
        Self {
            call_id: chance.token() + &chance.token(),
            local_tag: chance.token(),
            remote_tag: String::new(),
            local: format!("<{caller}>"),
            remote: format!("<{target}>"),
            target: target.to_owned(),
            routes: Vec::new(),
            local_cseq: 0,
            remote_cseq: None,
            peer,
        }
    }

    /// UAC (12.1.2): the answer that makes it whole.
    pub(crate) fn established(&mut self, response: &Message) {
        self.remote_tag = response.to().and_then(|to| to.tag()).unwrap_or_default();
        self.routes = routes(response, Order::Reversed);
        self.refresh(response);
    }

    /// 12.2: re-INVITE and UPDATE, and their answers, may move the far end.
    pub(crate) fn refresh(&mut self, message: &Message) {
        if let Some(contact) = message.contacts().first() {
            self.target = contact.uri.to_string();
        }
    }

    /// A request within it, up to its own headers and body. Gives its branch.
    pub(crate) fn request(&mut self, method: &Method, settings: &Settings, chance: &mut Chance) -> (Writer, String) {
        // An ACK has the number of its INVITE (13.2.2.4); others have the next.
        if *method != Method::Ack {
            self.local_cseq += 1;
        }
        self.request_with(method, self.local_cseq, settings, chance)
    }

    pub(crate) fn request_with(
        &self,
        method: &Method,
        cseq: u32,
        settings: &Settings,
        chance: &mut Chance,
    ) -> (Writer, String) {
        let branch = chance.branch();
        // 12.2.1.1: a first route without `lr` routes strictly: it is the Request-URI, and the
        // target is the last route.
        let strict = self.routes.first().filter(|route| !is_loose(route));
        let writer_target = strict.map_or(self.target.as_str(), |route| bare(route));
        let mut writer = Writer::request(method, writer_target);
        let via = self.peer.advertised(settings);
        let remote_tag = if self.remote_tag.is_empty() { String::new() } else { format!(";tag={}", self.remote_tag) };
        writer
            .header("Via", &format!("SIP/2.0/{} {via};rport;branch={branch}", self.peer.transport.name()))
            .header("Max-Forwards", "70")
            .header("From", &format!("{};tag={}", self.local, self.local_tag))
            .header("To", &format!("{}{remote_tag}", self.remote))
            .header("Call-ID", &self.call_id)
            .header("CSeq", &format!("{cseq} {method}"));
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            writer.header("Route", route);
        }
        if strict.is_some() {
            writer.header("Route", &format!("<{}>", self.target));
        }
        (writer, branch)
    }

    /// Where requests within it go. Never to an address that the far end merely names: only a port
    /// of the host it speaks from, or that very place.
    pub(crate) fn next_hop(&self) -> Peer {
        let named = self
            .routes
            .first()
            .map(|route| route.trim_matches(|edge| edge == '<' || edge == '>'))
            .unwrap_or(&self.target);
        let uri = Uri::read(named.split('>').next().unwrap_or(named).as_bytes()).ok();
        let port = uri.and_then(|uri| match uri.host {
            Some(Host::Address(address)) if address == self.peer.remote.ip() => Some(uri.port.unwrap_or(5_060)),
            _ => None,
        });
        match (self.peer.transport, port) {
            (Transport::Udp, Some(port)) => Peer { remote: SocketAddr::new(self.peer.remote.ip(), port), ..self.peer },
            _ => self.peer,
        }
    }
}

/// The URI of a route, without its brackets.
fn bare(route: &str) -> &str {
    let inside = route.split_once('<').map_or(route, |(_, inside)| inside);
    inside.split('>').next().unwrap_or(inside)
}

fn is_loose(route: &str) -> bool {
    Uri::read(bare(route).as_bytes()).is_ok_and(|uri| uri.params.has("lr"))
}

enum Order {
    AsCame,
    Reversed,
}

fn routes(message: &Message, order: Order) -> Vec<String> {
    let mut routes = message.list(Name::RecordRoute);
    if matches!(order, Order::Reversed) {
        routes.reverse();
    }
    routes
}
