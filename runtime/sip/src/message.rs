//! A message as it came: bytes, and where its parts are. Headers are typed when asked for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::address::Address;
use crate::header::Name;
use crate::scan;
use crate::via::Via;

/// One request or response. Cheap to clone: the bytes are shared.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    start: StartLine,
    headers: Arc<[Line]>,
    body: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    Request { method: Method, uri: Range<usize> },
    Response { status: u16, reason: Range<usize> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Invite,
    Ack,
    Cancel,
    Bye,
    Options,
    Register,
    Info,
    Update,
    Prack,
    Subscribe,
    Notify,
    Refer,
    Message,
    Publish,
    /// Methods are compared with case.
    Other(Box<str>),
}

#[derive(Clone, Debug)]
struct Line {
    name: Name,
    label: Range<usize>,
    value: Range<usize>,
}

/// Held before anything is allocated for what they bound.
#[derive(Clone, Debug)]
pub struct Limits {
    /// One datagram, and one message of a stream. UDP carries no more.
    pub message_bytes: usize,
    /// Start line and headers. Real ones stay below 8 KiB.
    pub head_bytes: usize,
    /// Real ones stay below 8 KiB, multipart ones included.
    pub body_bytes: usize,
    /// Header lines. Real ones stay below 60.
    pub headers: usize,
    /// RFC 3261 16.3 stops at 70 hops.
    pub vias: usize,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    #[error("{what}: {found}, more than {most}")]
    TooLarge { what: &'static str, found: usize, most: usize },
    #[error("the start line is neither a request nor a response: `{0}`")]
    StartLine(String),
    #[error("the head does not end with an empty line")]
    NoEnd,
    #[error("line {line} of the head is no header: `{text}`")]
    Header { line: usize, text: String },
    #[error("Content-Length is `{0}`, which is no length")]
    ContentLength(String),
    #[error("Content-Length says {said}, and {found} bytes follow")]
    BodyShort { said: usize, found: usize },
}

/// Bytes that are no whole message. With `head`, enough was read to answer 400.
#[derive(Clone, Debug, Error)]
#[error("{error}")]
pub struct Broken {
    pub error: ParseError,
    pub head: Option<Box<Message>>,
}

impl From<ParseError> for Broken {
    fn from(error: ParseError) -> Self {
        Self { error, head: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 65_536, head_bytes: 16_384, body_bytes: 65_536, headers: 256, vias: 100 }
    }
}

impl Message {
    /// A whole datagram. Without a Content-Length the body goes to its end; with one, what is
    /// beyond it is cut off (RFC 3261 18.3).
    pub fn parse_datagram(bytes: Bytes, limits: &Limits) -> Result<Self, Broken> {
        at_most("the message", bytes.len(), limits.message_bytes)?;
        let skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let bytes = bytes.slice(skipped..);
        let head = head_end(&bytes).ok_or(ParseError::NoEnd)?;
        let mut message = Self::parse_head(bytes, head, limits)?;
        match message.body_length(limits) {
            Ok(length) => {
                message.body = head..head + length;
                Ok(message)
            }
            Err(error) => Err(Broken { error, head: Some(Box::new(message)) }),
        }
    }

    /// Of a datagram whose body still stands behind the head.
    fn body_length(&self, limits: &Limits) -> Result<usize, ParseError> {
        let there = self.bytes.len() - self.body.start;
        let length = match self.content_length()? {
            Some(said) if said > there => return Err(ParseError::BodyShort { said, found: there }),
            Some(said) => said,
            None => there,
        };
        at_most("the body", length, limits.body_bytes)?;
        Ok(length)
    }

    /// Start line and headers: `head` bytes of `bytes`, the empty line included.
    pub(crate) fn parse_head(bytes: Bytes, head: usize, limits: &Limits) -> Result<Self, ParseError> {
        let text = &bytes[..head];
        let first = line_end(text, 0);
        let start = start_line(text, content(text, 0, first))?;
        let mut headers: Vec<Line> = Vec::with_capacity(24);
        let (mut at, mut vias, mut number) = (first, 0, 1);
        while at < head {
            let end = line_end(text, at);
            let span = content(text, at, end);
            number += 1;
            if span.is_empty() {
                break;
            }
            if matches!(text[at], b' ' | b'\t') {
                // RFC 3261 7.3.1: a line that begins with white space goes on with the one before.
                let Some(last) = headers.last_mut() else {
                    return Err(ParseError::Header { line: number, text: shown(&text[span]) });
                };
                last.value.end = span.end;
                at = end;
                continue;
            }
            let wrong = || ParseError::Header { line: number, text: shown(&text[span.clone()]) };
            let colon = span.start + memchr::memchr(b':', &text[span.clone()]).ok_or_else(wrong)?;
            let label = span.start..span.start + text[span.start..colon].trim_ascii_end().len();
            if !scan::is_token(&text[label.clone()]) {
                return Err(wrong());
            }
            let name = Name::read(&text[label.clone()]);
            vias += usize::from(name == Name::Via);
            at_most("header lines", headers.len() + 1, limits.headers)?;
            at_most("Via headers", vias, limits.vias)?;
            headers.push(Line { name, label, value: colon + 1..span.end });
            at = end;
        }
        let body = head..head;
        Ok(Self { bytes, start, headers: headers.into(), body })
    }

