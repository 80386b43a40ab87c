//! RFC 4475, and what real phones send.

#![cfg(test)]

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{Limits, Message, Name, Uri};

/// What the message layer would answer: a status, `PROCESS`, `ACCEPT` or `DROP`.
fn verdict(bytes: &[u8]) -> String {
    match Message::parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default()) {
        Err(broken) => match broken.head {
            Some(head) if head.is_request() && head.top_via().is_some() => "400".to_owned(),
            _ => "DROP".to_owned(),
        },
        Ok(message) => match message.validate() {
            Ok(()) if message.is_request() => "PROCESS".to_owned(),
            Ok(()) => "ACCEPT".to_owned(),
            Err(invalid) => invalid.status.map_or("DROP".to_owned(), |status| status.to_string()),
        },
    }
}

pub(crate) fn messages() -> Vec<(String, Vec<u8>, Vec<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rfc4475");
    let index = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    index
        .lines()
        .skip(1)
        .map(|row| {
            let cells: Vec<_> = row.split('\t').collect();
            let allowed = std::iter::once(cells[7]).chain(cells[8].split('|')).filter(|cell| !cell.is_empty());
            (cells[0].to_owned(), std::fs::read(folder.join(cells[0])).unwrap(), allowed.map(str::to_owned).collect())
        })
        .collect()
}

/// Answers that are decided above the message layer: methods, extensions, body types, routing.
const ABOVE: &[&str] = &["401", "403", "404", "405", "406", "415", "420", "483", "501"];

#[test]
fn all_fifty_are_judged_as_the_rfc_says() {
    let mut wrong = Vec::new();
    for (file, bytes, allowed) in messages() {
        let verdict = verdict(&bytes);
        let is_left_to_others = verdict == "PROCESS" && allowed.iter().any(|answer| ABOVE.contains(&answer.as_str()));
        let is_stray = verdict == "ACCEPT" && file == "bcast.sip";
        if !(allowed.contains(&verdict) || is_left_to_others || is_stray) {
            wrong.push(format!("{file}: {verdict}, allowed {allowed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_broke_other_parsers_is_read() {
    let parse = |text: &[u8]| Message::parse_datagram(Bytes::copy_from_slice(text), &Limits::default()).unwrap();
    let compact = parse(
        b"INVITE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\nf: <sip:a@a>;tag=1\r\nt: <sip:b@b>\r\n\
          i: abc\r\nCSeq: 1 INVITE\r\nm: <sip:a@a>;q=.5, <sip:c@c>\r\nSubject: one\r\n two\r\n\tthree\r\nl: 4\r\n\r\n\x01\xff\x80\x0aextra",
    );
    assert_eq!(compact.validate(), Ok(()));
    assert_eq!(compact.call_id().as_deref(), Some("abc"));
    assert_eq!(compact.contacts().len(), 2);
    assert_eq!(compact.text(Name::Subject).as_deref(), Some("one two three"));
    assert_eq!(compact.body(), b"\x01\xff\x80\x0a", "binary, and cut at its length");

    let latin = parse(
        b"NEWMETHOD tel:+4930123 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::1]:5070;received=[2001:db8::2];branch=z9hG4bK1\r\n\
          From: \"J\xf6rg\" <sip:a@[2001:db8::1]:5070>;tag=1\r\nTo: <tel:+4930123>\r\nCall-ID: x\r\nCSeq: 1 NEWMETHOD\r\n\r\nbody",
    );
    assert_eq!(latin.validate(), Ok(()));
    assert_eq!(latin.body(), b"body", "no Content-Length: to the end of the datagram");
    assert_eq!(Uri::read(latin.request_uri()).unwrap().user.as_deref(), Some("+4930123"));
    assert!(latin.from().unwrap().display.unwrap().starts_with('J'));

    let websocket = parse(
        b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WSS kq4gj1.invalid;branch=z9hG4bK56\r\nFrom: <sip:a@example.com>;tag=1\r\n\
          To: <sip:a@example.com>\r\nCall-ID: x\r\nCSeq: 8 REGISTER\r\n\
          Contact: <sip:u7@kq4gj1.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:1>\";expires=600\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(websocket.contacts()[0].params.get("expires").as_deref(), Some("600"));
}

#[test]
fn each_header_broken_says_which() {
    let good = "INVITE sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@a>;tag=1\r\n\
                To: <sip:b@b>\r\nCall-ID: abc\r\nCSeq: 1 INVITE\r\nContact: <sip:a@a>\r\nContent-Length: 0\r\n\r\n";
    let check = |text: &str| {
        Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
            .map_err(|broken| broken.error.to_string())
            .and_then(|message| {
                message.validate().map_err(|invalid| format!("{:?} {}", invalid.status, invalid.reason))
            })
    };
    assert_eq!(check(good), Ok(()));
    for (from, to, words) in [
        ("INVITE sip:b@b SIP/2.0", "INVITE sip:b@b", "start line"),
        ("INVITE sip:b@b", "INVITE http:b@b", "Some(416)"),
        ("INVITE sip:b@b", "INVITE sip:b@b:0", "Some(400) Request-URI"),
        ("SIP/2.0/UDP a;", "SIP/2.0/UDP;", "None Via"),
        ("Max-Forwards: 70", "Max-Forwards: many", "Some(400) Max-Forwards"),
        ("From: <sip:a@a>", "From: <sip:a@a", "Some(400) From"),
        ("To: <sip:b@b>", "To: ", "Some(400) To"),
        ("Call-ID: abc", "Call-ID: a b", "Some(400) Call-ID"),
        ("Call-ID: abc\r\n", "", "Some(400) Call-ID is missing"),
        ("Call-ID: abc\r\n", "Call-ID: abc\r\ni: abd\r\n", "Some(400) Call-ID is there more than once"),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE", "Some(400) CSeq"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", "Some(400) CSeq says BYE"),
        ("Contact: <sip:a@a>", "Contact: <sip:a@", "Some(400) Contact"),
        ("Contact:", "Contact", "line 8"),
        ("Content-Length: 0", "Content-Length: 9", "Content-Length says 9"),
        ("Content-Length: 0", "Content-Length: -1", "Content-Length is `-1`"),
    ] {
        assert!(good.contains(from), "{from}");
        let said = check(&good.replacen(from, to, 1)).unwrap_err();
        assert!(said.contains(words), "{to}: {said}");
    }
}

#[test]
fn limits_are_named() {
    let head = "OPTIONS sip:b SIP/2.0\r\n";
    let parse =
        |text: String| Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap_err().error.to_string();
    assert!(
        parse(format!("{head}{}\r\n", "Via: SIP/2.0/UDP a\r\n".repeat(101)))
            .contains("Via headers: 101, more than 100")
    );
    assert!(parse(format!("{head}{}\r\n", "X: a\r\n".repeat(257))).contains("header lines: 257"));
    assert!(parse(format!("{head}{}\r\n", "X: a\r\n".repeat(20_000))).contains("the message: "));
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        verdict(&bytes);
    }

    #[test]
    fn no_change_to_a_torture_message_breaks_it(
        which in 0usize..50,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_, mut bytes, _) = messages().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let keep = cut.index(bytes.len() * 4);
        bytes.truncate(keep.max(1));
        verdict(&bytes);
    }
}
