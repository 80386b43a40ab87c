//! Domains, users with their registrations, and trunks.

use callbox_api::backend::{
    BackendError, DomainFilter, Domains, NewTrunk, NewUser, Page, PasswordChange, Registrations, Result, Scope,
    ShownTrunk, TrunkChange, TrunkFilter, Trunks, UserChange, UserFilter, Users,
};
use callbox_api::{Password, async_trait};
use callbox_model::{Domain, DomainId, Registration, TenantId, TrunkId, User, UserId, Verifiers};
use callbox_store::{Error, KeptTrunk, Sealed};

use super::Backend;
use super::translate::{coded, error, page as paged, scope as scoped};
use crate::clock::wall;
use crate::routing::{PASSWORD, VERIFIERS};
use crate::verifiers;

#[async_trait]
impl Domains for Backend {
    async fn domains(&self, scope: Scope, filter: DomainFilter, page: Page<DomainId>) -> Result<Vec<Domain>> {
        let filter = callbox_store::DomainFilter { scope: scoped(scope), name: filter.name };
        self.parts.store.domains(filter, paged(page)).await.map_err(error)
    }

    async fn domain(&self, scope: Scope, id: DomainId) -> Result<Domain> {
        self.parts.store.domain(scoped(scope), id).await.map_err(error)
    }

    async fn create_domain(&self, tenant: TenantId, name: String, md5: bool) -> Result<Domain> {
        let created = wall();
        let domain = Domain { id: DomainId::new(&self.parts.ids, created), tenant, name, md5, created };
        let made = self.parts.store.create_domain(&domain).await.map_err(coded("domain-taken"));
        self.changed(made.map(|()| domain)).await
    }

    async fn change_domain(&self, scope: Scope, id: DomainId, md5: bool) -> Result<Domain> {
        let changed = self.parts.store.change_domain(scoped(scope), id, md5, wall()).await;
        self.changed(changed.map_err(error)).await
    }

    async fn delete_domain(&self, scope: Scope, id: DomainId) -> Result<()> {
        let deleted = self.parts.store.delete_domain(scoped(scope), id, wall()).await;
        self.changed(deleted.map_err(in_use("domain-in-use"))).await
    }
}

#[async_trait]
impl Users for Backend {
    async fn users(&self, scope: Scope, filter: UserFilter, page: Page<UserId>) -> Result<Vec<User>> {
        let filter = callbox_store::UserFilter { scope: scoped(scope), domain: filter.domain, name: filter.name };
        self.parts.store.users(filter, paged(page)).await.map_err(error)
    }

    async fn user(&self, scope: Scope, id: UserId) -> Result<User> {
        self.parts.store.user(scoped(scope), id).await.map_err(error)
    }

    async fn create_user(&self, tenant: TenantId, user: NewUser) -> Result<User> {
        let created = wall();
        let NewUser { domain, name, display, password } = user;
        let user = User { id: UserId::new(&self.parts.ids, created), tenant, domain, name, display, created };
        let sealed = self.seal_verifiers(&user, &password)?;
        let made = self.parts.store.create_user(&user, &sealed).await.map_err(|failed| match failed {
            Error::NotFound { what: "domain", .. } => {
                BackendError::invalid("domain", format!("`{}` is no domain of the tenant", user.domain))
            }
            other => coded("name-taken")(other),
        });
        self.changed(made.map(|()| user)).await
    }

    async fn change_user(&self, scope: Scope, id: UserId, change: UserChange) -> Result<User> {
        let verifiers = match &change.password {
            None => None,
            Some(password) => {
                let user = self.user(scope, id).await?;
                Some(self.seal_verifiers(&user, password)?)
            }
        };
        let is_new = verifiers.is_some();
        let change = callbox_store::UserChange { display: change.display, verifiers };
        let changed = self.parts.store.change_user(scoped(scope), id, change, wall()).await.map_err(error);
        let changed = self.changed(changed).await?;
        if is_new {
            // Whoever knew the old password is not reached by it any more.
            self.parts.signal.unbind(id, None);
        }
        Ok(changed)
    }

    async fn delete_user(&self, scope: Scope, id: UserId) -> Result<()> {
        let deleted = self.parts.store.delete_user(scoped(scope), id, wall()).await.map_err(error);
        self.changed(deleted).await?;
        self.parts.signal.unbind(id, None);
        Ok(())
    }
}

