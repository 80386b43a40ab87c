//! libFuzzer over one of the targets of `tests/src/fuzz.rs`: `CALLBOX_FUZZ_TARGET` says which.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../src/fuzz.rs"]
mod targets;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("CALLBOX_FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("CALLBOX_FUZZ_TARGET is `{name}`, which is no target")).1
});

fuzz_target!(|bytes: &[u8]| (*TARGET)(bytes));
