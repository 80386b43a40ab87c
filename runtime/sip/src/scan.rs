//! Small readers of SIP's grammar: quoted strings, comments, lists.

/// Index of the first byte that `is_it` likes, outside of quoted strings and of `<…>`.
pub(crate) fn find(text: &[u8], is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (mut quoted, mut escaped, mut angles) = (false, false, false);
    for (at, &byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if angles {
            angles = byte != b'>';
        } else if is_it(byte) {
            return Some(at);
        } else {
            quoted = byte == b'"';
            angles = byte == b'<';
        }
    }
    None
}

/// True when a quote or an angle bracket is left open.
pub(crate) fn is_open(text: &[u8]) -> bool {
    let (mut quoted, mut escaped, mut angles) = (false, false, false);
    for &byte in text {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if angles {
            angles = byte != b'>';
        } else {
            quoted = byte == b'"';
            angles = byte == b'<';
        }
    }
    quoted || angles
}

/// The values of a comma-separated list.
pub(crate) fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let value = match find(text, |byte| byte == b',') {
            Some(comma) => {
                rest = Some(&text[comma + 1..]);
                &text[..comma]
            }
            None => {
                rest = None;
                text
            }
        };
        Some(value.trim_ascii())
    })
    .filter(|value| !value.is_empty())
}

/// RFC 3261 25.1 `token`.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Decimal digits alone, and few enough of them.
pub(crate) fn number<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    if text.is_empty() || text.len() > 12 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    T::try_from(value).ok()
}

/// A quoted string without its quotes and escapes.
pub(crate) fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return text.to_owned() };
    let mut plain = String::with_capacity(inner.len());
    let mut escaped = false;
    for letter in inner.chars() {
        if escaped || letter != '\\' {
            plain.push(letter);
            escaped = false;
        } else {
            escaped = true;
        }
    }
    plain
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
