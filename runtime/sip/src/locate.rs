//! Where a URI leads (RFC 3263): transports and addresses, in the order in which they are tried.
//!
//! [`Search`] says which questions of DNS are next and is told the answers; whoever drives it asks
//! them, through a [`Cache`] that helps itself with old answers while DNS does not answer.
//! [`Failing`] remembers addresses that failed lately, and puts them last.

mod cache;
mod failing;
mod order;

pub use cache::Cache;
pub use failing::Failing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::agent::Transport;
use crate::dice::Dice;
use crate::uri::{Host, Scheme, Uri};

#[derive(Debug)]
pub struct Search {
    speaks: Speaks,
    /// Whether nothing but TLS will do.
    is_secure: bool,
    /// Whose records are searched: the host, or `maddr`.
    name: String,
    port: Option<u16>,
    chosen: Option<Transport>,
    dice: Dice,
    open: Vec<Question>,
    answers: BTreeMap<Question, Answer>,
    stage: Stage,
}

/// What this node can reach: in the order in which it likes them.
#[derive(Clone, Debug)]
pub struct Speaks {
    pub transports: Vec<Transport>,
    pub families: Vec<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Names are in lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Naptr(String),
    Srv(String),
    /// A.
    V4(String),
    /// AAAA.
    V6(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None of that kind, when it is empty: no such name, or no such records.
    Records(Vec<Record>),
    /// Nobody answered, or with a failure.
    Silence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Naptr { order: u16, preference: u16, flags: String, service: String, replacement: String },
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub transport: Transport,
    pub address: SocketAddr,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These are open. They may be asked all at once.
    Ask(Vec<Question>),
    /// In the order in which they are tried (4.3). Never empty.
    Found(Vec<Target>),
    Failed(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    #[error("`{0}` names no host")]
    NoHost(String),
    #[error("`{0}` wants a transport that is not spoken here")]
    Transport(String),
    #[error("`{0}` says that it takes no calls")]
    NotOffered(String),
    #[error("`{0}` has no address")]
    NoAddress(String),
    #[error("DNS does not answer about `{0}`")]
    Unanswered(String),
}

#[derive(Debug)]
enum Stage {
    Naptr,
    /// Transports, and the names of their SRV records.
    Srv(Vec<(Transport, String)>),
    Hosts(Vec<Place>),
    Over(Result<Vec<Target>, Failure>),
}

/// A host whose addresses are searched.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    transport: Transport,
    host: String,
    port: u16,
}

// A name's owner may have many records; a call is tried at few.

/// Pairs of transport and SRV name. There are five transports.
const MOST_SERVICES: usize = 8;
/// Of all SRV records.
const MOST_PLACES: usize = 16;
/// Of one host and family.
const MOST_ADDRESSES: usize = 8;
/// At 32 s each over UDP, nobody waits for more.
const MOST_TARGETS: usize = 32;
/// RFC 1035 2.3.4.
const LONGEST_NAME: usize = 253;

impl Search {
    pub fn new(uri: &Uri, speaks: &Speaks, seed: u64) -> Self {
        let mut search = Self {
            speaks: speaks.clone(),
            is_secure: uri.scheme == Scheme::Sips,
            name: String::new(),
            port: uri.port,
            chosen: None,
            dice: Dice::new(seed),
            open: Vec::new(),
            answers: BTreeMap::new(),
            stage: Stage::Naptr,
        };
        if let Err(failure) = search.begin(uri) {
            search.stage = Stage::Over(Err(failure));
        }
        search
    }

    pub fn step(&self) -> Step {
        match &self.stage {
            Stage::Over(Ok(targets)) => Step::Found(targets.clone()),
            Stage::Over(Err(failure)) => Step::Failed(failure.clone()),
            Stage::Naptr | Stage::Srv(_) | Stage::Hosts(_) => Step::Ask(self.open.clone()),
        }
    }

    /// What was not asked changes nothing.
    pub fn answer(&mut self, question: &Question, answer: Answer) {
        let Some(at) = self.open.iter().position(|open| open == question) else { return };
        let question = self.open.swap_remove(at);
        self.answers.insert(question, answer);
        while self.open.is_empty() && !matches!(self.stage, Stage::Over(_)) {
            self.advance();
        }
    }

