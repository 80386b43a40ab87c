//! What the node reads: one TOML file, then the environment. Unknown keys are refused.
//!
//! `callbox.toml` beside this crate's manifest is the manual: every key with its default, unit and
//! reason. A test holds that it says exactly what [`Config::default`] does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use callbox_model::Limits;
use ipnet::IpNet;
use serde::Deserialize;
use thiserror::Error;

/// The manual, shown by `callbox serve --print-config`.
pub const MANUAL: &str = include_str!("../callbox.toml");

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub sip: Sip,
    pub egress: Egress,
    pub media: Media,
    pub voice: Voice,
    pub sandbox: Sandbox,
    pub store: Store,
    pub api: Api,
    pub limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    pub data_dir: PathBuf,
    pub ordinal: u16,
    pub lanes: usize,
    pub lane_queue: usize,
    pub drain_s: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    pub udp: Vec<SocketAddr>,
    pub tcp: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    pub ws: Vec<SocketAddr>,
    pub wss: Vec<SocketAddr>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_certificates: ClientCertificates,
    pub client_authorities: Option<PathBuf>,
    pub authorities: Option<PathBuf>,
    pub dns: Vec<SocketAddr>,
    pub advertised: Option<IpAddr>,
    pub allow: Allow,
    pub requests_per_s_per_source: u32,
}

/// Whether those who come over TLS show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    #[default]
    Off,
    Optional,
    Required,
}

/// Where calls that tenants begin may go, besides the public network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    pub networks: Vec<IpNet>,
    pub own: Vec<SocketAddr>,
}

