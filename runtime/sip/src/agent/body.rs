//! The session description in a body, out of a multipart one too; digits in an INFO.

use crate::header::{Name, Params};
use crate::message::Message;

/// None: there is no body. Err: its type is not spoken (415).
pub(crate) fn session(message: &Message) -> Result<Option<Vec<u8>>, ()> {
    if message.body().is_empty() {
        return Ok(None);
    }
    let encoding = message.text(Name::ContentEncoding);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(());
    }
    match message.content_type().as_deref() {
        Some("application/sdp") => Ok(Some(message.body().to_vec())),
        Some(kind) if kind.starts_with("multipart/") => multipart(message).map(Some).ok_or(()),
        _ => Err(()),
    }
}

/// RFC 2046: the first part that is a session description.
fn multipart(message: &Message) -> Option<Vec<u8>> {
    let content_type = message.text(Name::ContentType)?;
    let params = Params::read(content_type.split_once(';')?.1.as_bytes())?;
    let boundary = format!("--{}", params.get("boundary")?);
    let body = message.body();
    let mut starts = memchr::memmem::find_iter(body, boundary.as_bytes()).peekable();
    while let Some(start) = starts.next() {
        let end = starts.peek().copied().unwrap_or(body.len());
        let part = body.get(start + boundary.len()..end)?;
        let part = part.strip_prefix(b"\r\n").unwrap_or(part);
        let head_end = memchr::memmem::find(part, b"\r\n\r\n").map(|at| at + 4).unwrap_or(0);
        let head = String::from_utf8_lossy(&part[..head_end]).to_ascii_lowercase();
        let is_session = head.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                name.trim() == "content-type" && value.trim().starts_with("application/sdp")
            })
        });
        if is_session {
            let content = &part[head_end..];
            return Some(content.strip_suffix(b"\r\n").unwrap_or(content).to_vec());
        }
    }
    None
}

/// `application/dtmf-relay` (Signal=5, Duration=160) and `application/dtmf`.
pub(crate) fn digit(message: &Message) -> Option<(char, u32)> {
    let text = std::str::from_utf8(message.body()).ok()?;
    let (signal, length) = match message.content_type()?.as_str() {
        "application/dtmf-relay" => {
            let value = |name: &str| {
                text.lines().find_map(|line| {
                    let (label, value) = line.split_once('=')?;
                    label.trim().eq_ignore_ascii_case(name).then(|| value.trim())
                })
            };
            (value("Signal")?, value("Duration").and_then(|length| length.parse().ok()))
        }
        "application/dtmf" => (text.trim(), None),
        _ => return None,
    };
    let digit = match signal {
        "10" => '*',
        "11" => '#',
        one => one.chars().next().filter(|_| one.chars().count() == 1)?.to_ascii_uppercase(),
    };
    "0123456789*#ABCD".contains(digit).then_some((digit, length.unwrap_or(USUAL_LENGTH_MS).min(10_000)))
}

const USUAL_LENGTH_MS: u32 = 160;
