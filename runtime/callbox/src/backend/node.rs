//! The node itself: what it is, whether it is well, and the codes that only it knows.

use callbox_api::async_trait;
use callbox_api::backend::{Check, CheckState, DictionaryEntry, Listener, Node, NodeInfo};

use super::Backend;
use super::uploads::UPLOADS;

#[async_trait]
impl Node for Backend {
    fn node(&self) -> NodeInfo {
        let sip = self.parts.signal.listening().iter().map(|(transport, address)| Listener {
            protocol: format!("sip/{}", transport.name().to_ascii_lowercase()),
            address: *address,
        });
        let http = Listener { protocol: "http".to_owned(), address: self.parts.api };
        NodeInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.parts.clock.at().as_micros() / 1_000_000,
            listeners: sip.chain([http]).collect(),
        }
    }

    async fn checks(&self) -> Vec<Check> {
        let check = |name: &str, failed: Option<String>| Check {
            name: name.to_owned(),
            state: failed.map_or(CheckState::Passed, CheckState::Failed),
        };
        let store = self.parts.store.check().await.err().map(|error| error.to_string());
        let writer = self.parts.writer.health().failing;
        let full = (self.parts.writer.load() >= 0.5).then(|| "too much waits to be written".to_owned());
        let lanes = self.parts.lanes.all().iter().any(crate::lane::Inbox::is_half_full);
        let lanes = lanes.then(|| "a lane does not keep up".to_owned());
        let stopping = self.parts.admission.is_closed().then(|| "the node is stopping".to_owned());
        vec![check("store", store), check("ledger", writer.or(full)), check("lanes", lanes), check("calls", stopping)]
    }

    fn dictionary(&self) -> Vec<DictionaryEntry> {
        let uploads = UPLOADS.iter().map(|&(code, status, title, means, remedy)| DictionaryEntry {
            code,
            title,
            means,
            remedy,
            status,
        });
        let faults = callbox_model::FaultCode::ALL.iter().map(|fault| DictionaryEntry {
            code: fault.code(),
            title: fault.title(),
            means: fault.means(),
            remedy: fault.remedy(),
            status: 422,
        });
        // A module that cannot be started is refused with the code it would fall with.
        faults.chain(uploads).collect()
    }
}
