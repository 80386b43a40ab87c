//! Keys and tenants.

use std::sync::PoisonError;

use callbox_api::async_trait;
use callbox_api::backend::{Access, KeyRecord, NewKey, Page, Result, Role, TenantChange, TenantFilter};
use callbox_model::{KeyId, Tenant, TenantId, TenantState};
use callbox_store::ApiKey;

use super::{Backend, translate};
use crate::clock::wall;

#[async_trait]
impl Access for Backend {
    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>> {
        Ok(self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned())
    }

    async fn keys(&self, role: Role) -> Result<Vec<KeyRecord>> {
        let kept = self.parts.store.keys(translate::role(role), callbox_store::Page::first(super::PAGE)).await;
        Ok(kept.map_err(translate::error)?.into_iter().map(translate::key).collect())
    }

    async fn create_key(&self, key: NewKey) -> Result<KeyRecord> {
        let created = wall();
        let id = KeyId::new(&self.parts.ids, created);
        let role = translate::role(key.role);
        let kept = ApiKey { id, role, hash: key.hash, name: key.name, created, revoked: None };
        self.parts.store.create_key(&kept).await.map_err(translate::error)?;
        let record = translate::key(kept);
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(id, record.clone());
        Ok(record)
    }

    async fn delete_key(&self, role: Role, id: KeyId) -> Result<()> {
        self.parts.store.revoke_key(translate::role(role), id, wall()).await.map_err(translate::error)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    async fn tenants(&self, filter: TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>> {
        self.parts.store.tenants(filter.name.as_deref(), translate::page(page)).await.map_err(translate::error)
    }

    async fn tenant(&self, id: TenantId) -> Result<Tenant> {
        self.parts.store.tenant(id).await.map_err(translate::error)
    }

    async fn create_tenant(&self, name: String) -> Result<Tenant> {
        let created = wall();
        let tenant = Tenant { id: TenantId::new(&self.parts.ids, created), name, state: TenantState::Active, created };
        self.parts.store.create_tenant(&tenant).await.map_err(translate::coded("name-taken"))?;
        self.changed(Ok(tenant)).await
    }

    async fn change_tenant(&self, id: TenantId, change: TenantChange) -> Result<Tenant> {
        let changed = self.parts.store.change_tenant(id, change.name, change.state, wall()).await;
        self.changed(changed.map_err(translate::coded("name-taken"))).await
    }
}
