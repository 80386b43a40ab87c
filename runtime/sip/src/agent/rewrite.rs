//! A request of ours once more, with something changed: to another place, with credentials, with
//! a longer session.

use bytes::Bytes;

use super::border::{Peer, Settings};
use super::chance::Branch;
use crate::header::Name;
use crate::message::Message;
use crate::write::{Unwritable, Writer};

/// What is different this time. Headers that are set take the place of those of their name.
pub(super) struct Change<'c> {
    pub(super) peer: &'c Peer,
    pub(super) branch: Branch,
    pub(super) cseq: u32,
    pub(super) set: &'c [(Name, String)],
}

pub(super) fn again(request: &Message, change: &Change<'_>, settings: &Settings) -> Result<Bytes, Unwritable> {
    let Some(method) = request.method() else { return Writer::blank().empty() };
    let mut writer = Writer::request(method, &String::from_utf8_lossy(request.request_uri()));
    writer.via(change.peer.transport.name(), change.peer.advertised(settings), change.branch);
    for (name, label, value) in request.headers() {
        let is_set = change.set.iter().any(|(set, _)| *set == name);
        match name {
            Name::Via | Name::ContentLength | Name::ContentType => {}
            Name::CSeq => {
                writer.parts("CSeq", &[&change.cseq.to_string(), " ", method.as_str()]);
            }
            _ if is_set => {}
            _ => writer.copy(label, &value),
        }
    }
    for (name, value) in change.set {
        writer.header(name.long(), value);
    }
    match request.text(Name::ContentType) {
        Some(kind) if !request.body().is_empty() => writer.body(&kind, request.body()),
        _ => writer.empty(),
    }
}
