//! How large a component's description of itself may be. Looked at before anything is spent on it:
//! what reads descriptions takes more than linear time for some.

use wasmparser::{Parser, Payload};

use crate::UploadRefused;

/// Counts what stands there, without understanding it.
pub(super) fn hold(bytes: &[u8]) -> Result<(), UploadRefused> {
    let (mut depth, mut parts, mut items) = (0_u32, 0_u32, 0_u64);
    for payload in Parser::new(0).parse_all(bytes) {
        // What cannot be read is refused with better words by those who come next.
        let Ok(payload) = payload else { return Ok(()) };
        let count = match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                parts += 1;
                0
            }
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                0
            }
            Payload::TypeSection(section) => section.count(),
            Payload::ImportSection(section) => section.count(),
            Payload::ExportSection(section) => section.count(),
            Payload::ComponentTypeSection(section) => section.count(),
            Payload::CoreTypeSection(section) => section.count(),
            Payload::ComponentImportSection(section) => section.count(),
            Payload::ComponentExportSection(section) => section.count(),
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentCanonicalSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => section.count(),
            Payload::InstanceSection(section) => section.count(),
            _ => 0,
        };
        items += u64::from(count);
        let over =
            |what: &str, most: u64| Err(UploadRefused::new("too-complex", format!("it has more than {most} {what}")));
        if depth > DEPTH {
            return over("components in one another", DEPTH.into());
        }
        if parts > PARTS {
            return over("modules and components in it", PARTS.into());
        }
        if items > ITEMS {
            return over("types, imports, exports and aliases", ITEMS);
        }
    }
    Ok(())
}

/// Honest ones have three.
const DEPTH: u32 = 8;
/// Go and Python have some fifty.
const PARTS: u32 = 200;
/// The largest honest guest has some ten thousand.
const ITEMS: u64 = 200_000;
