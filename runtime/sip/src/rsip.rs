//! To and from the types of the `rsip` crate, for code that is written on them.
//!
//! Nothing that matters is lost on the way: what the other side cannot say is an error. Two things
//! are not kept: how a header was folded or abbreviated, and the reason phrase of a status that
//! `rsip` has a name for.

use std::net::IpAddr;

use ::rsip::headers::header;
use ::rsip::{Header, Param, Request, Response, SipMessage, StatusCode, Version};
use bytes::Bytes;
use thiserror::Error;

use crate::header::Name;
use crate::message::{Limits, Message, Method, ParseError, StartLine};
use crate::scan;
use crate::uri::{Host, Scheme, Uri};
use crate::write::phrase;

/// Why a message has no counterpart on the other side.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unconvertible {
    #[error("the version is `{0}`, and only SIP/2.0 is converted")]
    Version(String),
    #[error("rsip knows no method `{0}`")]
    Method(String),
    #[error("the Request-URI `{uri}` cannot be converted: {why}")]
    Uri { uri: String, why: String },
    #[error("the header {name} cannot be converted: {why}")]
    Header { name: String, why: String },
    #[error("the reason phrase cannot be converted: it holds control characters")]
    Reason,
    /// What came of a message of `rsip` is not SIP.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl TryFrom<&Message> for SipMessage {
    type Error = Unconvertible;

    fn try_from(message: &Message) -> Result<Self, Unconvertible> {
        if message.version() != b"SIP/2.0" {
            return Err(Unconvertible::Version(scan::text(message.version())));
        }
        let headers = message
            .headers()
            .map(|(name, label, value)| their_header(name, label, &value))
            .collect::<Result<Vec<_>, _>>()?;
        let (version, headers, body) = (Version::V2, headers.into(), message.body().to_vec());
        Ok(match message.start() {
            StartLine::Request { method, .. } => {
                let uri = their_uri(message.request_uri())?;
                Request { method: their_method(method)?, uri, version, headers, body }.into()
            }
            StartLine::Response { status, .. } => {
                let status_code = match StatusCode::from(*status) {
                    StatusCode::Other(code, _) => StatusCode::Other(code, message.reason().into_owned()),
                    named => named,
                };
                Response { status_code, version, headers, body }.into()
            }
        })
    }
}

impl TryFrom<&SipMessage> for Message {
    type Error = Unconvertible;

