//! What all requests share.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use callbox_model::FaultCode;
use tokio::sync::{Semaphore, watch};

use crate::backend::{self, Backend};
use crate::config::Config;
use crate::finish::RequestIds;
use crate::problem::{Code, Problem, Result};
use crate::rates::Rates;
use crate::replays::Replays;
use crate::stream::Slots;
use crate::views::{ErrorEntry, ErrorKind};

#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) rates: Rates,
    pub(crate) replays: Arc<Replays>,
    /// Permits of uploads on their way in.
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) request_ids: RequestIds,
    /// True once the service stops.
    pub(crate) stopping: watch::Receiver<bool>,
    /// The OpenAPI document, made from the routes once they stand.
    pub(crate) document: OnceLock<Bytes>,
    dictionary: BTreeMap<&'static str, ErrorEntry>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(config: Config, backend: Arc<dyn Backend>, seed: u32, stopping: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Shared {
            rates: Rates::new(config.requests_per_s_per_key),
            replays: Arc::new(Replays::new(
                config.idempotency_ttl,
                config.idempotency_entries,
                config.idempotency_bytes,
            )),
            uploads: Arc::new(Semaphore::new(config.uploads)),
            slots: Arc::new(Slots::new(config.streams, config.streams_per_key)),
            request_ids: RequestIds::new(seed),
            stopping,
            document: OnceLock::new(),
            dictionary: dictionary(backend.as_ref()),
            config,
            backend,
        }))
    }

    /// What the backend answers, within the time it has.
    pub(crate) async fn asked<T>(&self, question: impl Future<Output = backend::Result<T>>) -> Result<T> {
        let time = self.config.answer_timeout;
        match tokio::time::timeout(time, question).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_) => {
                let seconds = time.as_secs_f64();
                Err(Problem::new(Code::Timeout, format!("the node did not answer within {seconds} s")))
            }
        }
    }

    /// A code that nobody listed is its own title.
    pub(crate) fn title<'a>(&'a self, code: &'a str) -> &'a str {
        self.dictionary.get(code).map_or(code, |entry| entry.title)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &ErrorEntry> {
        self.dictionary.values()
    }

    pub(crate) fn entry(&self, code: &str) -> Option<&ErrorEntry> {
        self.dictionary.get(code)
    }
}

/// The backend's own entries give way to those of the model and the API.
fn dictionary(backend: &dyn Backend) -> BTreeMap<&'static str, ErrorEntry> {
    let foreign = backend.dictionary().into_iter().map(|entry| ErrorEntry {
        code: entry.code,
        kind: ErrorKind::Problem,
        title: entry.title,
        means: entry.means,
        remedy: entry.remedy,
        blame: None,
        status: Some(entry.status),
    });
    let problems = Code::ALL.iter().map(|code| ErrorEntry {
        code: code.code(),
        kind: ErrorKind::Problem,
        title: code.title(),
        means: code.means(),
        remedy: code.remedy(),
        blame: None,
        status: Some(code.status().as_u16()),
    });
    let faults = FaultCode::ALL.iter().map(|fault| ErrorEntry {
        code: fault.code(),
        kind: ErrorKind::Fault,
        title: fault.title(),
        means: fault.means(),
        remedy: fault.remedy(),
        blame: Some(fault.blame().into()),
        status: None,
    });
    foreign.chain(problems).chain(faults).map(|entry| (entry.code, entry)).collect()
}