    /// Gives its memory back. What is left of it says nothing.
    pub(crate) fn forget(&mut self) {
        self.bytes = Bytes::new();
        self.start = StartLine::Response { status: 0, reason: 0..0 };
        self.headers = Arc::default();
        self.body = 0..0;
    }

    pub(crate) fn set_body(&mut self, body: Range<usize>) {
        self.body = body;
    }

    // The start line.

    pub fn start(&self) -> &StartLine {
        &self.start
    }

    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        }
    }

    pub fn reason(&self) -> Cow<'_, str> {
        match &self.start {
            StartLine::Response { reason, .. } => String::from_utf8_lossy(&self.bytes[reason.clone()]),
            StartLine::Request { .. } => Cow::Borrowed(""),
        }
    }

    /// `SIP/2.0` in everything that can be spoken with.
    pub fn version(&self) -> &[u8] {
        match &self.start {
            StartLine::Request { uri, .. } => {
                let line_end = line_end(&self.bytes, uri.end);
                self.bytes[uri.end..line_end]
                    .trim_ascii_start()
                    .strip_suffix(b"\n")
                    .map_or(&b""[..], |line| line.strip_suffix(b"\r").unwrap_or(line))
            }
            StartLine::Response { .. } => b"SIP/2.0",
        }
    }

    /// As it came.
    pub fn request_uri(&self) -> &[u8] {
        match &self.start {
            StartLine::Request { uri, .. } => &self.bytes[uri.clone()],
            StartLine::Response { .. } => b"",
        }
    }

    // Headers.

    /// Values of a header, line by line, unfolded and trimmed.
    pub fn values(&self, name: Name) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.headers.iter().filter(move |line| line.name == name).map(|line| self.value(line))
    }

    pub fn first(&self, name: Name) -> Option<Cow<'_, [u8]>> {
        self.values(name).next()
    }

    /// The first value as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self, name: Name) -> Option<String> {
        self.first(name).map(|value| scan::text(&value))
    }

    /// Values of a comma-separated header, over all its lines.
    pub fn list(&self, name: Name) -> Vec<String> {
        self.values(name).flat_map(|value| scan::list(&value).map(scan::text).collect::<Vec<_>>()).collect()
    }

    /// Every header in order: its name as it came, and its value.
    pub fn headers(&self) -> impl Iterator<Item = (Name, &str, Cow<'_, [u8]>)> {
        self.headers.iter().map(|line| {
            let label = std::str::from_utf8(&self.bytes[line.label.clone()]).unwrap_or_default();
            (line.name, label, self.value(line))
        })
    }

    pub fn count(&self, name: Name) -> usize {
        self.headers.iter().filter(|line| line.name == name).count()
    }

    fn value(&self, line: &Line) -> Cow<'_, [u8]> {
        let raw = self.bytes[line.value.clone()].trim_ascii();
        if memchr::memchr2(b'\r', b'\n', raw).is_none() {
            return Cow::Borrowed(raw);
        }
        // A fold reads as one space.
        let mut unfolded = Vec::with_capacity(raw.len());
        for part in raw.split(|byte| matches!(byte, b'\r' | b'\n')) {
            let part = part.trim_ascii();
            if !part.is_empty() {
                if !unfolded.is_empty() {
                    unfolded.push(b' ');
                }
                unfolded.extend_from_slice(part);
            }
        }
        Cow::Owned(unfolded)
    }

    pub fn top_via(&self) -> Option<Via> {
        let value = self.first(Name::Via)?;
        Via::read(scan::list(&value).next()?)
    }

    pub fn from(&self) -> Option<Address> {
        self.address(Name::From)
    }

    pub fn to(&self) -> Option<Address> {
        self.address(Name::To)
    }

    /// The tag of From or To, without reading the rest of it.
    pub(crate) fn tag(&self, name: Name) -> Option<Cow<'_, [u8]>> {
        match self.first(name)? {
            Cow::Borrowed(value) => crate::address::tag(value).map(Cow::Borrowed),
            Cow::Owned(value) => crate::address::tag(&value).map(|tag| Cow::Owned(tag.to_vec())),
        }
    }

    pub(crate) fn tag_text(&self, name: Name) -> Option<String> {
        self.tag(name).map(|tag| scan::text(&tag))
    }

    pub fn call_id(&self) -> Option<String> {
        self.text(Name::CallId).filter(|id| !id.is_empty())
    }

    pub fn cseq(&self) -> Option<(u32, Method)> {
        let value = self.first(Name::CSeq)?;
        let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let number = scan::number::<u32>(words.next()?).filter(|number| *number < 1 << 31)?;
        let method = Method::read(words.next()?)?;
        words.next().is_none().then_some((number, method))
    }

    pub fn contacts(&self) -> Vec<Address> {
        self.addresses(Name::Contact)
    }

    /// Values of Contact, Route, Record-Route. What is no address is left out.
    pub fn addresses(&self, name: Name) -> Vec<Address> {
        self.values(name).flat_map(|value| scan::list(&value).filter_map(Address::read).collect::<Vec<_>>()).collect()
    }

    fn address(&self, name: Name) -> Option<Address> {
        Address::read(&self.first(name)?)
    }

    pub fn max_forwards(&self) -> Option<Option<u32>> {
        self.first(Name::MaxForwards).map(|value| scan::number::<u32>(&value).filter(|hops| *hops <= 255))
    }

    /// Type and subtype in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.text(Name::ContentType)?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body.clone()]
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The first of them counts; a second one that says otherwise is refused.
    pub(crate) fn content_length(&self) -> Result<Option<usize>, ParseError> {
        let mut length = None;
        for value in self.values(Name::ContentLength) {
            let wrong = || ParseError::ContentLength(shown(&value));
            let said = scan::number::<usize>(&value).ok_or_else(wrong)?;
            if length.is_some_and(|other| other != said) {
                return Err(wrong());
            }
            length = Some(said);
        }
        Ok(length)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

impl Method {
    pub fn read(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"CANCEL" => Self::Cancel,
            b"BYE" => Self::Bye,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"INFO" => Self::Info,
            b"UPDATE" => Self::Update,
            b"PRACK" => Self::Prack,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"REFER" => Self::Refer,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other if scan::is_token(other) => Self::Other(scan::text(other).into()),
            _ => return None,
        })
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Refer => "REFER",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the head ends, its empty line included. Lines end in CRLF; a bare LF is let pass.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
        let next = at + found + 1;
        match bytes.get(next..) {
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            Some([b'\n', ..]) => return Some(next + 1),
            _ => at = next,
        }
    }
    None
}

