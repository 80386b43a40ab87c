//! Where a target is, and whether it may be called: the rules of outgoing calls.
//!
//! Nothing may be called that an application's `outbound` does not name, but for the tenant's own
//! users. What a name resolves to is asked of [`Egress`] once more by signalling.

use std::net::IpAddr;
use std::sync::Arc;

use callbox_model::{Egress, Header, Outbound, StepError, TenantId, UserId, Way};
use callbox_signal::Contact;
use callbox_sip::{Host, Scheme, Uri};
use callbox_usage::{Bought, calling_code};
use ipnet::IpNet;
use thiserror::Error;

use crate::directory::{Directory, Outgoing, TrunkRoute};

/// What a target is resolved with.
pub struct Reach<'a> {
    pub directory: &'a Directory,
    pub tenant: TenantId,
    pub outgoing: &'a Outgoing,
    /// Who called leg 1. May be shown to users of the tenant.
    pub caller: Option<&'a str>,
    /// To name in session descriptions when it is not known yet which network leads there.
    pub local: IpAddr,
    pub contacts: &'a dyn Contacts,
}

/// Who is registered where.
pub trait Contacts {
    fn of(&self, user: UserId) -> Vec<Contact>;
}

impl Contacts for callbox_signal::Handle {
    fn of(&self, user: UserId) -> Vec<Contact> {
        self.contacts(user)
    }
}

/// Why a target is not called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreachable {
    #[error("`{target}` is nothing that can be called: {why}")]
    Target { target: String, why: String },
    #[error("`{target}` may not be called: {why}")]
    Destination { target: String, why: String },
    #[error("`{caller_id}` may not stand in From: it is none of the application's caller_ids")]
    CallerId { caller_id: String },
    #[error("`{target}` needs a trunk, and the application names none (outbound.trunk)")]
    NoTrunk { target: String },
    #[error("`{0}` is not registered")]
    NotRegistered(String),
}

impl From<Unreachable> for StepError {
    fn from(why: Unreachable) -> Self {
        let words = why.to_string();
        match why {
            Unreachable::Target { .. } => Self::Argument(words),
            Unreachable::Destination { .. } | Unreachable::CallerId { .. } => Self::Denied(words),
            Unreachable::NoTrunk { .. } | Unreachable::NotRegistered(_) => Self::Unavailable(words),
        }
    }
}

