//! Who may call, and through whom calls go: domains, their users, and trunks.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{DomainId, TenantId, TrunkId, UserId, Wall};

/// A SIP domain. Given out by the operator; one owner each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub id: DomainId,
    pub tenant: TenantId,
    /// In lower case. Its users' realm.
    pub name: String,
    /// Whether phones that know no better may answer with MD5 (RFC 8760 offers SHA-256 first).
    pub md5: bool,
    pub created: Wall,
}

/// A phone, or a person with several, that registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub tenant: TenantId,
    /// The name of one of the tenant's domains.
    pub domain: String,
    /// Before the `@`. Unique within the domain.
    pub name: String,
    pub display: Option<String>,
    pub created: Wall,
}

/// What a password becomes: `H(name:realm:password)`. As good as the password for digest, and
/// kept sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifiers {
    pub md5: [u8; 16],
    pub sha256: [u8; 32],
    pub sha512_256: [u8; 32],
}

/// One contact under which a user can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub user: UserId,
    /// The Contact URI.
    pub contact: String,
    /// `+sip.instance`, a URN.
    pub instance: Option<String>,
    /// RFC 5626.
    pub reg_id: Option<u32>,
    /// Path in its order (RFC 3327).
    pub path: Vec<String>,
    /// Thousandths; 1,000 when the phone gave no `q`.
    pub q_permille: u16,
    pub sip_call_id: String,
    pub cseq: u32,
    /// Where the REGISTER came from, and what it came in on.
    pub transport: String,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub user_agent: Option<String>,
    pub expires: Wall,
}

/// A way out to, and in from, a carrier or a PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    pub id: TrunkId,
    pub tenant: TenantId,
    /// Unique within the tenant.
    pub name: String,
    #[serde(flatten)]
    pub spec: TrunkSpec,
    pub revision: u64,
    pub created: Wall,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkSpec {
    /// Where calls go: `sip:carrier.example`, with port and transport where they are not found
    /// by DNS.
    pub uri: String,
    /// Where its calls come from. Empty: none come.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// Where its sound may be, besides where it signals from.
    #[serde(default)]
    pub media_networks: Vec<IpNet>,
    /// Answers its challenges under this name. The password is a secret of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// None answers whichever realm it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Whether to register there, which tells it where we are.
    #[serde(default)]
    pub register: bool,
    /// Asked for when registering. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u32>,
    /// Stands in From when an application names no number. Without it: the username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<String>,
    /// What a begun minute costs, in millionths of the tenant's currency. For the fraud guard.
    #[serde(default)]
    pub minute_price_micros: u64,
}

/// How a trunk's registration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum TrunkState {
    /// It does not register.
    Static,
    Registering,
    Registered {
        until: Wall,
    },
    /// Tried again by and by.
    Failed {
        status: u16,
        reason: String,
    },
}

/// Where calls that an application begins may go. Empty: nowhere but to the tenant's own users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// The name of the trunk that carries numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Prefixes of numbers, `+49` for example.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Hosts of SIP URIs. `*.example.org` is every host below.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Addresses of SIP URIs, and what names among `domains` may resolve to when something is here.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// Where sound may be sent before it came from there, besides where signalling is.
    #[serde(default)]
    pub media_networks: Vec<IpNet>,
    /// What may stand in From, the first by default. Empty: the trunk's, or nobody's.
    #[serde(default)]
    pub caller_ids: Vec<String>,
}

impl User {
    /// Address of record.
    pub fn address(&self) -> String {
        format!("{}@{}", self.name, self.domain)
    }
}

impl Trunk {
    /// Whether its calls come from there.
    pub fn speaks_from(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.spec.networks.iter().any(|network| network.contains(&address))
    }
}

impl std::fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifiers(..)")
    }
}
