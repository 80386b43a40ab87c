//! A dialog (RFC 3261 12): what requests within it carry, and where they go.

use std::net::SocketAddr;

use super::border::{Peer, Settings, Transport};
use super::chance::{Branch, Chance};
use crate::header::Name;
use crate::message::{Message, Method};
use crate::uri::{Host, Uri};
use crate::write::Writer;

#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    /// Our From in requests, without its tag.
    pub(crate) local: String,
    /// Our To in requests, without its tag.
    pub(crate) remote: String,
    pub(crate) local_cseq: u32,
    pub(crate) far: Far,
    /// How the far end is reached.
    pub(crate) peer: Peer,
    pub(crate) scheme: Secure,
    pub(crate) began: Began,
}

/// Who called: the owner of the Call-ID (14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Began {
    Here,
    There,
}

/// The half of a dialog that the far end makes. While we dial there may be several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far {
    /// Empty while dialling, and of RFC 2543 phones.
    pub(crate) tag: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: Option<u32>,
}

/// Whether our Contact must be a `sips:` URI (8.1.1.8, 12.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secure {
    Sip,
    Sips,
}

impl Dialog {
    /// UAS (12.1.1).
    pub(crate) fn answering(invite: &Message, peer: Peer, local_tag: String) -> Option<Self> {
        let (from, to) = (invite.from()?, invite.to()?);
        let contact = invite.contacts().into_iter().next();
        let far = Far {
            // RFC 2543 phones send none.
            tag: from.tag().unwrap_or_default(),
            target: contact.map_or_else(|| from.uri.to_string(), |contact| contact.uri.to_string()),
            routes: routes(invite, Order::AsCame),
            cseq: invite.cseq().map(|(number, _)| number),
        };
        let named = far.routes.first().map_or(far.target.as_str(), |route| bare(route));
        let is_secure = is_sips(invite.request_uri()) || is_sips(named.as_bytes());
        Some(Self {
            call_id: invite.call_id()?,
            local_tag,
            local: format!("<{}>", to.uri),
            remote: format!("<{}>", from.uri),
            local_cseq: 0,
            far,
            peer,
            scheme: if is_secure { Secure::Sips } else { Secure::Sip },
            began: Began::There,
        })
    }

    /// UAC, before anything is known of the far end.
    pub(crate) fn dialling(caller: &str, target: &str, routes: Vec<String>, peer: Peer, chance: &mut Chance) -> Self {
        let first = routes.first().map_or(target, |route| bare(route));
        let is_secure = is_sips(first.as_bytes()) || is_sips(target.as_bytes());
        Self {
            call_id: chance.token() + &chance.token(),
            local_tag: chance.token(),
            local: caller.to_owned(),
            remote: format!("<{target}>"),
            local_cseq: 0,
            far: Far { target: target.to_owned(), routes, ..Far::default() },
            peer,
            scheme: if is_secure { Secure::Sips } else { Secure::Sip },
            began: Began::Here,
        }
    }

    /// 12.2: re-INVITE and UPDATE, and their answers, may move the far end.
    pub(crate) fn refresh(&mut self, message: &Message) {
        self.far.refresh(message);
    }

    /// A request within it, up to its own headers and body.
    pub(crate) fn request(&mut self, method: &Method, settings: &Settings, chance: &mut Chance) -> (Writer, Branch) {
        self.local_cseq += 1;
        self.write(&self.far, method, self.local_cseq, settings, chance)
    }

