//! What can be said of a module before it is compiled.

use std::panic::{AssertUnwindSafe, catch_unwind};

use callbox_model::Limits;
use wasmparser::{Encoding, FunctionBody, Operator, Parser, Payload, Validator, WasmFeatures};

use super::{imports, shape};
use crate::UploadRefused;

/// A component that may be compiled.
pub(crate) struct Admitted {
    pub(crate) component: Vec<u8>,
    /// Of the contract, as `interface.function`.
    pub(crate) imports: Vec<String>,
}

/// Size, validity, limits, contract, world, in this order.
pub(crate) fn admit(bytes: &[u8], limits: &Limits) -> Result<Admitted, UploadRefused> {
    if bytes.len() as u64 > limits.module_bytes {
        let detail = format!("{} bytes: at most {} are taken (module_bytes)", bytes.len(), limits.module_bytes);
        return Err(UploadRefused::new("too-large", detail));
    }
    if !Parser::is_component(bytes) && !Parser::is_core_wasm(bytes) {
        return Err(UploadRefused::new("not-wasm", "it does not begin as WebAssembly does (`\\0asm`)"));
    }
    shape::hold(bytes)?;
    validate(bytes)?;
    measure(bytes, limits)?;
    // These parse what a stranger made, and are no parsers of ours.
    guarded(|| {
        let component = if Parser::is_component(bytes) { bytes.to_vec() } else { componentize(bytes)? };
        let imports = imports::check(&component)?;
        Ok(Admitted { component, imports })
    })
}

fn validate(bytes: &[u8]) -> Result<(), UploadRefused> {
    let Err(error) = Validator::new_with_features(features()).validate_all(bytes) else { return Ok(()) };
    let detail = format!("{} (at offset {:#x})", error.message(), error.offset());
    // What all features together let through is only switched off here.
    let code = match Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => "feature-off",
        Err(_) => "invalid-wasm",
    };
    Err(UploadRefused::new(code, detail))
}

/// What the five languages' guests need, and nothing else.
fn features() -> WasmFeatures {
    WasmFeatures::WASM1
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

fn measure(bytes: &[u8], limits: &Limits) -> Result<(), UploadRefused> {
    let (mut functions, mut memories, mut tables, mut instances) = (0_u64, 0_u64, 0_u64, 0_u64);
    let invalid = |error: wasmparser::BinaryReaderError| {
        UploadRefused::new("invalid-wasm", format!("{} (at offset {:#x})", error.message(), error.offset()))
    };
    let over = |code, what: &str, count: u64, most: u64, offset: u64| {
        Err(UploadRefused::new(code, format!("{count} {what} at offset {offset:#x}: at most {most}")))
    };
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } => {}
            Payload::CodeSectionStart { count, range, .. } => {
                functions += u64::from(count);
                if functions > u64::from(limits.functions) {
                    return over(
                        "too-many-functions",
                        "functions",
                        functions,
                        limits.functions.into(),
                        range.start as u64,
                    );
                }
            }
            Payload::CodeSectionEntry(body) => measure_body(&body, limits).map_err(|refused| match refused {
                Ok(refused) => refused,
                Err(error) => invalid(error),
            })?,
            Payload::MemorySection(section) => {
                memories += u64::from(section.count());
                let offset = section.range().start as u64;
                if memories > u64::from(limits.memories) {
                    return over("too-many-memories", "memories", memories, limits.memories.into(), offset);
                }
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    let size = memory.initial.saturating_mul(64 << 10);
                    if size > limits.memory_bytes {
                        return over("memory-too-large", "bytes of memory at start", size, limits.memory_bytes, offset);
                    }
                }
            }
            Payload::TableSection(section) => {
                tables += u64::from(section.count());
                let offset = section.range().start as u64;
                if tables > u64::from(limits.tables) {
                    return over("too-many-tables", "tables", tables, limits.tables.into(), offset);
                }
                for table in section {
                    let size = table.map_err(invalid)?.ty.initial;
                    if size > limits.table_elements {
                        return over("table-too-large", "table elements at start", size, limits.table_elements, offset);
                    }
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let wasmparser::Instance::Instantiate { .. } = instance.map_err(invalid)? {
                        instances += 1;
                    }
                }
                if instances > u64::from(limits.core_instances) {
                    let (most, offset) = (limits.core_instances.into(), section.range().start as u64);
                    return over("too-many-instances", "core instances", instances, most, offset);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A compiler's tables grow with locals times blocks.
fn measure_body(
    body: &FunctionBody<'_>,
    limits: &Limits,
) -> Result<(), Result<UploadRefused, wasmparser::BinaryReaderError>> {
    let range = body.range();
    let length = (range.end - range.start) as u64;
    if length > u64::from(limits.function_body_bytes) {
        let most = limits.function_body_bytes;
        let detail = format!("a function of {length} bytes at offset {:#x}: at most {most}", range.start);
        return Err(Ok(UploadRefused::new("function-too-large", detail)));
    }
    let mut locals = 0_u64;
    for group in body.get_locals_reader().map_err(Err)? {
        locals += u64::from(group.map_err(Err)?.0);
    }
    let mut blocks = 1_u64;
    for operator in body.get_operators_reader().map_err(Err)? {
        match operator.map_err(Err)? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::Else => blocks += 1,
            Operator::BrIf { .. } => blocks += 1,
            Operator::BrTable { targets } => blocks += u64::from(targets.len()),
            _ => {}
        }
    }
    if locals.saturating_mul(blocks) > limits.function_locals_times_blocks {
        let most = limits.function_locals_times_blocks;
        let detail = format!(
            "a function with {locals} locals and {blocks} blocks at offset {:#x}: their product may be {most}",
            range.start
        );
        return Err(Ok(UploadRefused::new("function-too-complex", detail)));
    }
    Ok(())
}

fn componentize(core: &[u8]) -> Result<Vec<u8>, UploadRefused> {
    let described = Parser::new(0).parse_all(core).any(|payload| {
        matches!(payload, Ok(Payload::CustomSection(section)) if section.name().starts_with("component-type"))
    });
    if !described {
        let detail = "a core module without a `component-type` section: build it with the bindings of the contract, \
                      or upload the component";
        return Err(UploadRefused::new("wrong-world", detail));
    }
    wit_component::ComponentEncoder::default().module(core).and_then(|encoder| encoder.validate(true).encode()).map_err(
        |error| {
            let words = format!("{error:#}");
            let code = if words.contains("resolve import") { "unknown-import" } else { "wrong-world" };
            UploadRefused::new(code, words)
        },
    )
}

fn guarded<T>(look: impl FnOnce() -> Result<T, UploadRefused>) -> Result<T, UploadRefused> {
    catch_unwind(AssertUnwindSafe(look))
        .unwrap_or_else(|_| Err(UploadRefused::new("invalid-wasm", "its description of itself cannot be read")))
}
