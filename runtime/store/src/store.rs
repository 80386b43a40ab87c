//! The operations. None of them says how it is done.

use std::pin::Pin;

use callbox_model::{
    Application, ApplicationId, ApplicationSpec, Asset, CallId, CallRecord, Domain, DomainId, KeyId, KvEntry, KvError,
    Limits, Module, ModuleId, ModuleState, ModuleVersion, Number, NumberId, Recording, RecordingId, Registration, Run,
    Subject, Tenant, TenantId, TenantState, TrunkId, UsageRow, User, UserId, Wall,
};
use tokio::sync::watch;

use crate::{
    ApiKey, ApplicationFilter, CallFilter, Directory, DomainFilter, Entry, Error, EventFilter, KeptTrunk, Lost,
    ModuleFilter, NewApplication, NewModule, NewTrunk, Note, NumberFilter, OutboundUsage, Page, Put, Reading,
    RegistrationChange, Role, Scope, Sealed, Stored, TrunkChange, TrunkFilter, UsageFilter, UserChange, UserFilter,
};

pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = Result<T, Error>> + Send + 'a>>;

/// Guests are told in the contract's own words.
pub type KvFuture<'a, T> = Pin<Box<dyn std::future::Future<Output = Result<T, KvError>> + Send + 'a>>;

