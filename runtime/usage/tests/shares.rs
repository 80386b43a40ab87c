//! The limits that shares of CPU time are made of.

use std::time::Duration;

use callbox_model::{Instant, Limits, ModuleId, TenantId};
use callbox_usage::CpuShares;

const MS: u64 = 1_000_000;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// A tenth of a core: a second of it is used after ten, and then 10 ms wait for each that is used.
#[test]
fn a_module_waits_when_it_has_used_its_millicores() {
    let limits = Limits { module_cpu_millicores: 100, tenant_cpu_millicores: 10_000, ..Limits::default() };
    let mut shares = CpuShares::new(&limits);
    let (tenant, module, other) = (TenantId::from_u128(1), ModuleId::from_u128(1), ModuleId::from_u128(2));
    assert_eq!(shares.spend(at(0), tenant, module, 1_000 * MS), None);
    assert_eq!(shares.spend(at(0), tenant, module, 5 * MS), Some(Duration::from_millis(50)));
    assert_eq!(shares.spend(at(0), tenant, other, 1_000 * MS), None, "another module of the tenant has its own");
}

#[test]
fn a_tenant_waits_when_its_modules_have_used_its_millicores() {
    let limits = Limits { module_cpu_millicores: 10_000, tenant_cpu_millicores: 200, ..Limits::default() };
    let mut shares = CpuShares::new(&limits);
    let (tenant, other) = (TenantId::from_u128(1), TenantId::from_u128(2));
    assert_eq!(shares.spend(at(0), tenant, ModuleId::from_u128(1), 1_500 * MS), None);
    assert_eq!(shares.spend(at(0), tenant, ModuleId::from_u128(2), 500 * MS), None);
    assert_eq!(shares.spend(at(0), tenant, ModuleId::from_u128(3), 10 * MS), Some(Duration::from_millis(50)));
    assert_eq!(shares.spend(at(0), other, ModuleId::from_u128(4), 2_000 * MS), None, "another tenant has its own");
}