#[async_trait]
impl Registrations for Backend {
    async fn registrations(&self, scope: Scope, user: UserId) -> Result<Vec<Registration>> {
        self.user(scope, user).await?;
        // As it is this moment; the store follows.
        let mut now: Vec<_> =
            self.parts.signal.contacts(user).into_iter().map(|contact| contact.registration).collect();
        now.sort_by(|one, other| one.contact.cmp(&other.contact));
        Ok(now)
    }

    async fn remove_registrations(&self, scope: Scope, user: UserId, contact: Option<String>) -> Result<()> {
        let now = self.registrations(scope, user).await?;
        if let Some(contact) = &contact
            && !now.iter().any(|one| one.contact == *contact)
        {
            return Err(BackendError::not_found("registration", contact));
        }
        self.parts.signal.unbind(user, contact);
        Ok(())
    }
}

#[async_trait]
impl Trunks for Backend {
    async fn trunks(&self, scope: Scope, filter: TrunkFilter, page: Page<TrunkId>) -> Result<Vec<ShownTrunk>> {
        let filter = callbox_store::TrunkFilter { scope: scoped(scope), name: filter.name };
        let kept = self.parts.store.trunks(filter, paged(page)).await.map_err(error)?;
        Ok(kept.into_iter().map(|trunk| self.shown(trunk)).collect())
    }

    async fn trunk(&self, scope: Scope, id: TrunkId) -> Result<ShownTrunk> {
        self.parts.store.trunk(scoped(scope), id).await.map(|trunk| self.shown(trunk)).map_err(error)
    }

    async fn create_trunk(&self, tenant: TenantId, trunk: NewTrunk) -> Result<ShownTrunk> {
        let created = wall();
        let id = TrunkId::new(&self.parts.ids, created);
        let password = trunk.password.map(|password| self.seal_password(id, &password)).transpose()?;
        let new = callbox_store::NewTrunk { id, tenant, name: trunk.name, spec: trunk.spec, password, created };
        let made = self.parts.store.create_trunk(new).await.map_err(coded("name-taken"));
        self.changed(made).await.map(|trunk| self.shown(trunk))
    }

    async fn change_trunk(
        &self,
        scope: Scope,
        id: TrunkId,
        revision: Option<u64>,
        change: TrunkChange,
    ) -> Result<ShownTrunk> {
        let password = match change.password {
            PasswordChange::Keep => callbox_store::PasswordChange::Keep,
            PasswordChange::Remove => callbox_store::PasswordChange::Remove,
            PasswordChange::Put(password) => callbox_store::PasswordChange::Put(self.seal_password(id, &password)?),
        };
        let change = callbox_store::TrunkChange { name: change.name, spec: change.spec, password };
        let changed = self.parts.store.replace_trunk(scoped(scope), id, change, revision, wall()).await;
        let changed = changed.map_err(|failed| match failed {
            Error::Refused { .. } => in_use("trunk-in-use")(failed),
            other => coded("name-taken")(other),
        });
        self.changed(changed).await.map(|trunk| self.shown(trunk))
    }

    async fn delete_trunk(&self, scope: Scope, id: TrunkId) -> Result<()> {
        let deleted = self.parts.store.delete_trunk(scoped(scope), id, wall()).await;
        self.changed(deleted.map_err(in_use("trunk-in-use"))).await
    }
}

impl Backend {
    fn shown(&self, kept: KeptTrunk) -> ShownTrunk {
        let state = self.parts.trunk_states.of(kept.trunk.id);
        ShownTrunk { trunk: kept.trunk, has_password: kept.password.is_some(), state }
    }

    fn seal_verifiers(&self, user: &User, password: &Password) -> Result<Sealed> {
        let made = callbox_sip::digest::verifiers(&user.name, &user.domain, password.as_str());
        let made = Verifiers { md5: made.md5, sha256: made.sha256, sha512_256: made.sha512_256 };
        self.seal(user.id, VERIFIERS, &verifiers::write(&made))
    }

    fn seal_password(&self, trunk: TrunkId, password: &Password) -> Result<Sealed> {
        self.seal(trunk, PASSWORD, password.as_str())
    }

    fn seal(&self, owner: impl std::fmt::Display, name: &str, value: &str) -> Result<Sealed> {
        let sealed = self.parts.sealing.seal(owner, name, value);
        sealed.map(Sealed::new).map_err(|failed| BackendError::unavailable(failed.to_string()))
    }
}

fn in_use(code: &'static str) -> impl FnOnce(Error) -> BackendError {
    move |failed| match failed {
        Error::Refused { .. } | Error::Conflict { .. } => BackendError::conflict(code, failed.to_string()),
        other => error(other),
    }
}
