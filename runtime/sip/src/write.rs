//! New messages. One buffer, and nothing in it that could end a line early.

use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use thiserror::Error;

use crate::header::Name;
use crate::message::{Message, Method};
use crate::scan;
use crate::uri::Host;
use crate::via::Via;

/// Why something cannot be put on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name} cannot be written: {why}")]
pub struct Unwritable {
    name: String,
    why: &'static str,
}

#[derive(Debug)]
pub struct Writer {
    buffer: Vec<u8>,
    wrong: Option<Unwritable>,
}

impl Writer {
    pub fn request(method: &Method, uri: &str) -> Self {
        let mut writer = Self { buffer: Vec::with_capacity(1_024), wrong: None };
        writer.check("the Request-URI", uri, |byte| byte > b' ' && byte != 0x7f);
        writer.put(&[method.as_str(), " ", uri, " SIP/2.0\r\n"]);
        writer
    }

    /// A Via of ours, which asks to be answered to where it came from (RFC 3581).
    pub(crate) fn via(&mut self, transport: &str, at: SocketAddr, branch: impl std::fmt::Display) -> &mut Self {
        // Writing to a Vec does not fail.
        let _ = write!(self.buffer, "Via: SIP/2.0/{transport} {at};rport;branch={branch}\r\n");
        self
    }

    /// Nothing at all, which cannot be written.
    pub(crate) fn blank() -> Self {
        let wrong = Unwritable { name: "a response".to_owned(), why: "it is no request" };
        Self { buffer: Vec::new(), wrong: Some(wrong) }
    }

    /// An answer to what came from `source`: the request's Vias, From, To, Call-ID and CSeq (RFC
    /// 3261 8.2.6.2), the top Via with `received` and `rport` (18.2.1, RFC 3581), the To with our
    /// tag where it has none.
    pub fn response_to(request: &Message, source: SocketAddr, status: u16, reason: &str, tag: Option<&str>) -> Self {
        Self::answer(request, request.top_via().as_ref(), source, status, reason, tag, None)
    }

    /// With the top Via read already, and with what is said of our load (RFC 7339) to those that
    /// want to hear it.
    pub(crate) fn answer(
        request: &Message,
        via: Option<&Via>,
        source: SocketAddr,
        status: u16,
        reason: &str,
        tag: Option<&str>,
        oc: Option<&str>,
    ) -> Self {
        let mut writer = Self { buffer: Vec::with_capacity(1_024), wrong: None };
        let reason = if reason.is_empty() { phrase(status) } else { reason };
        // A phrase that a line could not hold gives way to the usual one.
        let reason = if reason.bytes().all(is_text) { reason } else { phrase(status) };
        writer.put(&["SIP/2.0 ", &status.to_string(), " ", reason, "\r\n"]);
        let mut is_top = true;
        for (name, _, value) in request.headers() {
            match name {
                Name::Via if is_top => {
                    is_top = false;
                    writer.top_via(&value, via, source, oc);
                }
                Name::Via | Name::From | Name::CallId | Name::CSeq => writer.copy(name.long(), &value),
                Name::To => {
                    let has_tag = crate::address::tag(&value).is_some();
                    match tag {
                        Some(tag) if !has_tag => writer.copy_with(name.long(), &value, &[";tag=", tag]),
                        _ => writer.copy(name.long(), &value),
                    }
                }
                _ => {}
            }
        }
        writer
    }

