//! Each operation, and the file that carries it out.

use callbox_model::{
    Application, ApplicationId, ApplicationSpec, Asset, CallId, CallRecord, Domain, DomainId, KeyId, KvEntry, Limits,
    Module, ModuleId, ModuleState, ModuleVersion, Number, NumberId, Recording, RecordingId, Registration, Run, Subject,
    Tenant, TenantId, TenantState, TrunkId, UsageRow, User, UserId, Wall,
};
use tokio::sync::watch;

use super::work::Work;
use super::{
    Sqlite, applications, assets, batch, calls, directory, domains, events, keys, kv, modules, numbers, outbound,
    recovery, registrations, tenants, trunks, usage, users,
};
use crate::{
    ApiKey, ApplicationFilter, CallFilter, Directory, DomainFilter, Entry, Error, EventFilter, Future, KeptTrunk,
    KvFuture, Lost, ModuleFilter, NewApplication, NewModule, NewTrunk, Note, NumberFilter, OutboundUsage, Page, Put,
    Reading, RegistrationChange, Role, Scope, Sealed, Store, Stored, TrunkChange, TrunkFilter, UsageFilter, UserChange,
    UserFilter,
};

impl Store for Sqlite {
    fn commit<'a>(&'a self, batch: &'a [Entry]) -> Future<'a, ()> {
        Box::pin(batch::commit(self, batch))
    }

