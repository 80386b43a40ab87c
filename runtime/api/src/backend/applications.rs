//! Applications with their secrets and assets, and the numbers that lead to them.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use callbox_model::{Application, ApplicationId, ApplicationSpec, Asset, Number, NumberId, TenantId};

use super::{Page, Result, Scope};

#[async_trait]
pub trait Applications: Send + Sync {
    /// In the order of their ids.
    async fn applications(
        &self,
        scope: Scope,
        filter: ApplicationFilter,
        page: Page<ApplicationId>,
    ) -> Result<Vec<Application>>;
    async fn application(&self, scope: Scope, id: ApplicationId) -> Result<Application>;
    /// `name-taken` when the tenant has one of that name. `Invalid` at `outbound.trunk` when it has
    /// no trunk of the name that stands there.
    async fn create_application(&self, tenant: TenantId, name: String, spec: ApplicationSpec) -> Result<Application>;
    /// `revision` None changes whatever revision there is; otherwise `RevisionMismatch` when it is
    /// not the current one. Name and trunk as with [`Self::create_application`].
    async fn change_application(
        &self,
        scope: Scope,
        id: ApplicationId,
        revision: Option<u64>,
        name: String,
        spec: ApplicationSpec,
    ) -> Result<Application>;
    /// A conflict `application-in-use` while numbers point at it.
    async fn delete_application(&self, scope: Scope, id: ApplicationId) -> Result<()>;

    /// Made or replaced. Names are read from the [`Application`].
    async fn put_secret(&self, scope: Scope, application: ApplicationId, name: String, value: String) -> Result<()>;
    async fn delete_secret(&self, scope: Scope, application: ApplicationId, name: String) -> Result<()>;

    /// In the order of their names.
    async fn assets(&self, scope: Scope, application: ApplicationId, page: Page<String>) -> Result<Vec<Asset>>;
    async fn asset(&self, scope: Scope, application: ApplicationId, name: String) -> Result<Asset>;
    async fn asset_audio(&self, scope: Scope, application: ApplicationId, name: String) -> Result<Audio>;
    /// Made or replaced. `Invalid` when it is no WAV file that can be played.
    async fn put_asset(&self, scope: Scope, application: ApplicationId, name: String, wav: Bytes) -> Result<Asset>;
    async fn delete_asset(&self, scope: Scope, application: ApplicationId, name: String) -> Result<()>;
}

#[async_trait]
pub trait Numbers: Send + Sync {
    /// In the order of their ids.
    async fn numbers(&self, scope: Scope, filter: NumberFilter, page: Page<NumberId>) -> Result<Vec<Number>>;
    async fn number(&self, scope: Scope, id: NumberId) -> Result<Number>;
    /// `address-taken` when any tenant has it. The application must be the tenant's own.
    async fn create_number(&self, tenant: TenantId, number: NewNumber) -> Result<Number>;
    /// None rings nowhere. The application must be of the number's own tenant: else `Invalid`.
    async fn bind_number(&self, scope: Scope, id: NumberId, application: Option<ApplicationId>) -> Result<Number>;
    /// Whether strangers may call it.
    async fn change_number(&self, scope: Scope, id: NumberId, anonymous: bool) -> Result<Number>;
    async fn delete_number(&self, scope: Scope, id: NumberId) -> Result<()>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNumber {
    pub address: String,
    pub application: Option<ApplicationId>,
    pub anonymous: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationFilter {
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberFilter {
    pub address: Option<String>,
    pub application: Option<ApplicationId>,
}

/// A WAV file: where it is, or what it is. A file is read in pieces, as the client takes them.
#[derive(Clone, Debug)]
pub enum Audio {
    File(PathBuf),
    Bytes(Bytes),
}
