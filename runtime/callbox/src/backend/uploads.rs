//! The codes by which an upload is refused, for the dictionary of errors.

/// Code, status, title, what it means, what to do.
pub(super) const UPLOADS: &[(&str, u16, &str, &str, &str)] = &[
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
        "feature-off",
        422,
        "Feature not offered",
        "It uses a WebAssembly proposal that is off: threads, garbage collection, exceptions, async and 64-bit memory.",
        "Build it without; the detail names the place.",
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
        "too-complex",
        422,
        "Too complex to compile",
        "It has more types, imports, exports or nested parts than a compiler in its right mind is asked to read.",
        "Leave out what is not used; the detail says what there is too much of.",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use callbox_sandbox::UploadRefused;

    use super::UPLOADS;

    #[test]
    fn every_refusal_of_the_sandbox_is_explained() {
        let explained: BTreeSet<_> = UPLOADS.iter().map(|row| row.0).collect();
        assert_eq!(explained, UploadRefused::CODES.iter().copied().collect());
        assert_eq!(explained.len(), UPLOADS.len(), "each once");
    }
}
