//! Modules: looked at and compiled by the sandbox, kept by the store.

use std::sync::PoisonError;

use bytes::Bytes;
use callbox_api::async_trait;
use callbox_api::backend::{BackendError, ModuleFilter, Modules, Page, Result, Scope};
use callbox_model::{Change, Module, ModuleId, ModuleState, Subject, TenantId};
use callbox_store::{NewModule, Note};

use super::Backend;
use super::translate::{coded, error, page as paged, scope as scoped};
use crate::clock::wall;

#[async_trait]
impl Modules for Backend {
    async fn modules(&self, scope: Scope, filter: ModuleFilter, page: Page<ModuleId>) -> Result<Vec<Module>> {
        let filter = callbox_store::ModuleFilter { scope: scoped(scope), name: filter.name, state: filter.state };
        self.parts.store.modules(filter, paged(page)).await.map_err(error)
    }

    async fn module(&self, scope: Scope, id: ModuleId) -> Result<Module> {
        self.parts.store.module(scoped(scope), id).await.map_err(error)
    }

    async fn upload_module(&self, tenant: TenantId, name: String, component: Bytes) -> Result<Module> {
        let _turn = self.upload_turn(tenant)?;
        self.count_upload(tenant)?;
        let accepted = self.parts.sandbox.accept(component.to_vec(), self.parts.limits.clone()).await;
        let described = match accepted {
            Ok(described) => described,
            Err(refused) => {
                self.note_refused(tenant, name, refused.code, &refused.detail).await;
                let (code, status) = (refused.code.to_owned(), refused.status());
                if status >= 500 {
                    return Err(BackendError::unavailable(refused.detail));
                }
                return Err(BackendError::Refused { code, status, detail: refused.detail });
            }
        };
        let created = wall();
        let new = NewModule {
            id: ModuleId::new(&self.parts.ids, created),
            tenant,
            name,
            digest: described.digest,
            world: described.world,
            imports: described.imports,
            initial_memory_bytes: described.initial_memory_bytes,
            created,
        };
        let kept = self.parts.store.create_module(new, described.component).await.map_err(error);
        self.changed(kept).await
    }

    async fn change_module_state(
        &self,
        scope: Scope,
        id: ModuleId,
        from: ModuleState,
        to: ModuleState,
    ) -> Result<Module> {
        let changed = self.parts.store.change_module_state(scoped(scope), id, from, to, wall()).await;
        self.changed(changed.map_err(coded("state-changed"))).await
    }
}

/// One tenant's compiler. Given back when dropped.
struct Turn<'a> {
    backend: &'a Backend,
    tenant: TenantId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.backend.compiling.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant);
    }
}

impl Backend {
    /// One compilation at a time for each tenant, so that none stands in the others' way.
    fn upload_turn(&self, tenant: TenantId) -> Result<Turn<'_>> {
        if self.compiling.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant) {
            return Ok(Turn { backend: self, tenant });
        }
        let detail = "a module of this tenant is being compiled; upload the next when it is done".to_owned();
        Err(BackendError::Quota { limit: "uploads_at_once", detail })
    }

    fn count_upload(&self, tenant: TenantId) -> Result<()> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.take(self.parts.clock.at(), tenant).map_err(|wait| {
            let (most, wait_s) = (self.parts.limits.uploads_per_hour, wait.as_secs() + 1);
            let detail = format!("{most} uploads within an hour; the next may come in {wait_s} s");
            self.parts.limited.reached(tenant, "uploads_per_hour", || detail.clone());
            BackendError::Quota { limit: "uploads_per_hour", detail }
        })
    }

    async fn note_refused(&self, tenant: TenantId, name: String, code: &str, detail: &str) {
        let change = Change::ModuleRefused { name, code: code.to_owned(), detail: detail.to_owned() };
        let note = Note { subject: Subject::Tenant(tenant), tenant: Some(tenant), at: wall(), change };
        if let Err(error) = self.parts.store.note(note).await {
            tracing::warn!(%error, "a refused upload is not in the record");
        }
    }
}
