//! How many instances this machine can hold. Past the kernel's limits nothing fails cleanly:
//! without a free mapping even `malloc` fails, and the process dies with every call in it.

use callbox_model::Limits;

use crate::engine::{MEMORY_GUARD_BYTES, MEMORY_RESERVATION_BYTES, SPARE_STACKS};

/// What was found at start. Each warning names the setting to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub instances_wanted: u32,
    pub instances: u32,
    /// Whether the kernel can tell which pages a guest touched (Linux 6.7 and later).
    pub pagemap_scan: bool,
    pub warnings: Vec<String>,
}

/// What the kernel allows this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    pub mappings: u64,
    pub addresses: u64,
    pub files: u64,
}

impl Kernel {
    pub(crate) fn read() -> Self {
        let mappings = std::fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(DEFAULT_MAPPINGS);
        let limit = |resource| rustix::process::getrlimit(resource).current.unwrap_or(u64::MAX);
        Self {
            mappings,
            addresses: limit(rustix::process::Resource::As).min(USER_ADDRESSES),
            files: limit(rustix::process::Resource::Nofile),
        }
    }
}

pub(crate) fn fit(limits: &Limits, kernel: Kernel, pagemap_scan: bool) -> Report {
    let wanted = limits.instances;
    let mut instances = wanted;
    let mut warnings = Vec::new();

    // Two for each stack of the pool, up to six for a live guest, and the rest of the process.
    let by_mappings = kernel.mappings.saturating_sub(OTHER_MAPPINGS + 2 * u64::from(SPARE_STACKS)) / 8;
    if by_mappings < u64::from(instances) {
        let needed = u64::from(wanted) * 8 + OTHER_MAPPINGS + 2 * u64::from(SPARE_STACKS);
        instances = by_mappings as u32;
        warnings.push(format!(
            "room for {instances} guests instead of {wanted}: vm.max_map_count is {}; raise it with \
             `sysctl -w vm.max_map_count=1048576` (at least {needed})",
            kernel.mappings
        ));
    }

    let slot = (MEMORY_RESERVATION_BYTES + MEMORY_GUARD_BYTES) * u64::from(limits.memories.max(1));
    let by_addresses = kernel.addresses.saturating_sub(OTHER_ADDRESSES) / slot;
    if by_addresses < u64::from(instances) {
        instances = by_addresses as u32;
        warnings.push(format!(
            "room for {instances} guests instead of {wanted}: the process may use {} GiB of addresses; raise RLIMIT_AS \
             (`ulimit -v unlimited`), or lower limits.instances",
            kernel.addresses >> 30
        ));
    }

    let files = u64::from(instances) * 2 + OTHER_FILES;
    if kernel.files < files {
        warnings.push(format!(
            "{} open files are allowed, and {instances} calls with their sockets may need {files}: raise RLIMIT_NOFILE \
             (`LimitNOFILE=` of the service, or `ulimit -n`)",
            kernel.files
        ));
    }
    Report { instances_wanted: wanted, instances, pagemap_scan, warnings }
}

const DEFAULT_MAPPINGS: u64 = 65_530;
/// Libraries, heaps, threads, compiled modules.
const OTHER_MAPPINGS: u64 = 5_000;
/// Of 128 TiB, what is left to a pool; 81 TiB were seen to work, 157 not.
const USER_ADDRESSES: u64 = 100 << 40;
const OTHER_ADDRESSES: u64 = 1 << 30;
const OTHER_FILES: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Kernel = Kernel { mappings: 1_048_576, addresses: USER_ADDRESSES, files: 1 << 20 };

    #[test]
    fn what_fits_is_taken_without_a_word() {
        let report = fit(&Limits::default(), PLENTY, true);
        assert_eq!((report.instances, report.warnings.len()), (10_000, 0));
    }

    #[test]
    fn too_few_mappings_shrink_the_pool_and_name_the_sysctl() {
        let report = fit(&Limits::default(), Kernel { mappings: 65_530, ..PLENTY }, true);
        assert!(report.instances < 8_000 && report.instances > 7_000);
        assert!(report.warnings[0].contains("sysctl -w vm.max_map_count=1048576"));
    }

    #[test]
    fn too_few_addresses_or_files_are_named() {
        let report = fit(&Limits::default(), Kernel { addresses: 1 << 40, files: 1_024, ..PLENTY }, true);
        assert!(report.instances < 200);
        assert!(report.warnings[0].contains("RLIMIT_AS") && report.warnings[1].contains("RLIMIT_NOFILE"));
    }
}
