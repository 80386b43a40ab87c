//! Names asked of DNS. What is remembered of the answers, and for how long, is the business of
//! [`Cache`]; here are the servers, the clock, and how many may ask at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use callbox_sip::locate::{Answer, Cache, Question, Record};
use futures_util::FutureExt;
use futures_util::future::Shared;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use metrics::counter;
use tokio::sync::oneshot;

use crate::Config;

/// Lives on the signalling thread. Its answers come by and by; nobody waits but who asked.
pub(crate) struct Names {
    zero: Instant,
    resolver: Option<TokioResolver>,
    cache: RefCell<Cache>,
    /// Whoever asks the same meanwhile waits for the same answer.
    asked: RefCell<BTreeMap<Question, Shared<oneshot::Receiver<Answer>>>>,
    within: Duration,
    most: usize,
}

impl Names {
    pub(crate) fn new(config: &Config) -> Self {
        let resolver = resolver(&config.dns, config.dns_within)
            .inspect_err(|error| tracing::warn!(error, "no name can be resolved: only addresses can be called"));
        Self {
            zero: Instant::now(),
            resolver: resolver.ok(),
            cache: RefCell::default(),
            asked: RefCell::default(),
            within: config.dns_within,
            most: config.dns_questions,
        }
    }

    pub(crate) async fn ask(self: &Rc<Self>, question: &Question) -> Answer {
        if let Some(known) = self.cache.borrow_mut().look(self.zero.elapsed(), question) {
            return known;
        }
        match self.begin(question) {
            Some(asked) => asked.await.unwrap_or(Answer::Silence),
            None => Answer::Silence,
        }
    }

    fn begin(self: &Rc<Self>, question: &Question) -> Option<Shared<oneshot::Receiver<Answer>>> {
        let mut all = self.asked.borrow_mut();
        if let Some(asked) = all.get(question) {
            return Some(asked.clone());
        }
        let resolver = self.resolver.clone()?;
        if all.len() >= self.most {
            counter!("sip_dns_total", "result" => "refused").increment(1);
            return None;
        }
        let (tell, told) = oneshot::channel();
        let told = told.shared();
        all.insert(question.clone(), told.clone());
        let (names, question) = (self.clone(), question.clone());
        // It goes on when nobody waits any more: the next who asks has the answer.
        tokio::task::spawn_local(async move {
            let answer = names.look_up(&resolver, &question).await;
            names.asked.borrow_mut().remove(&question);
            let _ = tell.send(answer);
        });
        Some(told)
    }

    async fn look_up(&self, resolver: &TokioResolver, question: &Question) -> Answer {
        let (name, kind) = match question {
            Question::Naptr(name) => (name, RecordType::NAPTR),
            Question::Srv(name) => (name, RecordType::SRV),
            Question::V4(name) => (name, RecordType::A),
            Question::V6(name) => (name, RecordType::AAAA),
        };
        // With its last dot: a SIP domain is whole, whatever this machine's search list says.
        let looked_up = tokio::time::timeout(self.within, resolver.lookup(format!("{name}."), kind)).await;
        let (learned, label) = match looked_up {
            Ok(Ok(lookup)) => (Some(read(&lookup, kind)), "answered"),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
                let ttl = Duration::from_secs(none.negative_ttl.unwrap_or_default().into());
                (Some((Vec::new(), ttl)), "nothing")
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "DNS");
                (None, "failed")
            }
            Err(_) => (None, "timeout"),
        };
        counter!("sip_dns_total", "result" => label).increment(1);
        let (now, mut cache) = (self.zero.elapsed(), self.cache.borrow_mut());
        match learned {
            Some((records, ttl)) => cache.learned(now, question, records, ttl),
            None => cache.failed(now, question),
        }
    }
}

/// The records of the kind that was asked for, and for how long they are true.
fn read(lookup: &Lookup, kind: RecordType) -> (Vec<Record>, Duration) {
    let of_kind = lookup.answers().iter().filter(|record| record.record_type() == kind);
    let records = of_kind.filter_map(|record| match &record.data {
        RData::A(address) => Some(Record::Address(address.0.into())),
        RData::AAAA(address) => Some(Record::Address(address.0.into())),
        RData::SRV(srv) => Some(Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: written(&srv.target),
        }),
        RData::NAPTR(naptr) => Some(Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
            service: String::from_utf8_lossy(&naptr.services).into_owned(),
            replacement: written(&naptr.replacement),
        }),
        _ => None,
    });
    (records.collect(), lookup.valid_until().saturating_duration_since(Instant::now()))
}

/// The root stays a dot: it says that there is no service.
fn written(name: &Name) -> String {
    name.to_ascii()
}

fn resolver(servers: &[SocketAddr], within: Duration) -> Result<TokioResolver, String> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf: {error}"))?
    } else {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.attempts = ATTEMPTS;
    options.timeout = within / (ATTEMPTS as u32 + 1);
    // What is remembered is remembered here, for longer than it is true.
    options.cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

/// A question, and its repetition.
const ATTEMPTS: usize = 2;
