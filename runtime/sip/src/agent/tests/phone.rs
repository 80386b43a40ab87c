//! A far end by hand: it writes what it likes.

use super::net::{CALLEE, CALLER, Net};
use crate::message::Message;
use crate::{Name, write::Writer};

/// A request of a phone at 192.0.2.1, towards the callee.
pub(super) fn request(method: &str, branch: &str, to_tag: &str, cseq: u32, more: &str) -> String {
    let colon = if to_tag.is_empty() { "" } else { ";tag=" };
    format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\nMax-Forwards: 70\n\
         From: <sip:a@192.0.2.1>;tag=ft\nTo: <sip:bob@192.0.2.2>{colon}{to_tag}\nCall-ID: by-hand\nCSeq: {cseq} {method}\n\
         Contact: <sip:a@192.0.2.1:5060>\n{more}"
    )
}

pub(super) fn session(body: &str) -> String {
    format!("Content-Type: application/sdp\nContent-Length: {}\n\n{body}", body.len())
}

/// The dialog's tag is in every answer but the 100.
pub(super) fn tag_of(net: &Net) -> String {
    net.agents[CALLEE].legs.values().next().unwrap().dialog.local_tag.clone()
}

/// An answer to a request of the caller's agent, by somebody with this tag.
pub(super) fn answer(net: &mut Net, to: &Message, status: u16, tag: &str, headers: &[(&str, &str)], body: &str) {
    let source = "192.0.2.1:5060".parse().unwrap();
    let mut writer = Writer::response_to(to, source, status, "", Some(tag));
    writer.header("Contact", &format!("<sip:{tag}@192.0.2.2:5060>"));
    for (name, value) in headers {
        writer.header(name, value);
    }
    let bytes = if body.is_empty() { writer.empty() } else { writer.body("application/sdp", body.as_bytes()) };
    net.deliver(CALLER, bytes.unwrap());
}

/// A request within the dialog that an INVITE of the caller's agent made, by the far end with this
/// tag.
pub(super) fn inside(net: &mut Net, invite: &Message, method: &str, tag: &str, cseq: u32, more: &str) {
    let (from, to) = (invite.from().unwrap(), invite.to().unwrap());
    let text = format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{tag}{cseq}{method};rport\n\
         Max-Forwards: 70\nFrom: <{}>;tag={tag}\nTo: <{}>;tag={}\nCall-ID: {}\nCSeq: {cseq} {method}\n\
         Contact: <sip:{tag}@192.0.2.2:5060>\n{more}",
        to.uri,
        from.uri,
        from.tag().unwrap(),
        invite.text(Name::CallId).unwrap(),
    );
    net.deliver_text(CALLER, &text);
}

/// The callee's agent has no part in it.
pub(super) fn alone() -> Net {
    let mut net = Net::calm();
    net.is_alone = true;
    net
}