    fn close_lost(&self, now: Wall) -> Future<'_, Lost> {
        Box::pin(recovery::close_lost(self, now))
    }

    fn note(&self, note: Note) -> Future<'_, ()> {
        Box::pin(events::note(self, note))
    }

    fn check(&self) -> Future<'_, ()> {
        Box::pin(check(self))
    }

    fn call(&self, scope: Scope, id: CallId) -> Future<'_, CallRecord> {
        Box::pin(calls::get(self, scope, id))
    }

    fn calls(&self, filter: CallFilter, page: Page<CallId>) -> Future<'_, Vec<CallRecord>> {
        Box::pin(calls::list(self, filter, page))
    }

    fn recording(&self, scope: Scope, id: RecordingId) -> Future<'_, Recording> {
        Box::pin(calls::recording(self, scope, id))
    }

    fn recordings(&self, scope: Scope, call: Option<CallId>, page: Page<RecordingId>) -> Future<'_, Vec<Recording>> {
        Box::pin(calls::recordings(self, scope, call, page))
    }

    fn runs(&self, scope: Scope, call: CallId) -> Future<'_, Vec<Run>> {
        Box::pin(calls::runs(self, scope, call))
    }

    fn usage(&self, filter: UsageFilter) -> Future<'_, Vec<UsageRow>> {
        Box::pin(usage::list(self, filter))
    }

    fn outbound_usage(&self, tenant: TenantId, day: Wall) -> Future<'_, OutboundUsage> {
        Box::pin(outbound::usage(self, tenant, day))
    }

    fn events(&self, filter: EventFilter, page: Page<i64>) -> Future<'_, Reading> {
        Box::pin(events::list(self, filter, page))
    }

    fn history(&self, scope: Scope, subject: Subject, page: Page<u64>) -> Future<'_, Vec<Stored>> {
        Box::pin(events::history(self, scope, subject, page))
    }

    fn position(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }

    fn last_sequence(&self, subject: Subject) -> Future<'_, u64> {
        Box::pin(events::last_sequence(self, subject))
    }

    fn create_tenant<'a>(&'a self, tenant: &'a Tenant) -> Future<'a, ()> {
        Box::pin(tenants::create(self, tenant))
    }

    fn tenant(&self, id: TenantId) -> Future<'_, Tenant> {
        Box::pin(tenants::get(self, id))
    }

    fn tenants<'a>(&'a self, name: Option<&'a str>, page: Page<TenantId>) -> Future<'a, Vec<Tenant>> {
        Box::pin(tenants::list(self, name, page))
    }

    fn change_tenant(
        &self,
        id: TenantId,
        name: Option<String>,
        state: Option<TenantState>,
        at: Wall,
    ) -> Future<'_, Tenant> {
        Box::pin(tenants::change(self, id, name, state, at))
    }

    fn create_key<'a>(&'a self, key: &'a ApiKey) -> Future<'a, ()> {
        Box::pin(keys::create(self, key))
    }

    fn key(&self, id: KeyId) -> Future<'_, ApiKey> {
        Box::pin(keys::get(self, id))
    }

    fn keys(&self, role: Role, page: Page<KeyId>) -> Future<'_, Vec<ApiKey>> {
        Box::pin(keys::list(self, role, page))
    }

    fn revoke_key(&self, role: Role, id: KeyId, at: Wall) -> Future<'_, ApiKey> {
        Box::pin(keys::revoke(self, role, id, at))
    }

    fn create_module(&self, module: NewModule, component: Vec<u8>) -> Future<'_, Module> {
        Box::pin(modules::create(self, module, component))
    }

    fn module(&self, scope: Scope, id: ModuleId) -> Future<'_, Module> {
        Box::pin(modules::get(self, scope, id))
    }

    fn module_named<'a>(
        &'a self,
        tenant: TenantId,
        name: &'a str,
        version: Option<ModuleVersion>,
    ) -> Future<'a, Module> {
        Box::pin(modules::named(self, tenant, name, version))
    }

    fn modules(&self, filter: ModuleFilter, page: Page<ModuleId>) -> Future<'_, Vec<Module>> {
        Box::pin(modules::list(self, filter, page))
    }

    fn change_module_state(
        &self,
        scope: Scope,
        id: ModuleId,
        from: ModuleState,
        to: ModuleState,
        at: Wall,
    ) -> Future<'_, Module> {
        Box::pin(modules::change_state(self, scope, id, from, to, at))
    }

    fn blob<'a>(&'a self, digest: &'a str) -> Future<'a, Vec<u8>> {
        Box::pin(modules::blob(self, digest))
    }

    fn create_application(&self, application: NewApplication) -> Future<'_, Application> {
        Box::pin(applications::create(self, application))
    }

    fn application(&self, scope: Scope, id: ApplicationId) -> Future<'_, Application> {
        Box::pin(applications::get(self, scope, id))
    }

    fn application_named<'a>(&'a self, tenant: TenantId, name: &'a str) -> Future<'a, Application> {
        Box::pin(applications::named(self, tenant, name))
    }

    fn applications(&self, filter: ApplicationFilter, page: Page<ApplicationId>) -> Future<'_, Vec<Application>> {
        Box::pin(applications::list(self, filter, page))
    }

    fn replace_application(
        &self,
        scope: Scope,
        id: ApplicationId,
        name: String,
        spec: ApplicationSpec,
        expected: Option<u64>,
        at: Wall,
    ) -> Future<'_, Application> {
        Box::pin(applications::replace(self, scope, id, name, spec, expected, at))
    }

    fn delete_application(&self, scope: Scope, id: ApplicationId, at: Wall) -> Future<'_, ()> {
        Box::pin(applications::delete(self, scope, id, at))
    }

    fn put_secret<'a>(
        &'a self,
        scope: Scope,
        application: ApplicationId,
        name: &'a str,
        ciphertext: &'a [u8],
        at: Wall,
    ) -> Future<'a, ()> {
        Box::pin(applications::put_secret(self, scope, application, name, ciphertext, at))
    }

    fn delete_secret<'a>(
        &'a self,
        scope: Scope,
        application: ApplicationId,
        name: &'a str,
        at: Wall,
    ) -> Future<'a, ()> {
        Box::pin(applications::delete_secret(self, scope, application, name, at))
    }

    fn secrets(&self, application: ApplicationId) -> Future<'_, Vec<(String, Vec<u8>)>> {
        Box::pin(applications::secrets(self, application))
    }

    fn put_asset<'a>(
        &'a self,
        scope: Scope,
        application: ApplicationId,
        name: &'a str,
        bytes: Vec<u8>,
        most_bytes: u64,
        at: Wall,
    ) -> Future<'a, Asset> {
        Box::pin(assets::put(self, scope, application, name, bytes, most_bytes, at))
    }

    fn asset<'a>(&'a self, scope: Scope, application: ApplicationId, name: &'a str) -> Future<'a, Asset> {
        Box::pin(assets::get(self, scope, application, name))
    }

    fn assets<'a>(&'a self, scope: Scope, application: ApplicationId, page: Page<&'a str>) -> Future<'a, Vec<Asset>> {
        Box::pin(assets::list(self, scope, application, page))
    }

    fn delete_asset<'a>(&'a self, scope: Scope, application: ApplicationId, name: &'a str, at: Wall) -> Future<'a, ()> {
        Box::pin(assets::delete(self, scope, application, name, at))
    }

    fn asset_bytes(&self, tenant: TenantId) -> Future<'_, u64> {
        Box::pin(assets::bytes(self, tenant))
    }

    fn create_number<'a>(&'a self, number: &'a Number) -> Future<'a, ()> {
        Box::pin(numbers::create(self, number))
    }

    fn number(&self, scope: Scope, id: NumberId) -> Future<'_, Number> {
        Box::pin(numbers::get(self, scope, id))
    }

    fn numbers(&self, filter: NumberFilter, page: Page<NumberId>) -> Future<'_, Vec<Number>> {
        Box::pin(numbers::list(self, filter, page))
    }

    fn bind_number(
        &self,
        scope: Scope,
        id: NumberId,
        application: Option<ApplicationId>,
        at: Wall,
    ) -> Future<'_, Number> {
        Box::pin(numbers::bind(self, scope, id, application, at))
    }

    fn change_number(&self, scope: Scope, id: NumberId, anonymous: bool, at: Wall) -> Future<'_, Number> {
        Box::pin(numbers::change(self, scope, id, anonymous, at))
    }

    fn delete_number(&self, scope: Scope, id: NumberId, at: Wall) -> Future<'_, ()> {
        Box::pin(numbers::delete(self, scope, id, at))
    }

    fn create_domain<'a>(&'a self, domain: &'a Domain) -> Future<'a, ()> {
        Box::pin(domains::create(self, domain))
    }

    fn domain(&self, scope: Scope, id: DomainId) -> Future<'_, Domain> {
        Box::pin(domains::get(self, scope, id))
    }

    fn domains(&self, filter: DomainFilter, page: Page<DomainId>) -> Future<'_, Vec<Domain>> {
        Box::pin(domains::list(self, filter, page))
    }

    fn change_domain(&self, scope: Scope, id: DomainId, md5: bool, at: Wall) -> Future<'_, Domain> {
        Box::pin(domains::change(self, scope, id, md5, at))
    }

    fn delete_domain(&self, scope: Scope, id: DomainId, at: Wall) -> Future<'_, ()> {
        Box::pin(domains::delete(self, scope, id, at))
    }

    fn create_user<'a>(&'a self, user: &'a User, verifiers: &'a Sealed) -> Future<'a, ()> {
        Box::pin(users::create(self, user, verifiers))
    }

    fn user(&self, scope: Scope, id: UserId) -> Future<'_, User> {
        Box::pin(users::get(self, scope, id))
    }

    fn users(&self, filter: UserFilter, page: Page<UserId>) -> Future<'_, Vec<User>> {
        Box::pin(users::list(self, filter, page))
    }

    fn change_user(&self, scope: Scope, id: UserId, change: UserChange, at: Wall) -> Future<'_, User> {
        Box::pin(users::change(self, scope, id, change, at))
    }

    fn delete_user(&self, scope: Scope, id: UserId, at: Wall) -> Future<'_, ()> {
        Box::pin(users::delete(self, scope, id, at))
    }

    fn commit_registrations<'a>(&'a self, changes: &'a [RegistrationChange]) -> Future<'a, ()> {
        Box::pin(registrations::commit(self, changes))
    }

    fn registrations(&self, now: Wall) -> Future<'_, Vec<Registration>> {
        Box::pin(registrations::all(self, now))
    }

    fn user_registrations(&self, scope: Scope, user: UserId, now: Wall) -> Future<'_, Vec<Registration>> {
        Box::pin(registrations::of_user(self, scope, user, now))
    }

    fn purge_registrations(&self, expired: Wall, at: Wall) -> Future<'_, u64> {
        Box::pin(registrations::purge(self, expired, at))
    }

    fn create_trunk(&self, trunk: NewTrunk) -> Future<'_, KeptTrunk> {
        Box::pin(trunks::create(self, trunk))
    }

    fn trunk(&self, scope: Scope, id: TrunkId) -> Future<'_, KeptTrunk> {
        Box::pin(trunks::get(self, scope, id))
    }

    fn trunks(&self, filter: TrunkFilter, page: Page<TrunkId>) -> Future<'_, Vec<KeptTrunk>> {
        Box::pin(trunks::list(self, filter, page))
    }

    fn replace_trunk(
        &self,
        scope: Scope,
        id: TrunkId,
        change: TrunkChange,
        expected: Option<u64>,
        at: Wall,
    ) -> Future<'_, KeptTrunk> {
        Box::pin(trunks::replace(self, scope, id, change, expected, at))
    }

    fn delete_trunk(&self, scope: Scope, id: TrunkId, at: Wall) -> Future<'_, ()> {
        Box::pin(trunks::delete(self, scope, id, at))
    }

    fn directory(&self) -> Future<'_, Directory> {
        Box::pin(directory::read(self))
    }

    fn directory_revision(&self) -> Future<'_, u64> {
        Box::pin(directory::revision(self))
    }

    fn kv_get<'a>(&'a self, application: ApplicationId, key: &'a str, now: Wall) -> KvFuture<'a, Option<KvEntry>> {
        Box::pin(kv::get(self, application, key, now))
    }

    fn kv_put<'a>(
        &'a self,
        application: ApplicationId,
        put: Put<'a>,
        now: Wall,
        limits: &'a Limits,
    ) -> KvFuture<'a, u32> {
        Box::pin(kv::put(self, application, put, now, limits))
    }

    fn kv_remove<'a>(&'a self, application: ApplicationId, key: &'a str) -> KvFuture<'a, ()> {
        Box::pin(kv::remove(self, application, key))
    }

    fn kv_add<'a>(
        &'a self,
        application: ApplicationId,
        key: &'a str,
        by: i64,
        now: Wall,
        limits: &'a Limits,
    ) -> KvFuture<'a, i64> {
        Box::pin(kv::add(self, application, key, by, now, limits))
    }

    fn kv_keys<'a>(
        &'a self,
        application: ApplicationId,
        prefix: &'a str,
        page: Page<&'a str>,
        now: Wall,
    ) -> KvFuture<'a, Vec<String>> {
        Box::pin(kv::keys(self, application, prefix, page, now))
    }

    fn kv_purge(&self, now: Wall) -> Future<'_, u64> {
        Box::pin(kv::purge(self, now))
    }
}

/// Writes what is there already, which needs a place on the disk all the same.
async fn check(db: &Sqlite) -> Result<(), Error> {
    let mut work: Work = db.begin("be checked").await?;
    work.run(sqlx::query("UPDATE directory SET revision = revision")).await?;
    work.commit().await
}
