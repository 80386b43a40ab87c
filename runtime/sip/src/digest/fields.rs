//! `Digest name=value, name="value"`: what challenges and answers are written in.

use std::fmt;

use crate::scan;

/// Names in lower case, in their order, each once. Values as they came, quotes and escapes
/// included: hashes are made of the text between the quotes (RFC 7616 3.4: `unq`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pairs: Vec<(String, String)>,
}

/// RFC 7616 knows 15.
const MOST_FIELDS: usize = 32;

impl Fields {
    /// None when it is another scheme, or is not well formed: a name that stands twice could be
    /// read by others than by us.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let space = text.iter().position(u8::is_ascii_whitespace)?;
        if !text[..space].eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let mut fields = Self::default();
        for part in scan::list(&text[space..]) {
            let equals = part.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (part[..equals].trim_ascii(), part[equals + 1..].trim_ascii());
            if !scan::is_token(name) || !(is_quoted(value) || is_bare(value)) || fields.pairs.len() == MOST_FIELDS {
                return None;
            }
            let name = scan::text(&name.to_ascii_lowercase());
            if fields.text(&name).is_some() {
                return None;
            }
            fields.pairs.push((name, std::str::from_utf8(value).ok()?.to_owned()));
        }
        (!fields.pairs.is_empty()).then_some(fields)
    }

    /// What stands between the quotes, escapes and all.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        let value = self.text(name)?;
        Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
    }

    /// Without quotes and escapes.
    pub(crate) fn plain(&self, name: &str) -> Option<String> {
        self.text(name).map(scan::unquote)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The text of a quoted string goes in as it came from one.
    pub(crate) fn quoted(&mut self, name: &str, raw: &str) -> &mut Self {
        self.bare(name, &format!("\"{raw}\""))
    }

    pub(crate) fn bare(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest ")?;
        for (at, (name, value)) in self.pairs.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// For what is to stand between quotes. None when no line could hold it.
pub(crate) fn escape(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return None;
    }
    Some(text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_quoted(value: &[u8]) -> bool {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else { return false };
    let mut escaped = false;
    for &byte in inner {
        match byte {
            _ if byte < b' ' && byte != b'\t' || byte == 0x7f => return false,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

/// A token. Some leave the quotes away where they belong, around base64 for example.
fn is_bare(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_graphic() && !b"\",\\<>".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_commas_and_escapes_are_read() {
        let text = br#"digest  REALM="a, \"b\"" , nonce=abc==,qop="auth,auth-int",stale=TRUE"#;
        let fields = Fields::read(text).unwrap();
        assert_eq!(fields.plain("realm").as_deref(), Some("a, \"b\""));
        assert_eq!(fields.raw("realm"), Some(r#"a, \"b\""#));
        assert_eq!((fields.raw("nonce"), fields.raw("qop")), (Some("abc=="), Some("auth,auth-int")));
        assert_eq!(fields.raw("opaque"), None);
    }

    #[test]
    fn what_is_ambiguous_is_not_read() {
        for text in [
            "Basic YTpi",
            "Digest",
            "Digest realm",
            "Digest realm=\"a\", realm=\"b\"",
            "Digest realm=\"a",
            "Digest realm=\"a\\\"",
            "Digest realm=\"a\"b\"",
            "Digest realm=",
            "Digest =a",
            "Digest a b=c",
        ] {
            assert_eq!(Fields::read(text.as_bytes()), None, "{text}");
        }
        let many: Vec<_> = (0..=MOST_FIELDS).map(|at| format!("a{at}=1")).collect();
        assert_eq!(Fields::read(format!("Digest {}", many.join(",")).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            crate::digest::fuzz(&bytes);
            crate::digest::fuzz(&[b"Digest ", &bytes[..]].concat());
        }

        #[test]
        fn no_pieces_break_it(pieces in proptest::collection::vec(prop::sample::select(PIECES), 0..24)) {
            crate::digest::fuzz(&[b"Digest ", &pieces.concat()[..]].concat());
        }

        #[test]
        fn what_is_escaped_reads_the_same(text in "\\PC{0,40}") {
            let mut fields = Fields::default();
            fields.quoted("username", &escape(&text).unwrap());
            let read = Fields::read(fields.to_string().as_bytes()).unwrap();
            prop_assert_eq!(read.plain("username"), Some(text));
        }
    }

    const PIECES: &[&[u8]] = &[
        b"\"",
        b"\\",
        b",",
        b"=",
        b" ",
        b"<",
        b">",
        b"\xff",
        b"realm=\"a\"",
        b"nonce=\"b\"",
        b"username=\"c\"",
        b"response=\"d\"",
        b"qop=auth",
        b"qop=\"auth,auth-int\"",
        b"nc=00000001",
        b"cnonce=\"e\"",
        b"uri=\"sip:f\"",
        b"algorithm=SHA-256",
        b"algorithm=MD5-sess",
    ];
}
