//! What is fuzzed: six functions over bytes, each of which panics when something is wrong. They are
//! replayed over their corpus by `tests/tests/corpus.rs`, and driven by coverage in `tests/fuzz`,
//! which reads this file: it names nothing but the crates that it is about.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use callbox_sdp::{Description, Direction, Session};
use callbox_sip::{
    Address, Agent, Answered, Chance, Decision, Door, Effect, Framed, Framer, Invite, Limits, Message, Method, Name,
    Params, Peer, Refusal, Settings, Transport, Uri, Via, digest, unescape,
};

/// By name, as their corpora are called.
pub const TARGETS: [(&str, Target); 6] = [
    ("message", message),
    ("uri", uri),
    ("headers", headers),
    ("sdp", sdp),
    ("digest", digest::fuzz),
    ("stream", stream),
];

pub type Target = fn(&[u8]);

/// A datagram, read, judged and answered by a user agent that has never heard of the sender. What
/// was read reads the same from its own bytes.
pub fn message(bytes: &[u8]) {
    let read = Message::parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default());
    if let Ok(message) = &read {
        look_at(message);
        let again = Message::parse_datagram(message.bytes().clone(), &Limits::default());
        let again = again.expect("what was read once is read again");
        assert_eq!(again.body(), message.body());
        assert_eq!(again.start(), message.start());
    }
    receive(read);
}

/// A URI. What was read once is the same when it is read again.
pub fn uri(bytes: &[u8]) {
    let Ok(uri) = Uri::read(bytes) else { return };
    let again = Uri::read(uri.as_str().as_bytes()).expect("a URI that was read is one");
    assert_eq!(again, uri);
    let _ = (uri.plain_user(), uri.transport());
    let _ = uri.headers.as_deref().map(unescape);
}

/// The first byte says which header; the rest is its value, by itself and within a request.
pub fn headers(bytes: &[u8]) {
    let Some((selector, value)) = bytes.split_first() else { return };
    let _ = (Address::read(value), Via::read(value), Method::read(value), Name::read(value));
    if let Some(params) = Params::read(value) {
        assert_eq!(params.is_empty(), params.iter().next().is_none());
    }
    let (method, name) = HEADERS[usize::from(*selector) % HEADERS.len()];
    let mut text = format!(
        "{method} sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;rport;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:a@127.0.0.2>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: abc\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:a@127.0.0.2>\r\nContent-Length: 0\r\n{name}: "
    )
    .into_bytes();
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n\r\n");
    let read = Message::parse_datagram(text.into(), &Limits::default());
    if let Ok(message) = &read {
        look_at(message);
    }
    receive(read);
}

/// A session description, and what is answered to it: the answer can be read too.
pub fn sdp(bytes: &[u8]) {
    let local: SocketAddr = ([127, 0, 0, 1], 20_000).into();
    let Ok(offer) = Description::read(bytes) else { return };
    for direction in [Direction::SendRecv, Direction::Inactive] {
        let mut session = Session::new(7);
        if let Ok(written) = session.answer(&offer, local, direction) {
            Description::read(&written.body).expect("our own answer can be read");
        }
    }
    let mut session = Session::new(7);
    let _ = session.offer(local, Direction::SendRecv);
    let _ = session.accept(&offer, Direction::SendRecv);
}

/// A stream, whole and cut in pieces of the length that its first byte says: the same comes out.
pub fn stream(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let whole = framed(bytes, bytes.len().max(1));
    assert_eq!(framed(bytes, usize::from(*length).max(1)), whole, "cut elsewhere, it is something else");
}

/// What comes out, as words.
fn framed(bytes: &[u8], length: usize) -> Vec<String> {
    let (mut framer, mut seen) = (Framer::default(), Vec::new());
    for piece in bytes.chunks(length) {
        framer.push(piece);
        loop {
            match framer.next(&Limits::default()) {
                Ok(Some(Framed::Message(message))) => seen.push(format!("{message:?}")),
                // How many keep-alives are seen depends on where they are cut.
                Ok(Some(Framed::Ping)) => {}
                Ok(None) => break,
                Err(error) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        }
    }
    seen
}

/// Everything that is read only when it is asked for.
fn look_at(message: &Message) {
    let _ = (message.validate(), message.version(), message.request_uri(), message.reason());
    let _ = (message.top_via(), message.from(), message.to(), message.call_id(), message.cseq());
    let _ = (message.contacts(), message.max_forwards(), message.content_type());
    for (name, _, _) in message.headers() {
        let _ = (message.addresses(name), message.list(name), message.text(name));
    }
}

/// To an agent of its own. After all its timers it must have forgotten it.
fn receive(read: Result<Message, callbox_sip::Broken>) {
    let mut agent = Agent::new(Settings::default(), Chance::new([7; 16]));
    let (local, remote) = (([127, 0, 0, 1], 5_060).into(), ([127, 0, 0, 2], 5_060).into());
    let peer = Peer { transport: Transport::Udp, local, remote, connection: 0 };
    let mut out: Vec<Effect> = Vec::new();
    agent.receive(Duration::ZERO, peer, read, &mut Nobody, &mut out);
    for _ in 0..64 {
        let Some(due) = agent.next_deadline() else { break };
        agent.tick(due, &mut out);
    }
    assert_eq!(agent.counts(), (0, 0, 0), "something is kept of a message");
}

/// Lets nobody in.
struct Nobody;

impl Door for Nobody {
    fn invite(&mut self, _now: Duration, _invite: &Invite) -> Decision {
        Err(Refusal { status: 404, reason: "Not Found".to_owned(), retry_after_s: None, headers: Vec::new() })
    }

    fn register(&mut self, _now: Duration, _peer: &Peer, _request: &Message) -> Answered {
        Answered { status: 403, reason: "Forbidden".to_owned(), headers: Vec::new() }
    }
}

/// Those with a grammar of their own, in a request where they matter.
const HEADERS: [(&str, &str); 26] = [
    ("INVITE", "Via"),
    ("INVITE", "Contact"),
    ("INVITE", "Record-Route"),
    ("INVITE", "Route"),
    ("INVITE", "Require"),
    ("INVITE", "Supported"),
    ("INVITE", "Session-Expires"),
    ("INVITE", "Min-SE"),
    ("INVITE", "Replaces"),
    ("INVITE", "Referred-By"),
    ("INVITE", "P-Asserted-Identity"),
    ("INVITE", "Privacy"),
    ("INVITE", "History-Info"),
    ("INVITE", "Diversion"),
    ("INVITE", "Content-Type"),
    ("INVITE", "Date"),
    ("PRACK", "RAck"),
    ("REFER", "Refer-To"),
    ("REFER", "Refer-Sub"),
    ("NOTIFY", "Event"),
    ("NOTIFY", "Subscription-State"),
    ("BYE", "Reason"),
    ("REGISTER", "Authorization"),
    ("REGISTER", "Path"),
    ("REGISTER", "Expires"),
    ("OPTIONS", "Accept"),
];
