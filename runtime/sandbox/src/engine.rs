//! How wasmtime is set up. One place, since a compiled module fits only the settings it was made with.

use callbox_model::Limits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::Error;

/// Settings that reach into the compiled code. The compiling process uses these alone: a pool
/// reserves terabytes of addresses and cannot be made under its limit.
pub(crate) fn base(stack_bytes: u64) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.concurrency_support(false);
    config.consume_fuel(false);
    config.epoch_interruption(true);
    let stack = usize::try_from(stack_bytes).unwrap_or(256 << 10);
    config.max_wasm_stack(stack);
    // What lies above the guest's share is for host functions.
    config.async_stack_size(stack + HOST_STACK_BYTES);
    config.async_stack_zeroing(false);
    config.memory_init_cow(true);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(MEMORY_GUARD_BYTES);
    config.guard_before_linear_memory(false);
    // Everything that none of the five languages' guests needs is off.
    config.wasm_relaxed_simd(false);
    config.wasm_simd(false);
    config.wasm_memory64(false);
    // The adapters that wasmtime fuses between components (QuickJS guests) have two memories; modules
    // with two of their own are refused at the door.
    config.wasm_multi_memory(true);
    config.wasm_tail_call(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_wide_arithmetic(false);
    config
}

/// The same, with the pool that guests live in.
pub(crate) fn pooled(limits: &Limits, instances: u32) -> Result<Engine, Error> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(limits.core_instances))
        .total_memories(instances.saturating_mul(limits.memories))
        .total_tables(instances.saturating_mul(limits.tables))
        .total_stacks(instances.saturating_add(SPARE_STACKS))
        .max_memory_size(usize::try_from(limits.memory_bytes).unwrap_or(64 << 20))
        .table_elements(usize::try_from(limits.table_elements).unwrap_or(10_000))
        .max_core_instances_per_component(limits.core_instances)
        .max_memories_per_component(limits.memories)
        .max_tables_per_component(limits.tables)
        .max_tables_per_module(limits.tables)
        .max_memories_per_module(limits.memories)
        .max_component_instance_size(2 << 20)
        .max_core_instance_size(1 << 20)
        .max_unused_warm_slots(100)
        .linear_memory_keep_resident(0)
        .table_keep_resident(0)
        .async_stack_keep_resident(0);
    // Without the ioctl, keeping pages resident would touch them in every slot at every drop.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto).linear_memory_keep_resident(64 << 10).table_keep_resident(4 << 10);
    }
    let mut config = base(limits.stack_bytes);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).map_err(|error| Error::Engine { instances, reason: format!("{error:#}") })
}

/// Of each linear memory: addresses, not pages. 4 GiB and a guard spare the bounds checks.
pub(crate) const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
pub(crate) const MEMORY_GUARD_BYTES: u64 = 32 << 20;
pub(crate) const SPARE_STACKS: u32 = 64;
const HOST_STACK_BYTES: usize = 256 << 10;