fn start_line(text: &[u8], span: Range<usize>) -> Result<StartLine, ParseError> {
    let line = &text[span.clone()];
    let wrong = || ParseError::StartLine(shown(line));
    if let Some(rest) = line.strip_prefix(b"SIP/") {
        // `SIP/2.0 200 OK`. The reason may be empty, or in any alphabet.
        let space = rest.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
        let status = rest.get(space + 1..space + 4).and_then(scan::number::<u16>).ok_or_else(wrong)?;
        let after = span.start + 4 + space + 4;
        let is_whole = matches!(text.get(after), Some(b' ' | b'\r' | b'\n')) || after == span.end;
        if !(100..=699).contains(&status) || !is_whole || &rest[..space] != b"2.0" {
            return Err(wrong());
        }
        return Ok(StartLine::Response { status, reason: (after + 1).min(span.end)..span.end });
    }
    let space = memchr::memchr(b' ', line).ok_or_else(wrong)?;
    let method = Method::read(&line[..space]).ok_or_else(wrong)?;
    // What the version says is looked at by `validate`; here it only has to be one.
    let trimmed = line.trim_ascii_end();
    let last = trimmed.iter().rposition(|&byte| byte == b' ').filter(|&last| last > space).ok_or_else(wrong)?;
    if !trimmed[last + 1..].starts_with(b"SIP/") {
        return Err(wrong());
    }
    let uri_end = span.start + last;
    Ok(StartLine::Request { method, uri: span.start + space + 1..uri_end })
}

fn line_end(text: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |found| at + found + 1)
}

/// A line without its end.
fn content(text: &[u8], at: usize, end: usize) -> Range<usize> {
    let mut last = end;
    if last > at && text[last - 1] == b'\n' {
        last -= 1;
    }
    if last > at && text[last - 1] == b'\r' {
        last -= 1;
    }
    at..last
}

fn at_most(what: &'static str, found: usize, most: usize) -> Result<(), ParseError> {
    if found > most { Err(ParseError::TooLarge { what, found, most }) } else { Ok(()) }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).escape_debug().collect()
}
