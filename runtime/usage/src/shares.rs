//! CPU time: so much of a core for each tenant, and for each module.

use std::collections::BTreeMap;
use std::time::Duration;

use callbox_model::{Instant, Limits, ModuleId, TenantId};

use crate::TokenBucket;

/// A bucket of CPU nanoseconds for each tenant and module that used some lately. Nobody is asked
/// before the work: it is paid for afterwards, and whoever is in debt waits.
#[derive(Clone, Debug)]
pub struct CpuShares {
    tenant_ns_per_s: u64,
    module_ns_per_s: u64,
    tenants: BTreeMap<TenantId, TokenBucket>,
    modules: BTreeMap<ModuleId, TokenBucket>,
    swept: Instant,
}

impl CpuShares {
    pub fn new(limits: &Limits) -> Self {
        Self {
            tenant_ns_per_s: u64::from(limits.tenant_cpu_millicores) * NS_PER_MILLICORE,
            module_ns_per_s: u64::from(limits.module_cpu_millicores) * NS_PER_MILLICORE,
            tenants: BTreeMap::new(),
            modules: BTreeMap::new(),
            swept: Instant::default(),
        }
    }

    /// Pays for CPU time that was used. How long its guests wait before they run again.
    pub fn spend(&mut self, now: Instant, tenant: TenantId, module: ModuleId, cpu_ns: u64) -> Option<Duration> {
        self.sweep(now);
        let tenant = bucket(&mut self.tenants, tenant, now, self.tenant_ns_per_s).spend(now, cpu_ns);
        let module = bucket(&mut self.modules, module, now, self.module_ns_per_s).spend(now, cpu_ns);
        // `None` is less than any time.
        tenant.max(module)
    }

    /// How long guests of this module wait now, before they begin.
    pub fn wait(&mut self, now: Instant, tenant: TenantId, module: ModuleId) -> Option<Duration> {
        let tenant = self.tenants.get_mut(&tenant).and_then(|bucket| bucket.wait(now));
        let module = self.modules.get_mut(&module).and_then(|bucket| bucket.wait(now));
        tenant.max(module)
    }

    /// Buckets that are kept: of those that used some lately, so no more than run at once.
    pub fn len(&self) -> usize {
        self.tenants.len() + self.modules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.modules.is_empty()
    }

    /// Forgets what is full again. At most once in the time that filling takes.
    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) < BURST {
            return;
        }
        self.swept = now;
        self.tenants.retain(|_, bucket| !bucket.is_full(now));
        self.modules.retain(|_, bucket| !bucket.is_full(now));
    }
}

fn bucket<K: Ord>(buckets: &mut BTreeMap<K, TokenBucket>, key: K, now: Instant, ns_per_s: u64) -> &mut TokenBucket {
    let burst = ns_per_s.saturating_mul(BURST.as_secs());
    buckets.entry(key).or_insert_with(|| TokenBucket::new(now, ns_per_s, burst))
}

/// What may be used at once, in time at the rate.
const BURST: Duration = Duration::from_secs(10);
const NS_PER_MILLICORE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_module_has_a_quarter_of_a_core_after_its_burst() {
        let mut shares = CpuShares::new(&Limits::default());
        let (tenant, module) = (TenantId::from_u128(1), ModuleId::from_u128(1));
        // Ten seconds at a quarter of a core.
        assert_eq!(shares.spend(at(0), tenant, module, 2_500 * MS), None);
        assert_eq!(shares.spend(at(0), tenant, module, MS), Some(Duration::from_millis(4)));
        assert_eq!(shares.wait(at(3), tenant, module), Some(Duration::from_millis(1)));
        assert_eq!(shares.wait(at(4), tenant, module), None);
    }

    #[test]
    fn two_modules_share_their_tenants_half() {
        let mut shares = CpuShares::new(&Limits::default());
        let tenant = TenantId::from_u128(1);
        let modules: Vec<_> = (0..3).map(ModuleId::from_u128).collect();
        assert_eq!(shares.spend(at(0), tenant, modules[0], 2_400 * MS), None);
        assert_eq!(shares.spend(at(0), tenant, modules[1], 2_400 * MS), None);
        // The third has used nothing itself, but its tenant has.
        assert_eq!(shares.spend(at(0), tenant, modules[2], 300 * MS), Some(Duration::from_millis(200)));
        // And another tenant does not notice.
        assert_eq!(shares.spend(at(0), TenantId::from_u128(2), ModuleId::from_u128(9), 2_400 * MS), None);
    }

    #[test]
    fn the_idle_are_forgotten() {
        let mut shares = CpuShares::new(&Limits::default());
        for number in 0..1_000 {
            shares.spend(at(0), TenantId::from_u128(number), ModuleId::from_u128(number), MS);
        }
        assert_eq!(shares.len(), 2_000);
        // In debt for long: remembered until it is paid.
        let (debtor, module) = (TenantId::from_u128(7), ModuleId::from_u128(7));
        shares.spend(at(0), debtor, module, 10_000 * MS);
        shares.spend(at(15_000), TenantId::from_u128(5_000), ModuleId::from_u128(5_000), MS);
        assert_eq!(shares.len(), 4);
        assert!(shares.wait(at(15_000), debtor, module).is_some());
        shares.spend(at(100_000), TenantId::from_u128(5_000), ModuleId::from_u128(5_000), MS);
        assert_eq!(shares.len(), 2);
    }

    proptest! {
        /// A guest that waits whenever it is told to gets its share, and no more; forgetting
        /// buckets changes nothing.
        #[test]
        fn over_time_everyone_gets_the_share(
            slices in prop::collection::vec((1..200u64, 0..50u64), 100..400),
        ) {
            let limits = Limits::default();
            let mut shares = CpuShares::new(&limits);
            let (tenant, module) = (TenantId::from_u128(1), ModuleId::from_u128(1));
            let mut now = 0u64;
            let mut used = 0u64;
            for (cpu_ms, idle_ms) in slices {
                used += cpu_ms;
                now += cpu_ms + idle_ms;
                if let Some(wait) = shares.spend(at(now), tenant, module, cpu_ms * MS) {
                    now += u64::try_from(wait.as_millis()).unwrap() + 1;
                }
                let most = 2_500 + now / 4 + 200;
                prop_assert!(used <= most, "{used} ms used after {now} ms");
            }
        }
    }
}
