//! `"Name" <uri>;params`: From, To, Contact, Route and their like.

use crate::header::Params;
use crate::scan;
use crate::uri::Uri;

#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Without quotes and escapes.
    pub display: Option<String>,
    pub uri: Uri,
    pub params: Params,
}

impl Address {
    /// One value. None when it is none.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let Some(open) = scan_for_angle(text) else {
            // RFC 3261 20: without brackets, what follows the first `;` is the header's.
            let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
            let uri = Uri::read(text[..end].trim_ascii()).ok()?;
            // A URI with a comma or a question mark must stand in brackets.
            if uri.headers.is_some() || uri.as_str().contains(',') {
                return None;
            }
            let params = Params::read(text.get(end + 1..).unwrap_or_default())?;
            return Some(Self { display: None, uri, params });
        };
        let close = open + text[open..].iter().position(|&byte| byte == b'>')?;
        let display = text[..open].trim_ascii();
        if scan::is_open(display) || !is_display(display) {
            return None;
        }
        let uri = Uri::read(text[open + 1..close].trim_ascii()).ok()?;
        let rest = text[close + 1..].trim_ascii();
        let params = match rest.strip_prefix(b";") {
            Some(params) => Params::read(params)?,
            None if rest.is_empty() => Params::default(),
            None => return None,
        };
        let display = (!display.is_empty()).then(|| scan::unquote(&scan::text(display)));
        Some(Self { display, uri, params })
    }

    pub fn tag(&self) -> Option<String> {
        self.params.get("tag")
    }
}

/// The `tag` behind an address, found without reading the address.
pub(crate) fn tag(value: &[u8]) -> Option<&[u8]> {
    let params = match scan_for_angle(value) {
        Some(open) => &value[open + value[open..].iter().position(|&byte| byte == b'>')? + 1..],
        None => value,
    };
    let mut rest = params;
    loop {
        let start = scan::find(rest, |byte| byte == b';')?;
        rest = &rest[start + 1..];
        let end = scan::find(rest, |byte| byte == b';').unwrap_or(rest.len());
        let mut pair = rest[..end].splitn(2, |&byte| byte == b'=');
        let is_tag = pair.next().is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"tag"));
        if let (true, Some(value)) = (is_tag, pair.next()) {
            return Some(value.trim_ascii());
        }
    }
}

/// Nothing, one quoted string, or tokens. Letters beyond ASCII are let pass.
fn is_display(text: &[u8]) -> bool {
    if text.first() == Some(&b'"') {
        return text.len() > 1 && text.last() == Some(&b'"');
    }
    text.iter().all(|&byte| scan::is_token_byte(byte) || byte.is_ascii_whitespace() || byte >= 0x80)
}

fn scan_for_angle(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_broke_others() {
        let contact =
            Address::read(br#"<sip:linphone@192.0.2.7;transport=tcp>;+sip.instance="<urn:uuid:0-1>";q=.5"#).unwrap();
        assert_eq!(contact.params.get("+sip.instance").as_deref(), Some("<urn:uuid:0-1>"));
        assert_eq!(contact.params.get("q").as_deref(), Some(".5"));
        let from = Address::read(br#""Alice \"<A>\" B" <sip:alice@example.com>;tag=9"#).unwrap();
        assert_eq!((from.display.as_deref(), from.tag().as_deref()), (Some("Alice \"<A>\" B"), Some("9")));
        let bare = Address::read(b"sip:alice@example.com;tag=1").unwrap();
        assert_eq!((bare.uri.as_str(), bare.tag().as_deref()), ("sip:alice@example.com", Some("1")));
        assert!(Address::read("J\u{f6}rg <sip:j@example.com>".as_bytes()).is_some());
    }

    #[test]
    fn a_tag_is_found_where_the_whole_address_has_it() {
        for text in [
            "<sip:a@b;tag=no>;x;TAG = yes;y=1",
            "sip:a@b;tag=yes",
            "\"a;tag=no <x>\" <sip:a@b>;tag=yes",
            "<sip:a@b;tag=no>",
            "sip:a@b",
            "<sip:a@b>;x=\";tag=no\"",
        ] {
            let whole = Address::read(text.as_bytes()).unwrap().tag();
            assert_eq!(tag(text.as_bytes()).map(scan::text), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_read() {
        for text in ["", "\"open <sip:a@b>", "<sip:a@b", "sip:a@b?x=y", "Bell, Alex <sip:a@b>", "<sip:a@b> junk", "a@b"]
        {
            assert!(Address::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