    /// A header with a value of ours.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.check(name, name, scan::is_token_byte);
        self.check(name, value, is_text);
        self.put(&[name, ": ", value, "\r\n"]);
        self
    }

    /// As [`Self::header`], of a value in parts.
    pub(crate) fn parts(&mut self, name: &str, parts: &[&str]) -> &mut Self {
        self.check(name, name, scan::is_token_byte);
        self.put(&[name, ": "]);
        for part in parts {
            self.check(name, part, is_text);
            self.put(&[part]);
        }
        self.put(&["\r\n"]);
        self
    }

    /// Every value of a header of another message, in order.
    pub fn copy_all(&mut self, name: Name, from: &Message) -> &mut Self {
        for value in from.values(name) {
            self.copy(name.long(), &value);
        }
        self
    }

    /// The first Via alone, for ACK and CANCEL (RFC 3261 17.1.1.3, 9.1).
    pub fn copy_first(&mut self, name: Name, from: &Message) -> &mut Self {
        if let Some(value) = from.first(name) {
            self.copy(name.long(), &value);
        }
        self
    }

    pub fn body(mut self, content_type: &str, body: &[u8]) -> Result<Bytes, Unwritable> {
        self.header("Content-Type", content_type);
        self.end(body)
    }

    pub fn empty(mut self) -> Result<Bytes, Unwritable> {
        self.end(b"")
    }

    fn end(&mut self, body: &[u8]) -> Result<Bytes, Unwritable> {
        self.put(&["Content-Length: ", &body.len().to_string(), "\r\n\r\n"]);
        self.buffer.extend_from_slice(body);
        match self.wrong.take() {
            Some(wrong) => Err(wrong),
            None => Ok(Bytes::from(std::mem::take(&mut self.buffer))),
        }
    }

    fn top_via(&mut self, value: &[u8], via: Option<&Via>, source: SocketAddr, oc: Option<&str>) {
        let end = scan::find(value, |byte| byte == b',').unwrap_or(value.len());
        let Some(via) = via else {
            self.copy("Via", value);
            return;
        };
        let is_elsewhere = via.host != Host::Address(source.ip());
        let oc = oc.filter(|_| via.params.has("oc"));
        if !is_elsewhere && !via.wants_rport() && oc.is_none() {
            self.copy("Via", value);
            return;
        }
        // Writing to a Vec does not fail.
        let _ = write!(self.buffer, "Via: SIP/2.0/{} {}", via.transport, via.host);
        if let Some(port) = via.port {
            let _ = write!(self.buffer, ":{port}");
        }
        for (name, value) in via.params.iter() {
            match value {
                _ if name.eq_ignore_ascii_case("rport") || name.eq_ignore_ascii_case("received") => {}
                _ if oc.is_some() && is_of_overload(name) => {}
                Some(value) => self.put(&[";", name, "=", value]),
                None => self.put(&[";", name]),
            }
        }
        let _ = write!(self.buffer, ";received={}", source.ip());
        if via.wants_rport() {
            let _ = write!(self.buffer, ";rport={}", source.port());
        }
        self.put(&[oc.unwrap_or_default()]);
        self.put_line(&value[end..]);
        self.put(&["\r\n"]);
    }

    /// What was read once can be written again: it has no line ends in it.
    pub(crate) fn copy(&mut self, name: &str, value: &[u8]) {
        self.copy_with(name, value, &[]);
    }

    fn copy_with(&mut self, name: &str, value: &[u8], more: &[&str]) {
        self.put(&[name, ": "]);
        self.put_line(value);
        self.put(more);
        self.put(&["\r\n"]);
    }

    fn put_line(&mut self, value: &[u8]) {
        self.buffer.extend(value.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.buffer.extend_from_slice(part.as_bytes());
        }
    }

    fn check(&mut self, name: &str, value: &str, is_good: impl Fn(u8) -> bool) {
        if self.wrong.is_none() && !value.bytes().all(is_good) {
            let why = "it holds characters that have no place there";
            self.wrong = Some(Unwritable { name: name.chars().take(64).collect(), why });
        }
    }
}

/// RFC 7339 4: ours take the place of the client's.
fn is_of_overload(name: &str) -> bool {
    ["oc", "oc-algo", "oc-validity", "oc-seq"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Anything but control characters. Tabs are white space.
fn is_text(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// RFC 3261 21, and a few later ones.
#[expect(clippy::match_overlapping_arm, reason = "what is not named has the name of its class")]
pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        100..=199 => "Progress",
        200..=299 => "Success",
        300..=399 => "Redirect",
        400..=499 => "Request Failure",
        500..=599 => "Server Failure",
        _ => "Global Failure",
    }
}