    /// A Content-Length is added where there is none. One that is there is taken at its word, as
    /// in a datagram.
    fn try_from(message: &SipMessage) -> Result<Self, Unconvertible> {
        let (start, version, headers) = match message {
            SipMessage::Request(request) => {
                let start = format!("{} {} SIP/2.0\r\n", request.method, our_uri(&request.uri)?);
                (start, &request.version, &request.headers)
            }
            SipMessage::Response(response) => {
                let reason = match &response.status_code {
                    StatusCode::Other(_, reason) if has_controls(reason) => return Err(Unconvertible::Reason),
                    StatusCode::Other(_, reason) => reason,
                    named => phrase(named.code()),
                };
                let start = format!("SIP/2.0 {} {reason}\r\n", response.status_code.code());
                (start, &response.version, &response.headers)
            }
        };
        if *version != Version::V2 {
            return Err(Unconvertible::Version(version.to_string()));
        }
        let mut text = start;
        let mut has_length = false;
        for header in headers.iter() {
            let (name, line) = our_header(header)?;
            has_length |= name == Name::ContentLength;
            text.push_str(&line);
            text.push_str("\r\n");
        }
        if !has_length {
            text.push_str(&format!("Content-Length: {}\r\n", message.body().len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(message.body());
        Self::parse_datagram(Bytes::from(bytes), &Limits::default()).map_err(|broken| broken.error.into())
    }
}

/// `rsip` reads methods without their case, which RFC 3261 7.1 has them keep.
fn their_method(method: &Method) -> Result<::rsip::Method, Unconvertible> {
    let read = method.as_str().parse::<::rsip::Method>().ok();
    read.filter(|read| read.to_string() == method.as_str())
        .ok_or_else(|| Unconvertible::Method(method.as_str().to_owned()))
}

/// Put together from its parts: the parser of `rsip` takes a user with a dot in it for a host, and
/// ends an IPv6 address at its first colon.
fn their_uri(given: &[u8]) -> Result<::rsip::Uri, Unconvertible> {
    let wrong = |why: String| Unconvertible::Uri { uri: scan::text(given), why };
    let uri = Uri::read(given).map_err(|error| wrong(error.to_string()))?;
    let scheme = match uri.scheme {
        Scheme::Sip => ::rsip::Scheme::Sip,
        Scheme::Sips => ::rsip::Scheme::Sips,
        Scheme::Tel | Scheme::Other(_) => return Err(wrong("rsip writes `//` after its scheme".to_owned())),
    };
    if uri.headers.is_some() {
        return Err(wrong("rsip keeps no headers in a URI".to_owned()));
    }
    let host = match &uri.host {
        Some(Host::Address(IpAddr::V4(address))) => ::rsip::Host::IpAddr(IpAddr::V4(*address)),
        // `rsip` writes an IPv6 address without the brackets it needs, and a domain as it is.
        Some(host) => ::rsip::Host::Domain(host.to_string().into()),
        None => return Err(wrong("it has no host".to_owned())),
    };
    let params = uri.params.iter().map(Param::try_from).collect::<Result<Vec<_>, _>>();
    let theirs = ::rsip::Uri {
        scheme: Some(scheme),
        auth: uri.user.as_deref().map(|user| (user, uri.password.as_deref()).into()),
        host_with_port: ::rsip::HostWithPort { host, port: uri.port.map(Into::into) },
        params: params.map_err(|error| wrong(error.to_string()))?,
        headers: Vec::new(),
    };
    match Uri::read(theirs.to_string().as_bytes()) {
        Ok(written) if written == uri => Ok(theirs),
        _ => Err(wrong(format!("rsip would write it as `{theirs}`"))),
    }
}

fn our_uri(uri: &::rsip::Uri) -> Result<String, Unconvertible> {
    let mut uri = uri.clone();
    if let ::rsip::Host::IpAddr(IpAddr::V6(address)) = uri.host_with_port.host {
        uri.host_with_port.host = ::rsip::Host::Domain(format!("[{address}]").into());
    }
    let text = uri.to_string();
    match Uri::read(text.as_bytes()) {
        Ok(_) => Ok(text),
        Err(error) => Err(Unconvertible::Uri { uri: text, why: error.to_string() }),
    }
}

/// Under its long name: `rsip` knows no compact ones.
fn their_header(name: Name, label: &str, value: &[u8]) -> Result<Header, Unconvertible> {
    let name = if name == Name::Other { label } else { name.long() };
    let wrong = |why: String| Unconvertible::Header { name: name.to_owned(), why };
    let value = std::str::from_utf8(value).map_err(|error| wrong(error.to_string()))?;
    header::Tokenizer::from((name.as_bytes(), value.as_bytes()))
        .try_into()
        .map_err(|error: ::rsip::Error| wrong(error.to_string()))
}

/// One line, which is one header and no more.
fn our_header(header: &Header) -> Result<(Name, String), Unconvertible> {
    let line = header.to_string();
    let name = match header {
        Header::Other(name, _) => name.as_str(),
        _ => line.split(':').next().unwrap_or_default(),
    };
    let wrong = |why: &str| Unconvertible::Header { name: name.escape_debug().to_string(), why: why.to_owned() };
    if !scan::is_token(name.as_bytes()) {
        return Err(wrong("its name is no token"));
    }
    if has_controls(&line) {
        return Err(wrong("it holds control characters"));
    }
    Ok((Name::read(name.as_bytes()), line))
}

/// Tabs are white space.
fn has_controls(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

#[cfg(test)]
mod tests {
    use ::rsip::prelude::*;
    use proptest::prelude::*;

    use super::*;
    use crate::write::Writer;

    fn ours(bytes: &[u8]) -> Message {
        Message::parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default()).unwrap()
    }

    /// All that a conversion keeps.
    #[derive(Debug, PartialEq)]
    struct Kept {
        start: Result<(Method, Uri), u16>,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    }

    fn kept(message: &Message) -> Kept {
        let start = match message.start() {
            StartLine::Request { method, .. } => Ok((method.clone(), Uri::read(message.request_uri()).unwrap())),
            StartLine::Response { status, .. } => Err(*status),
        };
        let headers = message.headers().map(|(name, label, value)| {
            let name = if name == Name::Other { label } else { name.long() };
            (name.to_owned(), value.into_owned())
        });
        Kept { start, headers: headers.collect(), body: message.body().to_vec() }
    }

    #[test]
    fn there_and_back_is_the_same() {
        for text in [
            "INVITE sips:first.last:word@[2001:db8::1]:5061;transport=tcp;lr;x=1 SIP/2.0\r\nv: SIP/2.0/TLS a;branch=z9hG4bK1\r\n\
             f: \"J\u{f6}rg\" <sip:a@a>;tag=1\r\ni: abc\r\nSubject: one\r\n two\r\nX-Odd~Name: \r\nCSeq: 1 INVITE\r\nl: 4\r\n\r\n\x01\x02\r\nbeyond",
            "PRACK sip:127.0.0.1 SIP/2.0\r\nContent-Length: 0\r\n\r\n",
            "SIP/2.0 404 Nobody here\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n",
            "SIP/2.0 299 Somewhat fine\r\nContent-Length: 0\r\n\r\n",
        ] {
            let message = ours(text.as_bytes());
            let back = Message::try_from(&SipMessage::try_from(&message).unwrap()).unwrap();
            assert_eq!(kept(&back), kept(&message));
        }
        let unnamed = SipMessage::try_from(&ours(b"SIP/2.0 299 Somewhat fine\r\n\r\n")).unwrap();
        let back = Message::try_from(&unnamed).unwrap();
        assert_eq!(back.reason(), "Somewhat fine");
        assert_eq!(back.text(Name::ContentLength).as_deref(), Some("0"), "added where there was none");
    }

    #[test]
    fn the_user_and_the_host_are_what_they_were() {
        let message = ours(b"OPTIONS sip:first.last@[::1]:5070 SIP/2.0\r\n\r\n");
        let SipMessage::Request(request) = SipMessage::try_from(&message).unwrap() else { panic!("it is a request") };
        assert_eq!(request.uri.user(), Some("first.last"));
        assert_eq!(request.uri.to_string(), "sip:first.last@[::1]:5070");
        let mut other = request;
        other.uri.host_with_port.host = ::rsip::Host::IpAddr("2001:db8::1".parse().unwrap());
        let back = Message::try_from(&SipMessage::Request(other)).unwrap();
        assert_eq!(back.request_uri(), b"sip:first.last@[2001:db8::1]:5070");
    }

    #[test]
    fn what_rsip_cannot_say_is_refused() {
        for (text, words) in [
            (&b"invite sip:a SIP/2.0\r\n\r\n"[..], "no method `invite`"),
            (b"NEWMETHOD sip:a SIP/2.0\r\n\r\n", "no method `NEWMETHOD`"),
            (b"INVITE tel:+49301 SIP/2.0\r\n\r\n", "`tel:+49301` cannot be converted"),
            (b"INVITE sip:a?Subject=x SIP/2.0\r\n\r\n", "no headers in a URI"),
            (b"INVITE sip:a;transport=pigeon SIP/2.0\r\n\r\n", "`sip:a;transport=pigeon` cannot be converted"),
            (b"INVITE sip:a SIP/2.7\r\n\r\n", "version is `SIP/2.7`"),
            (b"INVITE sip:a SIP/2.0\r\nSubject: \xff\r\n\r\n", "header Subject cannot be converted"),
        ] {
            let error = SipMessage::try_from(&ours(text)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn nothing_slips_in_from_rsip() {
        type Change<'c> = &'c dyn Fn(&mut Request);
        let with = |change: Change<'_>| {
            let mut request = Request::try_from("INVITE sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\nbody").unwrap();
            change(&mut request);
            Message::try_from(&SipMessage::Request(request)).map_err(|error| error.to_string())
        };
        assert_eq!(with(&|_| ()).unwrap().body(), b"body");
        let other = |name: &str, value: &str| Header::Other(name.to_owned(), value.to_owned());
        let changes: [(Change<'_>, &str); 7] = [
            (&|request| request.headers.push(other("X", "a\r\nEvil: b")), "header X cannot be converted"),
            (&|request| request.headers.push(other("X: a\nEvil", "b")), "no token"),
            (&|request| request.headers.push(other("Via: a", "b")), "no token"),
            (&|request| request.headers.push(other("l", "9")), "Content-Length says 9"),
            (&|request| request.version = Version::V1, "SIP/1.0"),
            (&|request| request.uri.scheme = None, "Request-URI"),
            (&|request| request.uri.auth = Some(("a b\r\n", None::<&str>).into()), "Request-URI"),
        ];
        for (change, words) in changes {
            let error = with(change).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
        for (code, reason) in [(299, "a\r\nEvil: b"), (99, "Low"), (1_000, "High")] {
            let status_code = StatusCode::Other(code, reason.to_owned());
            let response = Response { status_code, ..Response::default() };
            assert!(Message::try_from(&SipMessage::Response(response)).is_err(), "{code}");
        }
    }

    // What `Writer` makes, read by the parser of `rsip`.

    fn method() -> impl Strategy<Value = Method> {
        use Method::*;
        prop::sample::select(vec![
            Invite, Ack, Cancel, Bye, Options, Register, Info, Update, Prack, Subscribe, Notify, Refer, Message,
            Publish,
        ])
    }

    /// Of the kinds that the parser of `rsip` has: no IPv6 address, no `tel:`, no headers, no dot before a
    /// password.
    fn uri() -> impl Strategy<Value = String> {
        "sips?:(([a-zA-Z0-9+._%-]{1,12}|[a-zA-Z0-9+_%-]{1,12}:[a-z0-9]{1,8})@)?([a-z][a-z0-9.-]{0,20}|127\\.0\\.0\\.[1-9])(:[1-9][0-9]{0,3})?(;lr|;transport=tcp|;x=y){0,2}"
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof!["[ -~]{0,60}", "\\PC{0,20}"]
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 1..100),
            Just(b"\r\n\r\nSIP/2.0 200 OK\r\n\r\n".to_vec())
        ]
    }

    prop_compose! {
        /// A request, and what it says: its method, Call-ID and CSeq.
        fn request()(
            method in method(), uri in uri(), call_id in "[!-~]{1,40}", number in 0u32..1 << 31,
            extra in proptest::collection::vec(("X-[a-zA-Z0-9.!%*_+`'~-]{1,10}", value()), 0..5),
            has_tag in any::<bool>(), has_rport in any::<bool>(), body in body(),
        ) -> (Bytes, Method, String, u32) {
            let mut writer = Writer::request(&method, &uri);
            let rport = if has_rport { ";rport" } else { "" };
            let vias = format!("SIP/2.0/UDP host.example:5062{rport};branch=z9hG4bKa, SIP/2.0/TCP 10.0.0.1");
            writer.header("Via", &vias);
            writer.header("From", "\"A, B\" <sip:a@a>;tag=1");
            writer.header("To", if has_tag { "<sip:b@b>;tag=2" } else { "sip:b@b" });
            writer.header("Call-ID", &call_id).header("CSeq", &format!("{number} {method}"));
            for (name, value) in &extra {
                writer.header(name, value);
            }
            let bytes = if body.is_empty() { writer.empty() } else { writer.body("application/sdp", &body) };
            (bytes.unwrap(), method, call_id, number)
        }
    }

    /// Both parsers say the same of these bytes.
    fn agree(bytes: &Bytes) -> Result<(Message, SipMessage), TestCaseError> {
        let (ours, theirs) = (ours(bytes), SipMessage::try_from(bytes.clone()));
        let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{error}: {ours:?}")))?;
        match &theirs {
            SipMessage::Request(request) => {
                prop_assert_eq!(Some(request.method.to_string()), ours.method().map(Method::to_string));
            }
            SipMessage::Response(response) => prop_assert_eq!(Some(response.status_code.code()), ours.status()),
        }
        prop_assert_eq!(Some(theirs.call_id_header().unwrap().value().to_owned()), ours.call_id());
        let cseq = theirs.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!(
            Some((cseq.seq, cseq.method.to_string())),
            ours.cseq().map(|(number, method)| (number, method.to_string()))
        );
        prop_assert_eq!(theirs.headers().iter().count(), ours.headers().count());
        prop_assert_eq!(theirs.body(), ours.body());
        Ok((ours, theirs))
    }

    proptest! {
        #[test]
        fn rsip_reads_the_requests_we_write((bytes, method, call_id, number) in request()) {
            let (message, _) = agree(&bytes)?;
            prop_assert_eq!(message.method(), Some(&method));
            prop_assert_eq!(message.call_id(), Some(call_id));
            prop_assert_eq!(message.cseq(), Some((number, method)));
        }

        #[test]
        fn rsip_reads_the_responses_we_write(
            (bytes, method, call_id, number) in request(),
            status in 100u16..700, reason in value(), tag in proptest::option::of("[a-z0-9]{1,10}"),
            source in any::<std::net::SocketAddr>(), body in body(),
        ) {
            let request = ours(&bytes);
            let writer = Writer::response_to(&request, source, status, &reason, tag.as_deref());
            let bytes = if body.is_empty() { writer.empty() } else { writer.body("text/plain", &body) };
            let (message, _) = agree(&bytes.unwrap())?;
            prop_assert_eq!(message.status(), Some(status));
            prop_assert_eq!(message.call_id(), Some(call_id));
            prop_assert_eq!(message.cseq(), Some((number, method)));
        }

        #[test]
        fn what_we_write_goes_there_and_back((bytes, ..) in request()) {
            let message = ours(&bytes);
            let back = Message::try_from(&SipMessage::try_from(&message).unwrap()).unwrap();
            prop_assert_eq!(kept(&back), kept(&message));
        }
    }
}