    /// To one of the far ends, with this number.
    pub(crate) fn write(
        &self,
        far: &Far,
        method: &Method,
        cseq: u32,
        settings: &Settings,
        chance: &mut Chance,
    ) -> (Writer, Branch) {
        let branch = chance.branch();
        // 12.2.1.1: a first route without `lr` routes strictly: it is the Request-URI, and the
        // target is the last route.
        let strict = far.routes.first().filter(|route| !is_loose(route));
        let mut writer = Writer::request(method, strict.map_or(far.target.as_str(), |route| bare(route)));
        writer.via(self.peer.transport.name(), self.peer.advertised(settings), branch);
        writer.header("Max-Forwards", "70").parts("From", &[&self.local, ";tag=", &self.local_tag]);
        match far.tag.as_str() {
            "" => writer.header("To", &self.remote),
            tag => writer.parts("To", &[&self.remote, ";tag=", tag]),
        };
        writer.header("Call-ID", &self.call_id).parts("CSeq", &[&cseq.to_string(), " ", method.as_str()]);
        for route in far.routes.iter().skip(usize::from(strict.is_some())) {
            writer.header("Route", route);
        }
        if strict.is_some() {
            writer.parts("Route", &["<", &far.target, ">"]);
        }
        (writer, branch)
    }

    /// The connection that an answer came by is the one for what follows.
    pub(crate) fn came_by(&mut self, from: Peer) {
        if self.peer.transport == from.transport && self.peer.remote == from.remote {
            self.peer.connection = from.connection;
        }
    }

    pub(crate) fn contact(&self, settings: &Settings) -> String {
        contact(&self.peer, self.scheme, settings)
    }

    pub(crate) fn next_hop(&self) -> Peer {
        self.next_hop_to(&self.far)
    }

    /// Where requests within it go. Never to an address that the far end merely names: only a port
    /// of the host it speaks from, or that very place.
    pub(crate) fn next_hop_to(&self, far: &Far) -> Peer {
        // A connection leads to its end, whatever is named.
        if self.peer.transport != Transport::Udp && self.peer.connection != 0 {
            return self.peer;
        }
        let named = far.routes.first().map_or(far.target.as_str(), |route| bare(route));
        let Ok(uri) = Uri::read(named.as_bytes()) else { return self.peer };
        match uri.host {
            Some(Host::Address(address)) if address == self.peer.remote.ip() => {
                let usual = if is_secured(&self.peer) { 5_061 } else { 5_060 };
                Peer { remote: SocketAddr::new(address, uri.port.unwrap_or(usual)), ..self.peer }
            }
            _ => self.peer,
        }
    }
}

impl Far {
    /// UAC (12.1.2): the answer that makes it.
    /// Where it names no Contact, it is reached as before.
    pub(crate) fn answered(response: &Message, before: &str) -> Self {
        let mut far = Self {
            tag: response.tag_text(Name::To).unwrap_or_default(),
            target: before.to_owned(),
            routes: routes(response, Order::Reversed),
            cseq: None,
        };
        far.refresh(response);
        far
    }

    pub(crate) fn refresh(&mut self, message: &Message) {
        if let Some(contact) = message.contacts().first() {
            self.target = contact.uri.to_string();
        }
    }
}

/// What we are reached under, by this peer. RFC 7118 5 has one `transport` for both kinds of
/// WebSocket.
pub(crate) fn contact(peer: &Peer, scheme: Secure, settings: &Settings) -> String {
    let at = peer.advertised(settings);
    match (scheme, peer.transport) {
        (Secure::Sips, Transport::Ws | Transport::Wss) => format!("<sips:{at};transport=ws>"),
        (Secure::Sips, _) => format!("<sips:{at}>"),
        (Secure::Sip, Transport::Udp) => format!("<sip:{at}>"),
        (Secure::Sip, Transport::Tcp) => format!("<sip:{at};transport=tcp>"),
        (Secure::Sip, Transport::Tls) => format!("<sip:{at};transport=tls>"),
        (Secure::Sip, Transport::Ws | Transport::Wss) => format!("<sip:{at};transport=ws>"),
    }
}

/// The URI of a route, without its brackets.
pub(crate) fn bare(route: &str) -> &str {
    let inside = route.split_once('<').map_or(route, |(_, inside)| inside);
    inside.split('>').next().unwrap_or(inside)
}

fn is_loose(route: &str) -> bool {
    Uri::read(bare(route).as_bytes()).is_ok_and(|uri| uri.params.has("lr"))
}

fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

fn is_secured(peer: &Peer) -> bool {
    matches!(peer.transport, Transport::Tls | Transport::Wss)
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
