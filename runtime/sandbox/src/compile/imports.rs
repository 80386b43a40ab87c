//! What a component asks for, function by function, against the contract.
//!
//! An interface is imported for its types too, so names of interfaces alone say nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldItem, WorldKey};

use crate::UploadRefused;

/// The contract's functions that `component` imports, as `interface.function`.
pub(super) fn check(component: &[u8]) -> Result<Vec<String>, UploadRefused> {
    let decoded = wit_component::decode(component)
        .map_err(|error| UploadRefused::new("invalid-wasm", format!("its types cannot be read: {error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(UploadRefused::new("wrong-world", "a package of WIT, with no code in it"));
    };
    let world = &resolve.worlds[world];
    let mut known = BTreeSet::new();
    let mut unknown = Vec::new();
    for (key, item) in &world.imports {
        match item {
            WorldItem::Interface { id, .. } => {
                let name = match key {
                    WorldKey::Name(name) => name.clone(),
                    WorldKey::Interface(_) => resolve.id_of(*id).unwrap_or_default(),
                };
                for function in resolve.interfaces[*id].functions.keys() {
                    match place(&name, function) {
                        Some(Place::Contract(short)) => {
                            known.insert(format!("{short}.{function}"));
                        }
                        Some(Place::Wasi) => {}
                        None => unknown.push(format!("{name}#{function}")),
                    }
                }
            }
            WorldItem::Function(function) => unknown.push(function.name.clone()),
            WorldItem::Type { .. } => {}
        }
    }
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(NAMED);
        unknown.truncate(NAMED);
        let mut detail = format!("not in the contract: {}", unknown.join(", "));
        if more > 0 {
            detail.push_str(&format!(", and {more} more"));
        }
        return Err(UploadRefused::new("unknown-import", detail));
    }
    let handles = world.exports.iter().any(|(key, item)| {
        matches!((key, item), (WorldKey::Name(name), WorldItem::Function(function))
            if name == "handle" && function.params.len() == 1 && function.result.is_some())
    });
    if !handles {
        let detail =
            "it does not export `handle: func(info: call-info) -> result<_, step-error>` of world call-handler";
        return Err(UploadRefused::new("wrong-world", detail));
    }
    Ok(known.into_iter().collect())
}

enum Place<'a> {
    Contract(&'a str),
    Wasi,
}

fn place<'a>(interface: &'a str, function: &str) -> Option<Place<'a>> {
    if let Some(short) = interface.strip_prefix(PACKAGE).and_then(|rest| rest.strip_suffix(VERSION)) {
        return contract().get(short)?.contains(function).then_some(Place::Contract(short));
    }
    let (name, version) = interface.split_once('@')?;
    (version.starts_with("0.2.") && WASI.contains(&name)).then_some(Place::Wasi)
}

/// Interface to functions, read from the contract itself.
fn contract() -> &'static BTreeMap<String, BTreeSet<String>> {
    static CONTRACT: OnceLock<BTreeMap<String, BTreeSet<String>>> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut resolve = Resolve::default();
        let text = FILES.map(|file| file.replace(HEAD, "")).concat();
        match resolve.push_str("contract.wit", &format!("{HEAD}\n{text}")) {
            Ok(_) => {}
            // The same files made the bindings when this was built; a test reads them too.
            Err(error) => {
                tracing::error!(%error, "the contract cannot be read");
                return BTreeMap::new();
            }
        }
        resolve
            .interfaces
            .iter()
            .filter_map(|(_, interface)| {
                Some((interface.name.clone()?, interface.functions.keys().cloned().collect::<BTreeSet<_>>()))
            })
            .collect()
    })
}

const PACKAGE: &str = "callbox:voice/";
const VERSION: &str = "@0.1.0";
const HEAD: &str = "package callbox:voice@0.1.0;";
const FILES: [&str; 7] = [
    include_str!("../../../../wit/call.wit"),
    include_str!("../../../../wit/events.wit"),
    include_str!("../../../../wit/handover.wit"),
    include_str!("../../../../wit/media.wit"),
    include_str!("../../../../wit/platform.wit"),
    include_str!("../../../../wit/types.wit"),
    include_str!("../../../../wit/world.wit"),
];
/// Of the unknown ones; a hostile module may have many.
const NAMED: usize = 20;

/// WASI 0.2 as far as it is linked.
const WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_read_whole() {
        let contract = contract();
        assert!(contract["call"].contains("answer") && contract["media"].contains("gather"));
        assert!(contract["events"].contains("next") && contract["kv"].contains("put"));
        assert!(contract["call"].contains("send-digits") && contract["call"].len() == 17, "{:?}", contract["call"]);
        assert!(contract["handover"].contains("checkpoint") && contract["ambient"].contains("random"));
    }
}
