//! Applications with their secrets and assets, and numbers.

use bytes::Bytes;
use callbox_api::async_trait;
use callbox_api::backend::{
    ApplicationFilter, Applications, Audio, BackendError, NewNumber, NumberFilter, Numbers, Page, Result, Scope,
};
use callbox_model::{Application, ApplicationId, ApplicationSpec, Asset, Number, NumberId, TenantId};
use callbox_store::{Error, NewApplication};

use super::Backend;
use super::translate::{coded, error, page as paged, scope as scoped};
use crate::clock::wall;

#[async_trait]
impl Applications for Backend {
    async fn applications(
        &self,
        scope: Scope,
        filter: ApplicationFilter,
        page: Page<ApplicationId>,
    ) -> Result<Vec<Application>> {
        let filter = callbox_store::ApplicationFilter { scope: scoped(scope), name: filter.name };
        self.parts.store.applications(filter, paged(page)).await.map_err(error)
    }

    async fn application(&self, scope: Scope, id: ApplicationId) -> Result<Application> {
        self.parts.store.application(scoped(scope), id).await.map_err(error)
    }

    async fn create_application(&self, tenant: TenantId, name: String, spec: ApplicationSpec) -> Result<Application> {
        let created = wall();
        let new = NewApplication { id: ApplicationId::new(&self.parts.ids, created), tenant, name, spec, created };
        let made = self.parts.store.create_application(new).await.map_err(named);
        self.changed(made).await
    }

    async fn change_application(
        &self,
        scope: Scope,
        id: ApplicationId,
        revision: Option<u64>,
        name: String,
        spec: ApplicationSpec,
    ) -> Result<Application> {
        let changed = self.parts.store.replace_application(scoped(scope), id, name, spec, revision, wall()).await;
        self.changed(changed.map_err(named)).await
    }

    async fn delete_application(&self, scope: Scope, id: ApplicationId) -> Result<()> {
        let deleted = self.parts.store.delete_application(scoped(scope), id, wall()).await;
        let deleted = deleted.map_err(|failed| match failed {
            Error::Refused { .. } | Error::Conflict { .. } => {
                BackendError::conflict("application-in-use", failed.to_string())
            }
            other => error(other),
        });
        self.changed(deleted).await
    }

    async fn put_secret(&self, scope: Scope, application: ApplicationId, name: String, value: String) -> Result<()> {
        let sealed = self.parts.sealing.seal(application, &name, &value);
        let sealed = sealed.map_err(|failed| BackendError::unavailable(failed.to_string()))?;
        let put = self.parts.store.put_secret(scoped(scope), application, &name, &sealed, wall()).await;
        self.changed(put.map_err(error)).await
    }

    async fn delete_secret(&self, scope: Scope, application: ApplicationId, name: String) -> Result<()> {
        let deleted = self.parts.store.delete_secret(scoped(scope), application, &name, wall()).await;
        self.changed(deleted.map_err(error)).await
    }

    async fn assets(&self, scope: Scope, application: ApplicationId, page: Page<String>) -> Result<Vec<Asset>> {
        let page = callbox_store::Page { after: page.after.as_deref(), limit: page.limit };
        self.parts.store.assets(scoped(scope), application, page).await.map_err(error)
    }

    async fn asset(&self, scope: Scope, application: ApplicationId, name: String) -> Result<Asset> {
        self.parts.store.asset(scoped(scope), application, &name).await.map_err(error)
    }

    async fn asset_audio(&self, scope: Scope, application: ApplicationId, name: String) -> Result<Audio> {
        let asset = self.asset(scope, application, name).await?;
        self.parts.store.blob(&asset.digest).await.map(|bytes| Audio::Bytes(Bytes::from(bytes))).map_err(error)
    }

    async fn put_asset(&self, scope: Scope, application: ApplicationId, name: String, wav: Bytes) -> Result<Asset> {
        let heard = wav.clone();
        let read = tokio::task::spawn_blocking(move || callbox_audio::read_wav(&heard, LONGEST_S).map(drop)).await;
        read.map_err(|failed| BackendError::unavailable(format!("reading the sound: {failed}")))?
            .map_err(|why| BackendError::invalid("body", format!("`{name}` cannot be played: {why}")))?;
        let most = self.parts.limits.tenant_asset_bytes;
        let put = self.parts.store.put_asset(scoped(scope), application, &name, wav.to_vec(), most, wall()).await;
        put.map_err(error)
    }

    async fn delete_asset(&self, scope: Scope, application: ApplicationId, name: String) -> Result<()> {
        self.parts.store.delete_asset(scoped(scope), application, &name, wall()).await.map_err(error)
    }
}

/// A name that is taken, or a trunk that is not there.
fn named(failed: Error) -> BackendError {
    match failed {
        Error::NotFound { what: "trunk", id } => {
            BackendError::invalid("outbound.trunk", format!("`{id}` is no trunk of the tenant"))
        }
        other => coded("name-taken")(other),
    }
}

#[async_trait]
impl Numbers for Backend {
    async fn numbers(&self, scope: Scope, filter: NumberFilter, page: Page<NumberId>) -> Result<Vec<Number>> {
        let filter = callbox_store::NumberFilter {
            scope: scoped(scope),
            address: filter.address.as_deref().map(Number::normal),
            application: filter.application,
        };
        self.parts.store.numbers(filter, paged(page)).await.map_err(error)
    }

    async fn number(&self, scope: Scope, id: NumberId) -> Result<Number> {
        self.parts.store.number(scoped(scope), id).await.map_err(error)
    }

    async fn create_number(&self, tenant: TenantId, number: NewNumber) -> Result<Number> {
        let NewNumber { address, application, anonymous } = number;
        let created = wall();
        let (id, address) = (NumberId::new(&self.parts.ids, created), Number::normal(&address));
        let number = Number { id, tenant, address, application, anonymous, created };
        let made = self.parts.store.create_number(&number).await.map_err(coded("address-taken"));
        self.changed(made.map(|()| number)).await
    }

    async fn change_number(&self, scope: Scope, id: NumberId, anonymous: bool) -> Result<Number> {
        let changed = self.parts.store.change_number(scoped(scope), id, anonymous, wall()).await;
        self.changed(changed.map_err(error)).await
    }

    async fn bind_number(&self, scope: Scope, id: NumberId, application: Option<ApplicationId>) -> Result<Number> {
        let bound = self.parts.store.bind_number(scoped(scope), id, application, wall()).await;
        self.changed(bound.map_err(error)).await
    }

    async fn delete_number(&self, scope: Scope, id: NumberId) -> Result<()> {
        let deleted = self.parts.store.delete_number(scoped(scope), id, wall()).await;
        self.changed(deleted.map_err(error)).await
    }
}

/// The longest that media plays.
const LONGEST_S: u64 = 3_600;
