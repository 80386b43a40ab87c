//! Via: the way back.

use std::net::{IpAddr, SocketAddr};

use crate::header::Params;
use crate::scan;
use crate::uri::{Host, host_and_port};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// In upper case: UDP, TCP, TLS, WS, WSS, or what it came as.
    pub transport: String,
    pub host: Host,
    pub port: Option<u16>,
    pub params: Params,
}

impl Via {
    /// One value: `SIP/2.0/UDP host:port;params`.
    pub fn read(text: &[u8]) -> Option<Self> {
        let semicolon = scan::find(text, |byte| byte == b';').unwrap_or(text.len());
        let (front, params) = (&text[..semicolon], text.get(semicolon + 1..).unwrap_or_default());
        // White space may stand around each slash.
        let mut parts = front.splitn(3, |&byte| byte == b'/');
        let (name, version) = (parts.next()?.trim_ascii(), parts.next()?.trim_ascii());
        if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return None;
        }
        let rest = parts.next()?.trim_ascii();
        let space = rest.iter().position(u8::is_ascii_whitespace)?;
        let transport = &rest[..space];
        if !scan::is_token(transport) {
            return None;
        }
        let (host, port) = host_and_port(&rest[space..])?;
        let mut transport = scan::text(transport);
        transport.make_ascii_uppercase();
        Some(Self { transport, host, port, params: Params::read(params)? })
    }

    pub fn branch(&self) -> Option<String> {
        self.params.get("branch")
    }

    /// RFC 3581: asked to answer to where it came from.
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// Where a response goes over an unreliable transport (RFC 3261 18.2.2, RFC 3581 4).
    pub fn return_address(&self, source: SocketAddr) -> SocketAddr {
        if self.wants_rport() {
            return source;
        }
        let maddr: Option<IpAddr> = self.params.get("maddr").and_then(|address| address.parse().ok());
        // An address that the sender names and that it did not send from is no place to answer to.
        let address = maddr.filter(|address| *address == source.ip()).unwrap_or_else(|| source.ip());
        SocketAddr::new(address, self.port.unwrap_or(DEFAULT_PORT))
    }
}

const DEFAULT_PORT: u16 = 5_060;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_spacing_is_read() {
        let via = Via::read(b"SIP  / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw").unwrap();
        assert_eq!((via.transport.as_str(), via.branch().as_deref()), ("UDP", Some("390skdjuw")));
        let via = Via::read(b"SIP/2.0/TCP [2001:db8::9:1]:5061;rport;received=[2001:db8::1]").unwrap();
        assert_eq!((via.port, via.wants_rport()), (Some(5_061), true));
        assert_eq!(via.params.get("received").as_deref(), Some("[2001:db8::1]"));
    }

    #[test]
    fn what_is_no_via_is_not_read() {
        for text in
            ["SIP/7.0/UDP a", "SIP/2.0/UDP", "SIP/2.0 a", "SIP/2.0/UDP a:0", "SIP/2.0/UDP a;;,;,,", "HTTP/2.0/UDP a"]
        {
            assert_eq!(Via::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn answers_go_back_and_nowhere_else() {
        let source: SocketAddr = "192.0.2.9:40000".parse().unwrap();
        let to = |text: &str| Via::read(text.as_bytes()).unwrap().return_address(source).to_string();
        assert_eq!(to("SIP/2.0/UDP 192.0.2.9:5070"), "192.0.2.9:5070");
        assert_eq!(to("SIP/2.0/UDP 192.0.2.9"), "192.0.2.9:5060");
        assert_eq!(to("SIP/2.0/UDP 10.0.0.1:5070;rport"), "192.0.2.9:40000");
        assert_eq!(to("SIP/2.0/UDP 10.0.0.1:5070"), "192.0.2.9:5070");
        assert_eq!(to("SIP/2.0/UDP 10.0.0.1:5070;maddr=198.51.100.1"), "192.0.2.9:5070");
    }
}
