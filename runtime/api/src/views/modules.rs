//! Modules.

use callbox_model::{ModuleId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, mirror};

mirror! {
    ModuleState {
        Ready,
        /// Switched off by its tenant.
        Disabled,
        /// Switched off by the operator.
        Quarantined,
    }
}

mirror! {
    /// What a module is, by the world it exports.
    World { CallHandler }
}

/// One version of a module. Immutable, but for its state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Module {
    #[schema(value_type = String, example = "mod_01arz3ndektsv4rrffq69g5fav")]
    id: ModuleId,
    #[schema(value_type = String)]
    tenant: TenantId,
    name: String,
    /// Counts up from 1 within the name.
    version: u32,
    /// `sha256:` and 64 hexadecimal digits, of the component.
    digest: String,
    world: World,
    state: ModuleState,
    /// Of the component.
    bytes: u64,
    /// Functions of the contract that it imports.
    imports: Vec<String>,
    /// Linear memory at start.
    initial_memory_bytes: u64,
    created: Time,
}

impl From<callbox_model::Module> for Module {
    fn from(module: callbox_model::Module) -> Self {
        Self {
            id: module.id,
            tenant: module.tenant,
            name: module.name,
            version: module.version,
            digest: module.digest,
            world: module.world.into(),
            state: module.state.into(),
            bytes: module.bytes,
            imports: module.imports,
            initial_memory_bytes: module.initial_memory_bytes,
            created: module.created.into(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModulePatch {
    /// Into quarantine and out of it: operators only.
    pub(crate) state: ModuleState,
}
