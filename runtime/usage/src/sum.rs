//! Runs added up, and two sums held against each other.

use std::collections::{BTreeMap, BTreeSet};

use callbox_model::{ApplicationId, CallId, ModuleId, Run, RunUsage, TenantId, UsageRow};

/// One row for each version of a module in each application, in a fixed order. What a store's
/// sums must be equal to.
pub fn sum(runs: &[Run]) -> Vec<UsageRow> {
    let mut rows: BTreeMap<Key<'_>, (UsageRow, BTreeSet<CallId>)> = BTreeMap::new();
    for run in runs {
        let key = (run.tenant, run.application, run.module, run.module_name.as_str(), run.module_version);
        let (row, calls) = rows.entry(key).or_insert_with(|| {
            let row = UsageRow {
                tenant: run.tenant,
                application: Some(run.application),
                module: run.module,
                module_name: Some(run.module_name.clone()),
                module_version: Some(run.module_version),
                calls: 0,
                runs: 0,
                faults: 0,
                usage: RunUsage::default(),
            };
            (row, BTreeSet::new())
        });
        calls.insert(run.call);
        row.calls = calls.len() as u64;
        row.runs += 1;
        row.faults += u64::from(run.end.as_ref().is_some_and(|end| end.fault.is_some()));
        merge(&mut row.usage, &run.usage);
    }
    rows.into_values().map(|(row, _)| row).collect()
}

/// Adds one to the other; the peak is the higher of both.
pub fn merge(total: &mut RunUsage, more: &RunUsage) {
    // Taken apart, so that a new figure is not forgotten here.
    let RunUsage {
        holding_us,
        parked_us,
        connected_us,
        cpu_ns,
        peak_memory_bytes,
        memory_byte_seconds,
        host_calls,
        frames_sent,
        frames_received,
    } = more;
    let add = |total: &mut u64, more: &u64| *total = total.saturating_add(*more);
    add(&mut total.holding_us, holding_us);
    add(&mut total.parked_us, parked_us);
    add(&mut total.connected_us, connected_us);
    add(&mut total.cpu_ns, cpu_ns);
    total.peak_memory_bytes = total.peak_memory_bytes.max(*peak_memory_bytes);
    add(&mut total.memory_byte_seconds, memory_byte_seconds);
    for (name, count) in host_calls {
        add(total.host_calls.entry(name.clone()).or_default(), count);
    }
    add(&mut total.frames_sent, frames_sent);
    add(&mut total.frames_received, frames_received);
}

/// A row that two sums do not agree on.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub left: Option<UsageRow>,
    pub right: Option<UsageRow>,
}

/// Where two sums differ, whatever the order of their rows. Empty when they are equal.
pub fn compare(left: &[UsageRow], right: &[UsageRow]) -> Vec<Difference> {
    let mut pairs: BTreeMap<RowKey<'_>, (Option<&UsageRow>, Option<&UsageRow>)> = BTreeMap::new();
    for row in left {
        pairs.entry(row_key(row)).or_default().0 = Some(row);
    }
    for row in right {
        pairs.entry(row_key(row)).or_default().1 = Some(row);
    }
    pairs
        .into_values()
        .filter(|(left, right)| left != right)
        .map(|(left, right)| Difference { left: left.cloned(), right: right.cloned() })
        .collect()
}

type Key<'r> = (TenantId, ApplicationId, Option<ModuleId>, &'r str, u32);
type RowKey<'r> = (TenantId, Option<ApplicationId>, Option<ModuleId>, Option<&'r str>, Option<u32>);

fn row_key(row: &UsageRow) -> RowKey<'_> {
    (row.tenant, row.application, row.module, row.module_name.as_deref(), row.module_version)
}