/// Who may call in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    pub networks: Vec<IpNet>,
    pub numbers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    pub threads: usize,
    pub port_low: u16,
    pub port_high: u16,
    pub port_quarantine_s: u32,
    pub silence_s: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Voice {
    pub flite: Option<PathBuf>,
    pub espeak_ng: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    pub threads: usize,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    pub synchronous: Synchronous,
    pub queue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    Normal,
    Full,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    pub listen: SocketAddr,
    pub health_listen: SocketAddr,
    pub max_connections: usize,
    pub requests_per_s_per_key: u32,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot read the configuration {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration {path} is wrong: {source}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("the configuration is wrong: {key} {why}")]
    Value { key: &'static str, why: String },
    #[error("the configuration is wrong: limits.{name} is 0: no call could live by that (its default is {default})")]
    Zero { name: &'static str, default: String },
    #[error("the environment variable {name} is wrong: {why}")]
    Environment { name: &'static str, why: String },
}

impl Config {
    /// The file, if one is named, then the environment over it.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let mut config = match path {
            None => Self::default(),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
                toml::from_str(&text)
                    .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?
            }
        };
        config.read_environment(|name| std::env::var(name).ok())?;
        config.check()?;
        Ok(config)
    }

    fn read_environment(&mut self, read: impl Fn(&'static str) -> Option<String>) -> Result<(), Error> {
        fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(name: &'static str, text: &str) -> Result<T, Error> {
            text.parse().map_err(|why: T::Err| Error::Environment { name, why: format!("`{text}`: {why}") })
        }
        if let Some(path) = read("CALLBOX_DATA_DIR") {
            self.node.data_dir = path.into();
        }
        if let Some(address) = read("CALLBOX_ADVERTISED") {
            self.sip.advertised = Some(parsed("CALLBOX_ADVERTISED", &address)?);
        }
        if let Some(address) = read("CALLBOX_API_LISTEN") {
            self.api.listen = parsed("CALLBOX_API_LISTEN", &address)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |key, why: &str| Err(Error::Value { key, why: why.to_owned() });
        if self.sip.listeners().next().is_none() {
            return wrong("sip.udp, tcp, tls, ws and wss", "are all empty: nothing could call");
        }
        let is_secure = !self.sip.tls.is_empty() || !self.sip.wss.is_empty();
        if is_secure && (self.sip.certificate.is_none() || self.sip.key.is_none()) {
            return wrong("sip.certificate and sip.key", "are needed for sip.tls and sip.wss");
        }
        if self.sip.certificate.is_some() != self.sip.key.is_some() {
            return wrong("sip.certificate and sip.key", "go together");
        }
        if self.sip.client_certificates != ClientCertificates::Off && self.sip.client_authorities.is_none() {
            return wrong("sip.client_authorities", "is needed to tell a good client certificate from others");
        }
        if self.media.port_low < 1_024 {
            return wrong("media.port_low", "is below 1024: those ports are privileged");
        }
        if self.media.port_high < self.media.port_low || self.media.port_high - self.media.port_low < 3 {
            return wrong("media.port_high", "leaves no pair of ports above media.port_low");
        }
        if self.node.lane_queue < 64 {
            return wrong("node.lane_queue", "is below 64");
        }
        if self.node.lanes > 255 {
            return wrong("node.lanes", "is above 255");
        }
        if self.media.silence_s == 0 {
            return wrong("media.silence_s", "is 0: every call would be hung up as soon as it is answered");
        }
        if self.sip.requests_per_s_per_source == 0 {
            return wrong("sip.requests_per_s_per_source", "is 0: nobody could call");
        }
        if self.api.max_connections == 0 {
            return wrong("api.max_connections", "is 0: nobody could ask");
        }
        if self.api.requests_per_s_per_key == 0 {
            return wrong("api.requests_per_s_per_key", "is 0: nobody would be answered");
        }
        if self.sip.advertised.is_some_and(|address| address.is_unspecified()) {
            return wrong("sip.advertised", "is the unspecified address: phones could not send to it");
        }
        self.check_limits()
    }

    /// By their names, so that a new limit is looked at too.
    fn check_limits(&self) -> Result<(), Error> {
        let limits = serde_json::to_value(&self.limits).unwrap_or_default();
        let is_zero = |name: &str| limits[name].as_u64() == Some(0) && !MAY_BE_ZERO.contains(&name);
        match Limits::manual().into_iter().find(|(name, _, _)| is_zero(name)) {
            Some((name, default, _)) => Err(Error::Zero { name, default }),
            None => Ok(()),
        }
    }

    /// True while only this machine can call.
    pub fn is_loopback_only(&self) -> bool {
        self.sip.listeners().all(|(_, address)| address.ip().is_loopback())
    }
}

impl Sip {
    pub fn listeners(&self) -> impl Iterator<Item = (callbox_signal::Transport, SocketAddr)> {
        use callbox_signal::Transport::{Tcp, Tls, Udp, Ws, Wss};
        [(Udp, &self.udp), (Tcp, &self.tcp), (Tls, &self.tls), (Ws, &self.ws), (Wss, &self.wss)]
            .into_iter()
            .flat_map(|(transport, addresses)| addresses.iter().map(move |address| (transport, *address)))
    }

    pub fn tls(&self) -> callbox_signal::Tls {
        let identity = self.certificate.clone().zip(self.key.clone());
        let authorities = self.client_authorities.clone();
        callbox_signal::Tls {
            identity: identity.map(|(certificate, key)| callbox_signal::Identity { certificate, key }),
            clients: match (self.client_certificates, authorities) {
                (ClientCertificates::Optional, Some(authorities)) => callbox_signal::Clients::Optional { authorities },
                (ClientCertificates::Required, Some(authorities)) => callbox_signal::Clients::Required { authorities },
                _ => callbox_signal::Clients::NotAsked,
            },
            authorities: self.authorities.clone(),
        }
    }
}

/// Limits that switch something off: what is kept, written down or said, and time to spare.
const MAY_BE_ZERO: &[&str] = &[
    "host_calls_throttled_s",
    "handles",
    "log_lines_per_s",
    "checkpoint_bytes",
    "kv_value_bytes",
    "kv_keys",
    "kv_tenant_bytes",
    "uploads_per_hour",
    "grace_ms",
    "speech_characters",
    "asset_bytes",
    "tenant_asset_bytes",
];

impl Allow {
    pub fn admits(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.networks.iter().any(|network| network.contains(&source))
    }

    /// `numbers` empty: all that are bound.
    pub fn admits_number(&self, address: &str) -> bool {
        self.numbers.is_empty() || self.numbers.iter().any(|number| number == address)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { data_dir: "callbox-data".into(), ordinal: 0, lanes: 0, lane_queue: 65_536, drain_s: 30 }
    }
}

impl Default for Sip {
    fn default() -> Self {
        let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_060);
        Self {
            udp: vec![loopback],
            tcp: vec![loopback],
            tls: Vec::new(),
            ws: Vec::new(),
            wss: Vec::new(),
            certificate: None,
            key: None,
            client_certificates: ClientCertificates::Off,
            client_authorities: None,
            authorities: None,
            dns: Vec::new(),
            advertised: None,
            allow: Allow::default(),
            requests_per_s_per_source: 2_000,
        }
    }
}

impl Default for Allow {
    fn default() -> Self {
        let networks = ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect();
        Self { networks, numbers: Vec::new() }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self { threads: 0, port_low: 16_384, port_high: 32_767, port_quarantine_s: 30, silence_s: 30 }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { synchronous: Synchronous::Normal, queue: 65_536 }
    }
}

impl Default for Api {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: SocketAddr::new(loopback, 8_080),
            health_listen: SocketAddr::new(loopback, 9_090),
            max_connections: 1_024,
            requests_per_s_per_key: 200,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_says_what_the_defaults_are() {
        assert_eq!(toml::from_str::<Config>(MANUAL).unwrap(), Config::default());
        for (name, _, _) in Limits::manual() {
            assert!(MANUAL.contains(&format!("\n{name} = ")), "callbox.toml does not speak of limits.{name}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Config>("[sip]\nadvertise = \"10.0.0.1\"").unwrap_err().to_string();
        assert!(error.contains("unknown field `advertise`") && error.contains("advertised"), "{error}");
    }

    #[test]
    fn values_that_could_not_work_are_refused() {
        for (text, key) in [
            ("[sip]\nudp = []\ntcp = []", "sip.udp"),
            ("[media]\nport_low = 80", "media.port_low"),
            ("[media]\nport_low = 20000\nport_high = 20001", "media.port_high"),
            ("[sip]\ntls = [\"127.0.0.1:5061\"]", "sip.certificate"),
            ("[sip]\ncertificate = \"c.pem\"", "sip.key"),
            ("[sip]\nclient_certificates = \"required\"", "sip.client_authorities"),
            ("[media]\nsilence_s = 0", "media.silence_s is 0"),
            ("[sip]\nrequests_per_s_per_source = 0", "sip.requests_per_s_per_source is 0"),
            ("[api]\nmax_connections = 0", "api.max_connections is 0"),
            ("[api]\nrequests_per_s_per_key = 0", "api.requests_per_s_per_key is 0"),
            ("[limits]\ninstances = 0", "limits.instances is 0"),
            ("[sip]\nadvertised = \"0.0.0.0\"", "sip.advertised"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_limit_of_zero_is_refused_unless_it_switches_something_off() {
        let names: Vec<_> = Limits::manual().into_iter().map(|(name, _, _)| name).collect();
        for name in MAY_BE_ZERO {
            assert!(names.contains(name), "there is no limit `{name}`");
        }
        for name in names {
            let config = toml::from_str::<Config>(&format!("[limits]\n{name} = 0")).unwrap();
            match config.check() {
                Ok(()) => assert!(MAY_BE_ZERO.contains(&name), "limits.{name} = 0 is taken"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.contains(&format!("limits.{name} is 0")) && !MAY_BE_ZERO.contains(&name), "{said}");
                }
            }
        }
        for name in ["step_wall_ms", "step_cpu_ms", "faults_per_call", "tenant_calls"] {
            assert!(!MAY_BE_ZERO.contains(&name), "limits.{name} = 0 leaves no call alive");
        }
    }

    #[test]
    fn the_environment_stands_over_the_file() {
        let mut config = Config::default();
        config.read_environment(|name| (name == "CALLBOX_ADVERTISED").then(|| "192.0.2.7".to_owned())).unwrap();
        assert_eq!(config.sip.advertised, Some("192.0.2.7".parse().unwrap()));
        let error =
            config.read_environment(|name| (name == "CALLBOX_ADVERTISED").then(|| "here".to_owned())).unwrap_err();
        assert!(error.to_string().contains("CALLBOX_ADVERTISED"), "{error}");
    }

    #[test]
    fn loopback_alone_may_call_by_default() {
        let allow = Allow::default();
        assert!(allow.admits("127.9.9.9".parse().unwrap()));
        assert!(allow.admits("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!allow.admits("192.0.2.1".parse().unwrap()));
    }
}
