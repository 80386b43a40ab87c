//! Where packets that a tenant or a far end aims may go. Asked of addresses, after names are
//! resolved, each time: a name may lead elsewhere a minute later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Sockets of the node and of what it needs: never. A port of 0 is every port.
    pub own: Arc<[SocketAddr]>,
    /// Addresses that are not public, and that the operator has opened.
    pub open: Arc<[IpNet]>,
    /// With something in it, nothing but these: the networks that an application or a trunk names.
    pub only: Arc<[IpNet]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EgressError {
    #[error("{0} is an address of this node")]
    Own(SocketAddr),
    #[error("{0} is {1}, which the operator has not opened (egress.networks)")]
    NotPublic(IpAddr, &'static str),
    #[error("{0} is in none of the networks that may be called")]
    NotNamed(IpAddr),
}

impl Egress {
    /// # Errors
    /// The rule that is against it.
    pub fn admits(&self, address: SocketAddr) -> Result<(), EgressError> {
        let ip = plain(address.ip());
        let is_own = |own: &&SocketAddr| plain(own.ip()) == ip && (own.port() == 0 || own.port() == address.port());
        if self.own.iter().any(|own| is_own(&own)) {
            return Err(EgressError::Own(address));
        }
        if let Some(kind) = not_public(ip)
            && !contains(&self.open, ip)
        {
            return Err(EgressError::NotPublic(ip, kind));
        }
        if !self.only.is_empty() && !contains(&self.only, ip) {
            return Err(EgressError::NotNamed(ip));
        }
        Ok(())
    }
}

fn contains(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// The address that a packet would reach: IPv4 in IPv6 in each of its wrappings.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let octets = six.octets();
    let four = |at: usize| IpAddr::V4(Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]));
    match six.segments() {
        // Mapped, compatible (but for :: and ::1), translated (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => four(12),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => four(12),
        [0x2002, ..] => four(2),
        _ => ip,
    }
}

/// What it is, where it is no address of the public network (RFC 6890 and its registries).
fn not_public(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(four) => not_public_v4(four),
        IpAddr::V6(six) => not_public_v6(six),
    }
}

fn not_public_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [0, ..] => Some("an address of no network"),
        [127, ..] => Some("a loopback address"),
        [10, ..] | [192, 168, ..] => Some("a private address"),
        [172, second, ..] if second & 0xf0 == 16 => Some("a private address"),
        [169, 254, ..] => Some("a link-local address"),
        [100, second, ..] if second & 0xc0 == 64 => Some("a carrier's shared address"),
        [192, 0, 0, _] | [198, 18 | 19, ..] => Some("a special-purpose address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("a documentation address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn not_public_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("a private address"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("a link-local address"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("a multicast address"),
        [0x2001, 0xdb8, ..] => Some("a documentation address"),
        // Teredo, ORCHID and the like; local-use translation.
        [0x2001, second, ..] if second < 0x200 => Some("a special-purpose address"),
        [0x64, 0xff9b, ..] | [0x100, 0, 0, 0, ..] => Some("a special-purpose address"),
        [first, ..] if first & 0xe000 == 0x2000 => None,
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(egress: &Egress, address: &str) -> Result<(), EgressError> {
        egress.admits(address.parse().unwrap())
    }

    #[test]
    fn nothing_but_public_addresses_in_any_wrapping() {
        let egress = Egress::default();
        for address in ["8.8.8.8:5060", "[2606:4700::1]:5060", "172.32.0.1:1", "[::ffff:8.8.8.8]:5060"] {
            assert_eq!(admits(&egress, address), Ok(()), "{address}");
        }
        for address in [
            "127.0.0.1:5060",
            "127.9.9.9:5060",
            "0.0.0.0:5060",
            "10.0.0.1:5060",
            "172.16.0.1:5060",
            "192.168.1.1:5060",
            "169.254.169.254:80",
            "100.64.0.1:1",
            "198.18.0.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::1]:5060",
            "[::]:5060",
            "[::ffff:127.0.0.1]:5060",
            "[::127.0.0.1]:5060",
            "[::ffff:0:127.0.0.1]:5060",
            "[64:ff9b::7f00:1]:5060",
            "[2002:7f00:1::]:5060",
            "[2002:a9fe:a9fe::1]:80",
            "[fe80::1]:5060",
            "[fd00:ec2::254]:80",
            "[ff02::1]:5060",
            "[2001::1]:1",
            "[4000::1]:1",
        ] {
            assert!(admits(&egress, address).is_err(), "{address}");
        }
    }

    #[test]
    fn what_the_operator_opens_is_open_and_the_node_itself_is_not() {
        let egress = Egress {
            own: Arc::new(["127.0.0.1:5060".parse().unwrap(), "10.0.0.9:0".parse().unwrap()]),
            open: Arc::new(["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]),
            only: Arc::default(),
        };
        assert_eq!(admits(&egress, "127.0.0.1:5070"), Ok(()));
        assert!(matches!(admits(&egress, "127.0.0.1:5060"), Err(EgressError::Own(_))));
        assert!(matches!(admits(&egress, "[::ffff:127.0.0.1]:5060"), Err(EgressError::Own(_))));
        assert!(matches!(admits(&egress, "10.0.0.9:7"), Err(EgressError::Own(_))));
        let error = admits(&egress, "192.168.0.1:5060").unwrap_err().to_string();
        assert!(error.contains("private") && error.contains("egress.networks"), "{error}");
    }

    #[test]
    fn named_networks_leave_nothing_else() {
        let only = Egress { only: Arc::new(["8.8.0.0/16".parse().unwrap()]), ..Egress::default() };
        assert_eq!(admits(&only, "8.8.4.4:5060"), Ok(()));
        assert!(matches!(admits(&only, "9.9.9.9:5060"), Err(EgressError::NotNamed(_))));
    }
}