impl Reach<'_> {
    /// The ways to a target: one, or one for each phone of a user.
    pub fn ways(&self, target: &str, caller_id: Option<&str>) -> Result<Vec<Way>, Unreachable> {
        let wrong = |why: &str| Unreachable::Target { target: shown(target), why: why.to_owned() };
        if let Some(number) = number_of(target) {
            return self.number(&number, caller_id).map(|way| vec![way]);
        }
        let text = if target.contains(':') { target.to_owned() } else { format!("sip:{target}") };
        let uri = Uri::read(text.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(wrong("it is neither a number (+ and digits) nor a SIP URI"));
        }
        let host = uri.host.as_ref().ok_or_else(|| wrong("it has no host"))?;
        if let (Host::Name(domain), Some(user)) = (host, uri.plain_user())
            && self.directory.domain_of(domain).is_some_and(|known| known.tenant == self.tenant)
        {
            return self.user(domain, &user, caller_id);
        }
        self.elsewhere(&uri, host, caller_id).map(|way| vec![way])
    }

    /// What is bought for this way, for the guard against toll fraud.
    pub fn bought(&self, way: &Way) -> Option<Bought> {
        let trunk = self.outgoing.trunk.as_ref().filter(|trunk| Some(trunk.id()) == way.trunk)?;
        let user = Uri::read(way.target.as_bytes()).ok()?.plain_user()?;
        let code = calling_code(&user).unwrap_or("unknown").to_owned();
        Some(Bought { code, minute_price_micros: trunk.trunk.spec.minute_price_micros })
    }

    fn number(&self, number: &str, caller_id: Option<&str>) -> Result<Way, Unreachable> {
        let outbound = &self.outgoing.outbound;
        if !outbound.numbers.iter().any(|prefix| number.starts_with(prefix.as_str())) {
            let why = "no prefix among the application's outbound.numbers lets it through".to_owned();
            return Err(Unreachable::Destination { target: number.to_owned(), why });
        }
        let trunk = self.outgoing.trunk.as_ref().ok_or_else(|| Unreachable::NoTrunk { target: number.to_owned() })?;
        let uri = &trunk.trunk.spec.uri;
        let broken = || Unreachable::Target { target: uri.clone(), why: "the trunk's URI cannot be read".to_owned() };
        let (scheme, rest) = uri.split_once(':').ok_or_else(broken)?;
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let host = place.split([';', '?']).next().unwrap_or(place);
        let caller = match self.caller_id(caller_id)?.or_else(|| trunk.caller_id().map(str::to_owned)) {
            Some(id) if id.contains(':') => format!("<{id}>"),
            Some(id) => format!("<sip:{id}@{host}>"),
            None => ANONYMOUS.to_owned(),
        };
        Ok(Way {
            target: format!("{scheme}:{number}@{place}"),
            caller,
            routes: Vec::new(),
            headers: Vec::new(),
            flow: None,
            credentials: trunk.credentials.clone(),
            egress: trunk.egress.clone(),
            local: self.local,
            media_networks: media_networks(trunk, outbound),
            trunk: Some(trunk.id()),
        })
    }

    fn user(&self, domain: &str, user: &str, caller_id: Option<&str>) -> Result<Vec<Way>, Unreachable> {
        let address = format!("{user}@{domain}");
        let target = || shown(&format!("sip:{address}"));
        let known = self
            .directory
            .user(domain, user)
            .ok_or_else(|| Unreachable::Target { target: target(), why: "the domain has no such user".to_owned() })?;
        let caller = match self.caller_id(caller_id) {
            Ok(Some(id)) if id.contains(':') => format!("<{id}>"),
            Ok(Some(id)) => format!("<sip:{id}@{domain}>"),
            Ok(None) => self.caller.map_or_else(|| ANONYMOUS.to_owned(), |caller| format!("<{caller}>")),
            // Within its own house a tenant may show who called.
            Err(_) if caller_id == self.caller => format!("<{}>", self.caller.unwrap_or_default()),
            Err(error) => return Err(error),
        };
        let contacts = self.contacts.of(known);
        if contacts.is_empty() {
            return Err(Unreachable::NotRegistered(address));
        }
        Ok(contacts.into_iter().map(|contact| self.phone(contact, &caller)).collect())
    }

    fn phone(&self, contact: Contact, caller: &str) -> Way {
        let Contact { registration, flow } = contact;
        let phone = IpNet::from(registration.remote.ip().to_canonical());
        Way {
            target: registration.contact,
            caller: caller.to_owned(),
            routes: registration.path,
            headers: Vec::new(),
            flow,
            credentials: None,
            // Without its flow it may be anywhere that the tenant's calls may go, and where it was.
            egress: Arc::new(Egress {
                own: self.outgoing.egress.own.clone(),
                open: self.outgoing.egress.open.iter().copied().chain([phone]).collect(),
                only: Arc::default(),
            }),
            local: registration.local.ip().to_canonical(),
            media_networks: self.outgoing.media_networks.iter().copied().chain([phone]).collect(),
            trunk: None,
        }
    }

    fn elsewhere(&self, uri: &Uri, host: &Host, caller_id: Option<&str>) -> Result<Way, Unreachable> {
        let outbound = &self.outgoing.outbound;
        let (is_named, why) = match host {
            Host::Address(ip) => {
                let ip = ip.to_canonical();
                (
                    outbound.networks.iter().any(|network| network.contains(&ip)),
                    "its address is in none of the application's outbound.networks",
                )
            }
            Host::Name(name) => (
                outbound.domains.iter().any(|pattern| is_within(name, pattern)),
                "its host is none of the application's outbound.domains",
            ),
        };
        if !is_named {
            return Err(Unreachable::Destination { target: shown(uri.as_str()), why: why.to_owned() });
        }
        let (target, headers) = without_headers(uri)?;
        let caller = match self.caller_id(caller_id)? {
            Some(id) if id.contains(':') => format!("<{id}>"),
            Some(id) => format!("<sip:{id}@{host}>"),
            None => ANONYMOUS.to_owned(),
        };
        Ok(Way {
            target,
            caller,
            routes: Vec::new(),
            headers,
            flow: None,
            credentials: None,
            egress: self.outgoing.egress.clone(),
            local: self.local,
            media_networks: self.outgoing.media_networks.clone(),
            trunk: None,
        })
    }

    /// What stands in From: what was asked for, if it may; else the application's first.
    fn caller_id(&self, wanted: Option<&str>) -> Result<Option<String>, Unreachable> {
        let allowed = &self.outgoing.outbound.caller_ids;
        match wanted {
            None => Ok(allowed.first().cloned()),
            Some(wanted) if allowed.iter().any(|allowed| allowed == wanted) => Ok(Some(wanted.to_owned())),
            Some(wanted) => Err(Unreachable::CallerId { caller_id: shown(wanted) }),
        }
    }
}

/// An E.164 number, as `+49301234` or as a tel URI with whatever separators.
fn number_of(target: &str) -> Option<String> {
    let digits = match target.strip_prefix("tel:") {
        Some(rest) => rest.split(';').next().unwrap_or(rest),
        None => target,
    };
    let plain: String = digits.chars().filter(|letter| !matches!(letter, '-' | '.' | '(' | ')')).collect();
    let number = plain.strip_prefix('+')?;
    let is_number = (3..=15).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(plain)
}

/// `*.example.org` is every host below.
fn is_within(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(above) => {
            host.strip_suffix(&above.to_ascii_lowercase()).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// A URI may bring headers for the request (19.1.1). The one that is taken names a dialog of the far
/// end's (RFC 3891): a transfer that was asked for.
fn without_headers(uri: &Uri) -> Result<(String, Vec<Header>), Unreachable> {
    let Some(headers) = &uri.headers else { return Ok((uri.as_str().to_owned(), Vec::new())) };
    let target = uri.as_str().split('?').next().unwrap_or_default().to_owned();
    let mut taken = Vec::new();
    for pair in headers.split('&') {
        match pair.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("Replaces") => {
                taken.push(Header { name: "Replaces".to_owned(), value: callbox_sip::unescape(value) });
            }
            _ => {
                let why = format!("its header `{}` is not taken", shown(pair));
                return Err(Unreachable::Target { target: shown(uri.as_str()), why });
            }
        }
    }
    Ok((target, taken))
}

fn media_networks(trunk: &TrunkRoute, outbound: &Outbound) -> Arc<[IpNet]> {
    if outbound.media_networks.is_empty() {
        return trunk.media_networks.clone();
    }
    trunk.media_networks.iter().chain(&outbound.media_networks).copied().collect()
}

/// For an error's words: strangers write these.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(128).collect()
}

/// RFC 3323 4.1.1.3
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

#[cfg(test)]
mod tests;