/// What callbox keeps. Every change of what tenants own is one transaction, with its event in it.
/// A future that is dropped has done all of its work or nothing.
pub trait Store: Send + Sync + 'static {
    // The ledger.

    /// Writes all of it down, in order, or nothing.
    fn commit<'a>(&'a self, batch: &'a [Entry]) -> Future<'a, ()>;
    /// Closes what the process before this one left open: Runs at their last mark, calls where
    /// their Runs end, recordings as failed. Before the first call; again, it finds nothing.
    fn close_lost(&self, now: Wall) -> Future<'_, Lost>;
    /// Writes down what has no transaction of its own: an upload that was refused, for example.
    fn note(&self, note: Note) -> Future<'_, ()>;
    /// That the database answers, and can be written to.
    fn check(&self) -> Future<'_, ()>;

    fn call(&self, scope: Scope, id: CallId) -> Future<'_, CallRecord>;
    /// The newest first.
    fn calls(&self, filter: CallFilter, page: Page<CallId>) -> Future<'_, Vec<CallRecord>>;
    fn recording(&self, scope: Scope, id: RecordingId) -> Future<'_, Recording>;
    /// The newest first.
    fn recordings(&self, scope: Scope, call: Option<CallId>, page: Page<RecordingId>) -> Future<'_, Vec<Recording>>;
    /// The oldest first.
    fn runs(&self, scope: Scope, call: CallId) -> Future<'_, Vec<Run>>;
    /// The largest CPU time first.
    fn usage(&self, filter: UsageFilter) -> Future<'_, Vec<UsageRow>>;
    /// What [`Entry::Outbound`] adds up to on the day of this moment, UTC.
    fn outbound_usage(&self, tenant: TenantId, day: Wall) -> Future<'_, OutboundUsage>;

    // The outbox.

    /// Events behind a position, the oldest first.
    fn events(&self, filter: EventFilter, page: Page<i64>) -> Future<'_, Reading>;
    /// The events of one subject behind a sequence, in order.
    fn history(&self, scope: Scope, subject: Subject, page: Page<u64>) -> Future<'_, Vec<Stored>>;
    /// Of the newest event that [`Store::events`] can give; 0 before the first. Set after every
    /// write; it never goes back.
    fn position(&self) -> watch::Receiver<i64>;
    /// Of the newest event of a subject; 0 before the first.
    fn last_sequence(&self, subject: Subject) -> Future<'_, u64>;

    // Tenants and keys.

    /// [`Error::Conflict`] when there is one of that name.
    fn create_tenant<'a>(&'a self, tenant: &'a Tenant) -> Future<'a, ()>;
    fn tenant(&self, id: TenantId) -> Future<'_, Tenant>;
    /// All, or the one of a name.
    fn tenants<'a>(&'a self, name: Option<&'a str>, page: Page<TenantId>) -> Future<'a, Vec<Tenant>>;
    /// None leaves as it is.
    fn change_tenant(
        &self,
        id: TenantId,
        name: Option<String>,
        state: Option<TenantState>,
        at: Wall,
    ) -> Future<'_, Tenant>;

    fn create_key<'a>(&'a self, key: &'a ApiKey) -> Future<'a, ()>;
    /// Revoked ones too.
    fn key(&self, id: KeyId) -> Future<'_, ApiKey>;
    /// Those of a role that open something, the oldest first.
    fn keys(&self, role: Role, page: Page<KeyId>) -> Future<'_, Vec<ApiKey>>;
    /// From now on it opens nothing. [`Error::NotFound`] when it is no key of this role, or opened
    /// nothing already.
    fn revoke_key(&self, role: Role, id: KeyId, at: Wall) -> Future<'_, ApiKey>;

    // Modules.

    /// Gives the next version of its name.
    fn create_module(&self, module: NewModule, component: Vec<u8>) -> Future<'_, Module>;
    fn module(&self, scope: Scope, id: ModuleId) -> Future<'_, Module>;
    /// Without a version, the newest.
    fn module_named<'a>(
        &'a self,
        tenant: TenantId,
        name: &'a str,
        version: Option<ModuleVersion>,
    ) -> Future<'a, Module>;
    fn modules(&self, filter: ModuleFilter, page: Page<ModuleId>) -> Future<'_, Vec<Module>>;
    /// [`Error::Conflict`] when its state is not `from` any more.
    fn change_module_state(
        &self,
        scope: Scope,
        id: ModuleId,
        from: ModuleState,
        to: ModuleState,
        at: Wall,
    ) -> Future<'_, Module>;
    /// The bytes of a component or an asset, held against the digest once more.
    fn blob<'a>(&'a self, digest: &'a str) -> Future<'a, Vec<u8>>;
    // Applications, and what belongs to them.

    /// [`Error::NotFound`] of a trunk when the tenant has none of the name that its `outbound` says.
    fn create_application(&self, application: NewApplication) -> Future<'_, Application>;
    fn application(&self, scope: Scope, id: ApplicationId) -> Future<'_, Application>;
    fn application_named<'a>(&'a self, tenant: TenantId, name: &'a str) -> Future<'a, Application>;
    fn applications(&self, filter: ApplicationFilter, page: Page<ApplicationId>) -> Future<'_, Vec<Application>>;
    /// [`Error::Stale`] when it is not at the expected revision any more. A trunk that is not there
    /// as with [`Store::create_application`].
    fn replace_application(
        &self,
        scope: Scope,
        id: ApplicationId,
        name: String,
        spec: ApplicationSpec,
        expected: Option<u64>,
        at: Wall,
    ) -> Future<'_, Application>;
    /// With its secrets, assets and kv. Refused while numbers point to it.
    fn delete_application(&self, scope: Scope, id: ApplicationId, at: Wall) -> Future<'_, ()>;

    fn put_secret<'a>(
        &'a self,
        scope: Scope,
        application: ApplicationId,
        name: &'a str,
        ciphertext: &'a [u8],
        at: Wall,
    ) -> Future<'a, ()>;
    fn delete_secret<'a>(&'a self, scope: Scope, application: ApplicationId, name: &'a str, at: Wall)
    -> Future<'a, ()>;
    /// Names and ciphertexts, by name.
    fn secrets(&self, application: ApplicationId) -> Future<'_, Vec<(String, Vec<u8>)>>;

    /// [`Error::Quota`] when all assets of the tenant would be more than `most_bytes`.
    fn put_asset<'a>(
        &'a self,
        scope: Scope,
        application: ApplicationId,
        name: &'a str,
        bytes: Vec<u8>,
        most_bytes: u64,
        at: Wall,
    ) -> Future<'a, Asset>;
    fn asset<'a>(&'a self, scope: Scope, application: ApplicationId, name: &'a str) -> Future<'a, Asset>;
    /// By name.
    fn assets<'a>(&'a self, scope: Scope, application: ApplicationId, page: Page<&'a str>) -> Future<'a, Vec<Asset>>;
    fn delete_asset<'a>(&'a self, scope: Scope, application: ApplicationId, name: &'a str, at: Wall) -> Future<'a, ()>;
    fn asset_bytes(&self, tenant: TenantId) -> Future<'_, u64>;

    // Numbers.

    /// [`Error::Conflict`] names the owner of an address that is taken, for the operator's eyes.
    fn create_number<'a>(&'a self, number: &'a Number) -> Future<'a, ()>;
    fn number(&self, scope: Scope, id: NumberId) -> Future<'_, Number>;
    fn numbers(&self, filter: NumberFilter, page: Page<NumberId>) -> Future<'_, Vec<Number>>;
    /// To an application of the number's own tenant, or to none.
    fn bind_number(
        &self,
        scope: Scope,
        id: NumberId,
        application: Option<ApplicationId>,
        at: Wall,
    ) -> Future<'_, Number>;
    /// Whether strangers may call it.
    fn change_number(&self, scope: Scope, id: NumberId, anonymous: bool, at: Wall) -> Future<'_, Number>;
    fn delete_number(&self, scope: Scope, id: NumberId, at: Wall) -> Future<'_, ()>;

    // Domains and their users.

    /// Its name in lower case. [`Error::Conflict`] names the owner of one that is taken, for the
    /// operator's eyes.
    fn create_domain<'a>(&'a self, domain: &'a Domain) -> Future<'a, ()>;
    fn domain(&self, scope: Scope, id: DomainId) -> Future<'_, Domain>;
    fn domains(&self, filter: DomainFilter, page: Page<DomainId>) -> Future<'_, Vec<Domain>>;
    fn change_domain(&self, scope: Scope, id: DomainId, md5: bool, at: Wall) -> Future<'_, Domain>;
    /// [`Error::Refused`] while users are in it.
    fn delete_domain(&self, scope: Scope, id: DomainId, at: Wall) -> Future<'_, ()>;

    /// In one of its tenant's domains: otherwise [`Error::NotFound`] of a domain. [`Error::Conflict`]
    /// when the domain has one of that name.
    fn create_user<'a>(&'a self, user: &'a User, verifiers: &'a Sealed) -> Future<'a, ()>;
    fn user(&self, scope: Scope, id: UserId) -> Future<'_, User>;
    fn users(&self, filter: UserFilter, page: Page<UserId>) -> Future<'_, Vec<User>>;
    fn change_user(&self, scope: Scope, id: UserId, change: UserChange, at: Wall) -> Future<'_, User>;
    /// With its registrations.
    fn delete_user(&self, scope: Scope, id: UserId, at: Wall) -> Future<'_, ()>;

    /// All of it in order, or nothing, in one transaction however many. Of users that are gone,
    /// nothing is kept. Routing is not told: it is who knows first.
    fn commit_registrations<'a>(&'a self, changes: &'a [RegistrationChange]) -> Future<'a, ()>;
    /// Those that have not run out, of all users: for the start. By user and contact.
    fn registrations(&self, now: Wall) -> Future<'_, Vec<Registration>>;
    /// Those of one user that have not run out, by contact.
    fn user_registrations(&self, scope: Scope, user: UserId, now: Wall) -> Future<'_, Vec<Registration>>;
    /// Removes those that had run out then, at most 1,000. How many. Better a little late than
    /// before a renewal that is still on its way here.
    fn purge_registrations(&self, expired: Wall, at: Wall) -> Future<'_, u64>;

    // Trunks.

    /// [`Error::Conflict`] when the tenant has one of that name.
    fn create_trunk(&self, trunk: NewTrunk) -> Future<'_, KeptTrunk>;
    fn trunk(&self, scope: Scope, id: TrunkId) -> Future<'_, KeptTrunk>;
    fn trunks(&self, filter: TrunkFilter, page: Page<TrunkId>) -> Future<'_, Vec<KeptTrunk>>;
    /// [`Error::Stale`] when it is not at the expected revision any more; [`Error::Refused`] when it
    /// would lose the name by which an application knows it.
    fn replace_trunk(
        &self,
        scope: Scope,
        id: TrunkId,
        change: TrunkChange,
        expected: Option<u64>,
        at: Wall,
    ) -> Future<'_, KeptTrunk>;
    /// [`Error::Refused`] while an application names it.
    fn delete_trunk(&self, scope: Scope, id: TrunkId, at: Wall) -> Future<'_, ()>;

    // Routing.

    fn directory(&self) -> Future<'_, Directory>;
    /// Cheap: to see whether [`Store::directory`] is worth a call.
    fn directory_revision(&self) -> Future<'_, u64>;

    // What modules keep. Keys that have run out are as if they were not there.

    fn kv_get<'a>(&'a self, application: ApplicationId, key: &'a str, now: Wall) -> KvFuture<'a, Option<KvEntry>>;
    /// The new revision.
    fn kv_put<'a>(
        &'a self,
        application: ApplicationId,
        put: Put<'a>,
        now: Wall,
        limits: &'a Limits,
    ) -> KvFuture<'a, u32>;
    /// A key that is not there is removed already.
    fn kv_remove<'a>(&'a self, application: ApplicationId, key: &'a str) -> KvFuture<'a, ()>;
    /// A counter, kept as decimal text; one that is not there counts from 0. The new value.
    fn kv_add<'a>(
        &'a self,
        application: ApplicationId,
        key: &'a str,
        by: i64,
        now: Wall,
        limits: &'a Limits,
    ) -> KvFuture<'a, i64>;
    fn kv_keys<'a>(
        &'a self,
        application: ApplicationId,
        prefix: &'a str,
        page: Page<&'a str>,
        now: Wall,
    ) -> KvFuture<'a, Vec<String>>;
    /// Removes keys that have run out, at most 1,000. How many.
    fn kv_purge(&self, now: Wall) -> Future<'_, u64>;
}
