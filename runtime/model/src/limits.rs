//! What a guest may use. Defaults for an operator who sets nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:ty = $default:expr;)*) => {
        /// Every field refuses in a test. Units stand at the end of the names.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {$(
            $(#[doc = $doc])*
            pub $name: $kind,
        )*}

        impl Default for Limits {
            fn default() -> Self {
                Self {$($name: $default,)*}
            }
        }

        impl Limits {
            /// Name, default and reason of each, for the manual.
            pub fn manual() -> Vec<(&'static str, String, &'static str)> {
                vec![$((stringify!($name), format!("{:?}", $default), concat!($($doc),*).trim()),)*]
            }
        }
    };
}

limits! {
    /// An uploaded module. The largest honest guests (Python) take 19 MB.
    module_bytes: u64 = 32 << 20;
    /// CPU time of one compilation. The largest honest guest takes 16 s.
    compile_cpu_s: u64 = 60;
    /// Address space of the compiling process. Small modules can make a compiler ask for 13 GB.
    compile_memory_bytes: u64 = 1_536 << 20;
    /// Wall time of one compilation, its waiting for a core included.
    compile_wall_s: u64 = 180;
    /// Functions of a module.
    functions: u32 = 100_000;
    /// Bytes of one function's body.
    function_body_bytes: u32 = 512 << 10;
    /// Locals times blocks of one function: what a compiler's tables grow with.
    function_locals_times_blocks: u64 = 10_000_000;
    /// Linear memories of a component. QuickJS guests have two.
    memories: u32 = 2;
    /// Tables of a component.
    tables: u32 = 4;
    /// Core instances of a component. Go and Python guests have many.
    core_instances: u32 = 50;
    /// Linear memory of one instance.
    memory_bytes: u64 = 64 << 20;
    /// Elements of one table.
    table_elements: u64 = 10_000;
    /// Wasm stack of one instance.
    stack_bytes: u64 = 256 << 10;
    /// CPU time between two steps of a handler.
    step_cpu_ms: u32 = 100;
    /// Wall time between two steps of a handler.
    step_wall_ms: u32 = 5_000;
    /// CPU time a second for all Runs of a tenant, in thousandths of a core. Bursts of ten seconds' worth.
    tenant_cpu_millicores: u32 = 500;
    /// CPU time a second for all Runs of a module, in thousandths of a core. Bursts of ten seconds' worth.
    module_cpu_millicores: u32 = 250;
    /// Host calls a second of one Control, after its burst.
    host_calls_per_s: u32 = 200;
    /// Host calls of one Control before its rate holds.
    host_calls_burst: u32 = 2_000;
    /// How long a Control may stay at its rate of host calls.
    host_calls_throttled_s: u32 = 10;
    /// Bytes copied in one host call, or in a result.
    host_call_bytes: u64 = 1 << 20;
    /// Resources one instance may hold.
    handles: u32 = 1_024;
    /// Bytes of one log line; more is cut, and marked.
    log_line_bytes: u32 = 4 << 10;
    /// Log lines a second of one Control; more are counted and left out.
    log_lines_per_s: u32 = 100;
    /// What a handler may leave to its successor.
    checkpoint_bytes: u32 = 64 << 10;
    /// One kv value.
    kv_value_bytes: u32 = 64 << 10;
    /// One kv key.
    kv_key_bytes: u32 = 256;
    /// Keys of one application.
    kv_keys: u32 = 10_000;
    /// Keys and values of one tenant.
    kv_tenant_bytes: u64 = 64 << 20;
    /// Instances at once, of all tenants. The pool is made of this size.
    instances: u32 = 10_000;
    /// Instances at once of one tenant, in thousandths of the pool.
    tenant_instances_permille: u32 = 250;
    /// Uploads of one tenant an hour.
    uploads_per_hour: u32 = 60;
    /// Faults a call survives.
    faults_per_call: u32 = 8;
    /// Time all handlers together may hold one call.
    handler_time_s: u32 = 86_400;
    /// Events that wait for a guest before digits are left out.
    event_digits: u32 = 256;
    /// What a module may still do after its call has ended.
    grace_ms: u32 = 5_000;
    /// Characters of one `say`.
    speech_characters: u32 = 4_000;
    /// Sources of one `play`, and of one prompt.
    sources: u32 = 64;
    /// Length of one recording.
    recording_s: u32 = 3_600;
    /// Bytes of one asset.
    asset_bytes: u64 = 32 << 20;
    /// Bytes of all assets of one tenant.
    tenant_asset_bytes: u64 = 1 << 30;
    /// Calls at once of one tenant.
    tenant_calls: u32 = 5_000;
    /// Legs of one call at once, dialled ones included.
    legs_per_call: u32 = 16;
    /// Targets of one `dial`.
    dial_targets: u32 = 10;
    /// Contacts one user may be registered under.
    contacts_per_user: u32 = 10;
    /// Legs of one tenant that are dialled, at once. The guard against toll fraud begins here.
    outbound_legs: u32 = 500;
    /// Legs a minute that one tenant may begin to dial.
    outbound_legs_per_minute: u32 = 120;
    /// Minutes a day that one tenant may buy of its trunks; begun minutes count.
    outbound_minutes_per_day: u32 = 10_000;
    /// What those minutes may cost a day, in millionths of the tenant's currency.
    outbound_spend_micros_per_day: u64 = 100_000_000;
    /// Countries (by calling code) never called before that one tenant may begin to call a day.
    outbound_new_prefixes_per_day: u32 = 3;
}

impl Limits {
    pub fn step_cpu(&self) -> Duration {
        Duration::from_millis(self.step_cpu_ms.into())
    }

    pub fn step_wall(&self) -> Duration {
        Duration::from_millis(self.step_wall_ms.into())
    }

    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms.into())
    }

    /// Of one tenant. At least one, so that a small pool is of use.
    pub fn tenant_instances(&self) -> u32 {
        (u64::from(self.instances) * u64::from(self.tenant_instances_permille) / 1_000).max(1) as u32
    }
}
