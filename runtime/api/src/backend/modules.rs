//! Modules.

use async_trait::async_trait;
use bytes::Bytes;
use callbox_model::{Module, ModuleId, ModuleState, TenantId};

use super::{Page, Result, Scope};

#[async_trait]
pub trait Modules: Send + Sync {
    /// Newest first.
    async fn modules(&self, scope: Scope, filter: ModuleFilter, page: Page<ModuleId>) -> Result<Vec<Module>>;
    async fn module(&self, scope: Scope, id: ModuleId) -> Result<Module>;
    /// Checks, compiles, describes and keeps it; the next version of `name`. A module that the
    /// contract does not let in is `Refused` with 422. The size is checked already.
    async fn upload_module(&self, tenant: TenantId, name: String, component: Bytes) -> Result<Module>;
    /// Only when its state is still `from`; otherwise a conflict `state-changed`.
    async fn change_module_state(
        &self,
        scope: Scope,
        id: ModuleId,
        from: ModuleState,
        to: ModuleState,
    ) -> Result<Module>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleFilter {
    /// All versions of this name.
    pub name: Option<String>,
    pub state: Option<ModuleState>,
}
