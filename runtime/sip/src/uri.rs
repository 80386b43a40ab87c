//! SIP, SIPS and TEL URIs (RFC 3261 19.1, RFC 3966). Others are kept as they came.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use thiserror::Error;

use crate::header::Params;
use crate::scan;

#[derive(Clone, Debug)]
pub struct Uri {
    pub scheme: Scheme,
    /// As it came, escapes and all. The number, in a `tel:` URI.
    pub user: Option<String>,
    pub password: Option<String>,
    /// None in a `tel:` URI.
    pub host: Option<Host>,
    pub port: Option<u16>,
    pub params: Params,
    /// What stands behind `?`, as it came.
    pub headers: Option<String>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /// In lower case.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no URI: {why}")]
pub struct UriError {
    text: String,
    why: &'static str,
}

impl Uri {
    pub fn read(given: &[u8]) -> Result<Self, UriError> {
        let wrong = |why| UriError { text: scan::text(given).chars().take(128).collect(), why };
        if given.iter().any(|&byte| byte <= b' ' || byte == 0x7f || byte == b'<' || byte == b'>' || byte == b'"') {
            return Err(wrong("it has spaces, brackets, quotes or control characters in it"));
        }
        let colon = given.iter().position(|&byte| byte == b':').ok_or_else(|| wrong("it has no scheme"))?;
        let scheme = Scheme::read(&given[..colon]).ok_or_else(|| wrong("its scheme is no word"))?;
        let rest = &given[colon + 1..];
        let mut uri = Self {
            scheme,
            user: None,
            password: None,
            host: None,
            port: None,
            params: Params::default(),
            headers: None,
            text: scan::text(given),
        };
        match uri.scheme {
            Scheme::Other(_) => return Ok(uri),
            Scheme::Tel => {
                let (number, params) = split_once(rest, b';');
                if number.is_empty() {
                    return Err(wrong("it has no number"));
                }
                uri.user = Some(scan::text(number));
                uri.params =
                    Params::read(params.unwrap_or_default()).ok_or_else(|| wrong("its parameters are wrong"))?;
                return Ok(uri);
            }
            Scheme::Sip | Scheme::Sips => {}
        }
        // The user may hold `;`, `?` and escaped letters; the first `@` ends it.
        let (user, rest) = match rest.iter().position(|&byte| byte == b'@') {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        if let Some(user) = user {
            let (user, password) = split_once(user, b':');
            if user.is_empty() {
                return Err(wrong("its user is empty"));
            }
            uri.user = Some(scan::text(user));
            uri.password = password.map(scan::text);
        }
        let (rest, headers) = split_once(rest, b'?');
        uri.headers = headers.map(scan::text);
        let (address, params) = split_once(rest, b';');
        uri.params = Params::read(params.unwrap_or_default()).ok_or_else(|| wrong("its parameters are wrong"))?;
        let (host, port) = host_and_port(address).ok_or_else(|| wrong("its host or port is wrong"))?;
        uri.host = Some(host);
        uri.port = port;
        Ok(uri)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The user with its escapes undone, once.
    pub fn plain_user(&self) -> Option<String> {
        self.user.as_deref().map(unescape)
    }

    /// Where a request to it goes without DNS, by RFC 3263 4.
    pub fn transport(&self) -> Option<String> {
        self.params.get("transport").map(|name| name.to_ascii_lowercase())
    }
}

impl PartialEq for Uri {
    /// RFC 3261 19.1.4.
    fn eq(&self, other: &Self) -> bool {
        let same_param = |name: &str| {
            let (one, two) = (self.params.get(name), other.params.get(name));
            one.map(|value| value.to_ascii_lowercase()) == two.map(|value| value.to_ascii_lowercase())
        };
        let same_shared = self.params.iter().all(|(name, _)| !other.params.has(name) || same_param(name));
        match (&self.scheme, &other.scheme) {
            (Scheme::Other(_), Scheme::Other(_)) => self.text == other.text,
            (one, two) if one != two => false,
            _ => {
                self.plain_user() == other.plain_user()
                    && self.password.as_deref().map(unescape) == other.password.as_deref().map(unescape)
                    && self.host == other.host
                    && self.port == other.port
                    && ["user", "ttl", "method", "maddr", "transport"].iter().all(|name| same_param(name))
                    && same_shared
                    && self.headers == other.headers
            }
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Scheme {
    fn read(text: &[u8]) -> Option<Self> {
        let is_word = text.first().is_some_and(u8::is_ascii_alphabetic)
            && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is = |name: &[u8]| text.eq_ignore_ascii_case(name);
        is_word.then(|| match () {
            () if is(b"sip") => Self::Sip,
            () if is(b"sips") => Self::Sips,
            () if is(b"tel") => Self::Tel,
            () => Self::Other(scan::text(text).to_ascii_lowercase()),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// `host`, `host:port`, `[v6]:port`. White space around the colon is let pass (RFC 4475 3.1.1.1).
pub(crate) fn host_and_port(text: &[u8]) -> Option<(Host, Option<u16>)> {
    let text = text.trim_ascii();
    let (host, rest) = if let Some(inner) = text.strip_prefix(b"[") {
        let end = inner.iter().position(|&byte| byte == b']')?;
        let address: Ipv6Addr = std::str::from_utf8(&inner[..end]).ok()?.parse().ok()?;
        (Host::Address(address.into()), inner[end + 1..].trim_ascii())
    } else {
        let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        let name = text[..end].trim_ascii();
        let is_name =
            !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
        let host = match name.parse::<IpAddr>() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(name.to_ascii_lowercase()),
        };
        (host, &text[end..])
    };
    let port = match rest.strip_prefix(b":") {
        Some(port) => Some(scan::number::<u16>(port.trim_ascii()).filter(|&port| port != 0)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

fn split_once(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == at) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}

/// `%61` is `a` (RFC 2396 2.4).
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    scan::text(&plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Uri {
        Uri::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_forms_that_broke_others() {
        let uri = read("sip:alice;day=tue@example.com");
        assert_eq!(
            (uri.user.as_deref(), uri.host),
            (Some("alice;day=tue"), Some(Host::Name("example.com".to_owned())))
        );
        let uri = read("sip:a@[2001:db8::1]:5070;transport=tcp?Subject=x");
        assert_eq!(uri.host, Some(Host::Address("2001:db8::1".parse().unwrap())));
        assert_eq!(
            (uri.port, uri.transport().as_deref(), uri.headers.as_deref()),
            (Some(5_070), Some("tcp"), Some("Subject=x"))
        );
        assert_eq!(read("tel:+1-201-555-0123;phone-context=x").user.as_deref(), Some("+1-201-555-0123"));
        assert_eq!(read("sip:john.doe@example.com").user.as_deref(), Some("john.doe"));
        assert_eq!(read("sip:b@b?Replaces=1%3Bto-tag%3D2").host, Some(Host::Name("b".to_owned())));
        assert_eq!(read("sips:%61lice@example.com").plain_user().as_deref(), Some("alice"));
        assert_eq!(read("nobodyKnowsThisScheme:opaque?x").scheme, Scheme::Other("nobodyknowsthisscheme".to_owned()));
    }

    #[test]
    fn comparison_follows_the_rfc() {
        for (one, two, equal) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp", true),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true),
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false),
        ] {
            assert_eq!(read(one) == read(two), equal, "{one} {two}");
        }
    }

    #[test]
    fn what_is_no_uri_says_why() {
        for text in
            ["", "sip", "sip:", "sip:@b", "sip:a@b:99999", "sip:a@b:0", "sip:a b@c", "1:x", "sip:a@[::1", "sip:a@b;=x"]
        {
            let error = Uri::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("is no URI"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(uri) = Uri::read(&bytes) {
                prop_assert!(uri == uri.clone());
            }
        }
    }
}
