//! The node itself: what it is, whether it is well, and the codes that only it knows.

use callbox_api::async_trait;
use callbox_api::backend::{Check, CheckState, DictionaryEntry, Listener, Node, NodeInfo};

use super::Backend;

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

/// Why an upload is refused.
const UPLOADS: &[(&str, u16, &str, &str, &str)] = &[
    (
        "not-wasm",
        422,
        "No WebAssembly",
        "The bytes do not begin as a module or a component does.",
        "Upload the `.wasm` file that the build made.",
    ),
    (
        "invalid-wasm",
        422,
        "Invalid WebAssembly",
        "The module does not validate.",
        "Build it again; the detail names the place.",
    ),
    (
        "wrong-world",
        422,
        "Wrong world",
        "It does not export what a call handler exports.",
        "Build it for the world `callbox:voice/call-handler`.",
    ),
    (
        "unknown-import",
        422,
        "Unknown import",
        "It imports what is not in the contract; the detail names it.",
        "Leave out what needs it: files, sockets, clocks of the system.",
    ),
    (
        "too-large",
        413,
        "Module too large",
        "The module has more bytes than `module_bytes`.",
        "Strip it; build for size.",
    ),
    (
        "function-too-large",
        422,
        "Function too large",
        "A function's body has more bytes than `function_body_bytes`.",
        "Split it, or build with less inlining.",
    ),
    (
        "function-too-complex",
        422,
        "Function too complex",
        "A function has more locals times blocks than `function_locals_times_blocks`.",
        "Split it.",
    ),
    (
        "too-many-functions",
        422,
        "Too many functions",
        "The module has more functions than `functions`.",
        "Leave out what is not used.",
    ),
    (
        "too-many-memories",
        422,
        "Too many memories",
        "More linear memories than `memories`.",
        "Build it with one memory.",
    ),
    ("too-many-tables", 422, "Too many tables", "More tables than `tables`.", "Build it with fewer tables."),
    (
        "too-many-instances",
        422,
        "Too many instances",
        "More core instances than `core_instances`.",
        "Compose fewer parts.",
    ),
    (
        "memory-too-large",
        422,
        "Memory too large",
        "Its first memory is larger than `memory_bytes`.",
        "Let it begin with less memory.",
    ),
    ("table-too-large", 422, "Table too large", "A table is larger than `table_elements`.", "Use a smaller table."),
    (
        "compile-limit",
        422,
        "Compiling took too much",
        "The compiler went over its CPU time, memory or time limit with this module.",
        "Build it smaller; look for huge generated functions.",
    ),
];
