//! What addresses, hosts and networks look like, as far as a request can be wrong about them.

use std::net::Ipv6Addr;

use ipnet::IpNet;

use super::Fields;
use super::check::shown;

impl Fields {
    /// A number, or a SIP URI with a user: what may stand in From.
    pub(crate) fn hold_caller_id(&mut self, field: &str, text: &str) {
        self.hold(field, is_number(text) || is_sip_uri(text, User::Needed), || {
            format!("`{}` is neither a number (`+4930123456`) nor a SIP URI (`sip:anna@example.org`)", shown(text))
        });
    }

    /// At most as many, each written as the network it is.
    pub(crate) fn hold_networks(&mut self, field: &str, networks: &[IpNet]) {
        self.hold(field, networks.len() <= MOST, || format!("has {}; {MOST} is the most", networks.len()));
        for (place, network) in networks.iter().enumerate() {
            self.hold(&format!("{field}[{place}]"), *network == network.trunc(), || {
                format!("`{network}` has bits behind its prefix: is `{}` meant?", network.trunc())
            });
        }
    }
}

/// Whether a URI has something before the `@`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Needed,
    Refused,
}

/// E.164, with its plus.
pub(crate) fn is_number(text: &str) -> bool {
    is_prefix(text) && text.len() >= 4
}

/// The beginning of a number: a plus, and 1 to 15 digits, of which the first is no zero.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (1..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// A name of labels, as DNS has them; IPv4 addresses are such names too.
pub(crate) fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A user part without escapes: what a phone can type, and digest can carry.
pub(crate) fn is_user(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '+')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

/// `sip:` or `sips:`, host and port, and no parameter but the transport.
pub(crate) fn is_sip_uri(text: &str, user: User) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    if text.len() > 255 || !["sip", "sips"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return false;
    }
    let (before, rest) = match rest.split_once('@') {
        Some((before, rest)) => (Some(before), rest),
        None => (None, rest),
    };
    let is_user_fine = match (before, user) {
        (Some(before), User::Needed) => is_user(before),
        (None, User::Refused) => true,
        _ => false,
    };
    let (place, parameters) = rest.split_once(';').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    let transport = |text: &str| {
        let value = text.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("transport"));
        value.is_some_and(|(_, value)| TRANSPORTS.iter().any(|known| value.eq_ignore_ascii_case(known)))
    };
    is_user_fine && is_place(place) && parameters.is_none_or(transport)
}

/// Host and port.
fn is_place(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    match text.split_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(text),
    }
}

const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];
/// Entries of one list.
pub(crate) const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_their_prefixes() {
        for good in ["+49", "+1", "+493012345678"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["", "+", "49", "+049", "+49 30", "+1234567890123456", "+4a", "++4", "*"] {
            assert!(!is_prefix(bad), "{bad}");
        }
        assert!(is_number("+493012345") && !is_number("+49"));
    }

    #[test]
    fn hosts() {
        for good in ["example.org", "a", "sip-1.example.org", "192.0.2.1", "xn--bcher-kva.example"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a.org", "a-.org", "a_b.org", "a b", "[::1]", "\u{e4}.org", "a.org."] {
            assert!(!is_host(bad), "{bad}");
        }
        assert!(!is_host(&"a".repeat(64)) && !is_host(&["a"; 200].join(".")));
    }

    #[test]
    fn uris() {
        for good in
            ["sip:carrier.example", "SIPS:carrier.example:5061", "sip:192.0.2.1;transport=TCP", "sip:[::1]:5060"]
        {
            assert!(is_sip_uri(good, User::Refused) && !is_sip_uri(good, User::Needed), "{good}");
        }
        for good in ["sip:anna@example.org", "sips:+4930@[2001:db8::1]", "sip:a.b@192.0.2.1:5070;transport=tls"] {
            assert!(is_sip_uri(good, User::Needed) && !is_sip_uri(good, User::Refused), "{good}");
        }
        for bad in [
            "",
            "carrier.example",
            "tel:+4930",
            "sip:",
            "sip:a@",
            "sip:@b",
            "sip:a@b@c",
            "sip:b:0",
            "sip:b:65536",
            "sip:b:+1",
            "sip:b:",
            "sip:b;lr",
            "sip:b;transport=sctp",
            "sip:b;transport=tcp;maddr=127.0.0.1",
            "sip:b?Route=x",
            "sip:a%20b@c",
            "sip:a:secret@c",
            "sip:[::1",
            "sip:[::1]x",
            "sip:b>\r\nVia: x",
        ] {
            assert!(!is_sip_uri(bad, User::Needed) && !is_sip_uri(bad, User::Refused), "{bad}");
        }
    }
}