    /// 4.1 and 4.2, as far as they go without DNS.
    fn begin(&mut self, uri: &Uri) -> Result<(), Failure> {
        let text = || uri.as_str().chars().take(128).collect::<String>();
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(Failure::NoHost(text()));
        }
        let maddr = uri.params.get("maddr").map(|maddr| match maddr.trim_matches(['[', ']']).parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(maddr.to_ascii_lowercase()),
        });
        let host = maddr.or_else(|| uri.host.clone()).ok_or_else(|| Failure::NoHost(text()))?;
        if let Some(named) = uri.transport() {
            let transport = self.named(&named).filter(|transport| self.speaks.transports.contains(transport));
            self.chosen = Some(transport.ok_or_else(|| Failure::Transport(text()))?);
        }
        let default = self.default_transport().ok_or_else(|| Failure::Transport(text()))?;
        match host {
            Host::Address(address) => {
                let family = if address.to_canonical().is_ipv4() { Family::V4 } else { Family::V6 };
                if !self.speaks.families.contains(&family) {
                    return Err(Failure::NoAddress(text()));
                }
                let address = SocketAddr::new(address, self.port.unwrap_or(default_port(default)));
                self.stage = Stage::Over(Ok(vec![Target { transport: default, address }]));
            }
            Host::Name(name) => {
                self.name = read_name(&name).ok_or_else(|| Failure::NoHost(text()))?;
                match (self.port, self.chosen) {
                    (Some(port), _) => self.search_hosts(vec![self.place(default, port)]),
                    (None, Some(transport)) => self.search_services(vec![(transport, self.service(transport))]),
                    (None, None) => self.open.push(Question::Naptr(self.name.clone())),
                }
            }
        }
        Ok(())
    }

    fn advance(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Naptr) {
            Stage::Naptr => {
                let mut services = self.naptr_services();
                if services.is_empty() {
                    services = self.acceptable().map(|transport| (transport, self.service(transport))).collect();
                }
                self.search_services(services);
            }
            Stage::Srv(services) => match self.srv_places(&services) {
                Ok(places) if places.is_empty() => {
                    // 4.2: no SRV records: the addresses of the name itself.
                    let transport = self.default_transport().unwrap_or(services[0].0);
                    self.search_hosts(vec![self.place(transport, default_port(transport))]);
                }
                Ok(places) => self.search_hosts(places),
                Err(failure) => self.stage = Stage::Over(Err(failure)),
            },
            Stage::Hosts(places) => self.stage = Stage::Over(self.targets(&places)),
            over @ Stage::Over(_) => self.stage = over,
        }
    }

    fn search_services(&mut self, mut services: Vec<(Transport, String)>) {
        services.truncate(MOST_SERVICES);
        let names: BTreeSet<_> = services.iter().map(|(_, name)| name.clone()).collect();
        self.open.extend(names.into_iter().map(Question::Srv));
        self.stage = Stage::Srv(services);
    }

    fn search_hosts(&mut self, places: Vec<Place>) {
        let mut questions = BTreeSet::new();
        for place in places.iter().filter(|place| place.host.parse::<IpAddr>().is_err()) {
            questions.extend(self.speaks.families.iter().map(|family| family.question(&place.host)));
        }
        self.open.extend(questions);
        self.stage = Stage::Hosts(places);
    }

    /// The transports that NAPTR records name, best first (4.1).
    fn naptr_services(&self) -> Vec<(Transport, String)> {
        let mut found = Vec::new();
        for record in self.records(&Question::Naptr(self.name.clone())) {
            let Record::Naptr { order, preference, flags, service, replacement } = record else { continue };
            let transport = match service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                // RFC 7118 9.
                "SIP+D2W" => Transport::Ws,
                "SIPS+D2W" => Transport::Wss,
                _ => continue,
            };
            let is_good = flags.eq_ignore_ascii_case("s") && self.acceptable().any(|one| one == transport);
            if let Some(name) = read_name(replacement).filter(|_| is_good) {
                found.push(((*order, *preference), (transport, name)));
            }
        }
        found.sort_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, service)| service).collect()
    }

    /// The hosts that SRV records name, service by service (RFC 2782). An error when a service is
    /// said not to be there, and no other one is.
    fn srv_places(&mut self, services: &[(Transport, String)]) -> Result<Vec<Place>, Failure> {
        let (mut places, mut is_denied) = (Vec::new(), false);
        for (transport, name) in services {
            let mut records = Vec::new();
            for record in self.records(&Question::Srv(name.clone())) {
                let Record::Srv { priority, weight, port, target } = record else { continue };
                // A target of the root says: decidedly not here.
                if matches!(target.as_str(), "." | "") {
                    is_denied = true;
                } else if let Some(host) = read_name(target).filter(|_| *port != 0) {
                    records.push((*priority, *weight, Place { transport: *transport, host, port: *port }));
                }
            }
            places.extend(order::by_priority_and_weight(records, &mut self.dice));
        }
        if places.is_empty() && is_denied {
            return Err(Failure::NotOffered(self.name.clone()));
        }
        places.truncate(MOST_PLACES);
        Ok(places)
    }

    fn targets(&self, places: &[Place]) -> Result<Vec<Target>, Failure> {
        let mut targets: Vec<Target> = Vec::new();
        for place in places {
            let mut add = |address: IpAddr| {
                let target = Target { transport: place.transport, address: SocketAddr::new(address, place.port) };
                if targets.len() < MOST_TARGETS && !targets.contains(&target) {
                    targets.push(target);
                }
            };
            if let Ok(address) = place.host.parse() {
                add(address);
                continue;
            }
            for family in &self.speaks.families {
                let addresses = self.records(&family.question(&place.host)).iter().filter_map(|record| match record {
                    Record::Address(address) if address.is_ipv4() == (*family == Family::V4) => Some(*address),
                    _ => None,
                });
                addresses.take(MOST_ADDRESSES).for_each(&mut add);
            }
        }
        if !targets.is_empty() {
            return Ok(targets);
        }
        let is_silent = self.answers.values().any(|answer| *answer == Answer::Silence);
        let name = self.name.clone();
        Err(if is_silent { Failure::Unanswered(name) } else { Failure::NoAddress(name) })
    }

    fn records(&self, question: &Question) -> &[Record] {
        match self.answers.get(question) {
            Some(Answer::Records(records)) => records,
            Some(Answer::Silence) | None => &[],
        }
    }

    /// What may be spoken with this URI.
    fn acceptable(&self) -> impl Iterator<Item = Transport> {
        let is_secure = |transport| matches!(transport, Transport::Tls | Transport::Wss);
        self.speaks.transports.iter().copied().filter(move |&transport| !self.is_secure || is_secure(transport))
    }

    /// 4.1: UDP, or TLS over TCP where it must be secure; where these are not spoken, what is.
    fn default_transport(&self) -> Option<Transport> {
        let usual = if self.is_secure { Transport::Tls } else { Transport::Udp };
        let mut acceptable = self.acceptable().collect::<Vec<_>>().into_iter();
        self.chosen.or_else(|| acceptable.clone().find(|one| *one == usual).or_else(|| acceptable.next()))
    }

    /// A `transport` parameter. With `sips:`, TCP means TLS over it (RFC 3261 26.2.2).
    fn named(&self, name: &str) -> Option<Transport> {
        Some(match (name, self.is_secure) {
            ("udp", false) => Transport::Udp,
            ("tcp", false) => Transport::Tcp,
            ("tls", _) | ("tcp", true) => Transport::Tls,
            ("ws", false) => Transport::Ws,
            ("wss", _) | ("ws", true) => Transport::Wss,
            _ => return None,
        })
    }

    fn service(&self, transport: Transport) -> String {
        let service = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws => "_sip._ws",
            Transport::Wss => "_sips._ws",
        };
        format!("{service}.{}", self.name)
    }

    fn place(&self, transport: Transport, port: u16) -> Place {
        Place { transport, host: self.name.clone(), port }
    }
}

impl Family {
    fn question(self, host: &str) -> Question {
        match self {
            Self::V4 => Question::V4(host.to_owned()),
            Self::V6 => Question::V6(host.to_owned()),
        }
    }
}

impl Default for Speaks {
    /// IPv4 first: over UDP a family that leads nowhere costs 32 s.
    fn default() -> Self {
        Self {
            transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
            families: vec![Family::V4, Family::V6],
        }
    }
}

fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5_060,
        Transport::Tls => 5_061,
        // RFC 7118 9.
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

fn read_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // Some write an IPv6 address where a name belongs.
    let is_good = name.len() <= LONGEST_NAME && name.split('.').all(is_label) || name.parse::<IpAddr>().is_ok();
    is_good.then_some(name)
}

#[cfg(test)]
mod tests;
