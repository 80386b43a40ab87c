//! The backend over maps: domains, users, registrations, trunks, calls that are placed.

use callbox_api::async_trait;
use callbox_api::backend::{
    BackendError, DomainFilter, Domains, NewCall, NewTrunk, NewUser, OutboundToday, Page, PasswordChange,
    Registrations, Result, Scope, ShownTrunk, TrunkChange, TrunkFilter, Trunks, UserChange, UserFilter, Users,
};
use callbox_model::{
    CallId, Change, Domain, DomainId, Registration, Subject, TenantId, Trunk, TrunkId, TrunkState, User, UserId,
};

use crate::memory::{Memory, piece};

#[async_trait]
impl Domains for Memory {
    async fn domains(&self, scope: Scope, filter: DomainFilter, page: Page<DomainId>) -> Result<Vec<Domain>> {
        let state = self.state();
        let fits = |domain: &&Domain| {
            scope.admits(domain.tenant) && filter.name.as_ref().is_none_or(|name| *name == domain.name)
        };
        Ok(piece(state.domains.values().filter(fits).map(|domain| (domain.id, domain.clone())), &page))
    }

    async fn domain(&self, scope: Scope, id: DomainId) -> Result<Domain> {
        let state = self.state();
        let domain = state.domains.get(&id).filter(|domain| scope.admits(domain.tenant)).cloned();
        domain.ok_or_else(|| BackendError::not_found("domain", id))
    }

    async fn create_domain(&self, tenant: TenantId, name: String, md5: bool) -> Result<Domain> {
        let created = self.now();
        let mut state = self.state();
        if state.domains.values().any(|domain| domain.name == name) {
            return Err(BackendError::conflict("domain-taken", format!("`{name}` is given out")));
        }
        let domain = Domain { id: DomainId::new(&self.ids, created), tenant, name, md5, created };
        state.domains.insert(domain.id, domain.clone());
        Ok(domain)
    }

    async fn change_domain(&self, scope: Scope, id: DomainId, md5: bool) -> Result<Domain> {
        let domain = Domain { md5, ..self.domain(scope, id).await? };
        self.state().domains.insert(id, domain.clone());
        Ok(domain)
    }

    async fn delete_domain(&self, scope: Scope, id: DomainId) -> Result<()> {
        let domain = self.domain(scope, id).await?;
        let mut state = self.state();
        if let Some(user) = state.users.values().find(|user| user.domain == domain.name) {
            return Err(BackendError::conflict("domain-in-use", format!("the user {} is in it", user.name)));
        }
        state.domains.remove(&id);
        Ok(())
    }
}

#[async_trait]
impl Users for Memory {
    async fn users(&self, scope: Scope, filter: UserFilter, page: Page<UserId>) -> Result<Vec<User>> {
        let state = self.state();
        let fits = |user: &&User| {
            scope.admits(user.tenant)
                && filter.domain.as_ref().is_none_or(|domain| *domain == user.domain)
                && filter.name.as_ref().is_none_or(|name| *name == user.name)
        };
        Ok(piece(state.users.values().filter(fits).map(|user| (user.id, user.clone())), &page))
    }

    async fn user(&self, scope: Scope, id: UserId) -> Result<User> {
        let state = self.state();
        let user = state.users.get(&id).filter(|user| scope.admits(user.tenant)).cloned();
        user.ok_or_else(|| BackendError::not_found("user", id))
    }

    async fn create_user(&self, tenant: TenantId, new: NewUser) -> Result<User> {
        let created = self.now();
        let user = {
            let mut state = self.state();
            if !state.domains.values().any(|domain| domain.tenant == tenant && domain.name == new.domain) {
                return Err(BackendError::invalid("domain", format!("there is no domain `{}`", new.domain)));
            }
            if state.users.values().any(|user| user.domain == new.domain && user.name == new.name) {
                return Err(BackendError::conflict("name-taken", format!("there is a user `{}`", new.name)));
            }
            let id = UserId::new(&self.ids, created);
            let user = User { id, tenant, domain: new.domain, name: new.name, display: new.display, created };
            state.passwords.insert(id.to_string(), new.password.as_str().to_owned());
            state.users.insert(id, user.clone());
            user
        };
        let change = Change::UserCreated { user: user.id, address: user.address() };
        self.note(Subject::User(user.id), Some(tenant), change);
        Ok(user)
    }

    async fn change_user(&self, scope: Scope, id: UserId, change: UserChange) -> Result<User> {
        let mut user = self.user(scope, id).await?;
        // As a careless node would tell it.
        self.note(Subject::User(id), Some(user.tenant), Change::UserChanged { user: id, what: format!("{change:?}") });
        let mut state = self.state();
        if let Some(display) = change.display {
            user.display = display;
        }
        if let Some(password) = change.password {
            state.passwords.insert(id.to_string(), password.as_str().to_owned());
        }
        state.users.insert(id, user.clone());
        Ok(user)
    }

    async fn delete_user(&self, scope: Scope, id: UserId) -> Result<()> {
        self.user(scope, id).await?;
        let mut state = self.state();
        state.users.remove(&id);
        state.registrations.retain(|registration| registration.user != id);
        Ok(())
    }
}

#[async_trait]
impl Registrations for Memory {
    async fn registrations(&self, scope: Scope, user: UserId) -> Result<Vec<Registration>> {
        self.user(scope, user).await?;
        Ok(self.state().registrations.iter().filter(|registration| registration.user == user).cloned().collect())
    }

    async fn remove_registrations(&self, scope: Scope, user: UserId, contact: Option<String>) -> Result<()> {
        self.user(scope, user).await?;
        let mut state = self.state();
        let goes = |registration: &Registration| {
            registration.user == user && contact.as_ref().is_none_or(|contact| *contact == registration.contact)
        };
        if let Some(contact) = &contact
            && !state.registrations.iter().any(goes)
        {
            return Err(BackendError::not_found("registration", contact));
        }
        state.registrations.retain(|registration| !goes(registration));
        Ok(())
    }
}

impl Memory {
    fn shown(&self, trunk: Trunk) -> ShownTrunk {
        let state = self.state();
        let has_password = state.passwords.contains_key(&trunk.id.to_string());
        let standing = state.trunk_states.get(&trunk.id).cloned().unwrap_or(TrunkState::Static);
        ShownTrunk { trunk, has_password, state: standing }
    }
}

#[async_trait]
impl Trunks for Memory {
    async fn trunks(&self, scope: Scope, filter: TrunkFilter, page: Page<TrunkId>) -> Result<Vec<ShownTrunk>> {
        let found = {
            let state = self.state();
            let fits = |trunk: &&Trunk| {
                scope.admits(trunk.tenant) && filter.name.as_ref().is_none_or(|name| *name == trunk.name)
            };
            piece(state.trunks.values().filter(fits).map(|trunk| (trunk.id, trunk.clone())), &page)
        };
        Ok(found.into_iter().map(|trunk| self.shown(trunk)).collect())
    }

    async fn trunk(&self, scope: Scope, id: TrunkId) -> Result<ShownTrunk> {
        let trunk = self.state().trunks.get(&id).filter(|trunk| scope.admits(trunk.tenant)).cloned();
        trunk.map(|trunk| self.shown(trunk)).ok_or_else(|| BackendError::not_found("trunk", id))
    }

    async fn create_trunk(&self, tenant: TenantId, new: NewTrunk) -> Result<ShownTrunk> {
        let created = self.now();
        let trunk = {
            let mut state = self.state();
            if state.trunks.values().any(|trunk| trunk.tenant == tenant && trunk.name == new.name) {
                return Err(BackendError::conflict("name-taken", format!("there is a trunk `{}`", new.name)));
            }
            let id = TrunkId::new(&self.ids, created);
            if let Some(password) = &new.password {
                state.passwords.insert(id.to_string(), password.as_str().to_owned());
            }
            let trunk = Trunk { id, tenant, name: new.name.clone(), spec: new.spec.clone(), revision: 1, created };
            state.trunks.insert(id, trunk.clone());
            trunk
        };
        // As a careless node would tell it.
        let change = Change::TrunkChanged { name: trunk.name.clone(), what: format!("{new:?}") };
        self.note(Subject::Trunk(trunk.id), Some(tenant), change);
        Ok(self.shown(trunk))
    }

    async fn change_trunk(
        &self,
        scope: Scope,
        id: TrunkId,
        revision: Option<u64>,
        change: TrunkChange,
    ) -> Result<ShownTrunk> {
        let mut trunk = self.trunk(scope, id).await?.trunk;
        if revision.is_some_and(|revision| revision != trunk.revision) {
            return Err(BackendError::RevisionMismatch { current: trunk.revision });
        }
        {
            let mut state = self.state();
            let is_named = state.names(&trunk);
            if change.name != trunk.name && is_named {
                return Err(BackendError::conflict("trunk-in-use", "an application names it"));
            }
            match &change.password {
                PasswordChange::Keep => {}
                PasswordChange::Remove => drop(state.passwords.remove(&id.to_string())),
                PasswordChange::Put(password) => {
                    state.passwords.insert(id.to_string(), password.as_str().to_owned());
                }
            }
            trunk.name.clone_from(&change.name);
            trunk.spec = change.spec.clone();
            trunk.revision += 1;
            state.trunks.insert(id, trunk.clone());
        }
        let told = Change::TrunkChanged { name: trunk.name.clone(), what: format!("{change:?}") };
        self.note(Subject::Trunk(id), Some(trunk.tenant), told);
        Ok(self.shown(trunk))
    }

    async fn delete_trunk(&self, scope: Scope, id: TrunkId) -> Result<()> {
        let trunk = self.trunk(scope, id).await?.trunk;
        let mut state = self.state();
        if state.names(&trunk) {
            return Err(BackendError::conflict("trunk-in-use", "an application names it"));
        }
        state.trunks.remove(&id);
        Ok(())
    }
}

impl crate::memory::State {
    fn names(&self, trunk: &Trunk) -> bool {
        self.applications
            .values()
            .any(|it| it.tenant == trunk.tenant && it.spec.outbound.trunk.as_ref() == Some(&trunk.name))
    }
}

impl Memory {
    /// By the rules that a node has, as far as maps know them.
    pub(crate) fn placed(&self, scope: Scope, call: NewCall) -> Result<CallId> {
        let id = CallId::new(&self.ids, self.now());
        let mut state = self.state();
        let application = state.applications.get(&call.application).filter(|it| scope.admits(it.tenant));
        let application = application.ok_or_else(|| BackendError::not_found("application", call.application))?;
        let (tenant, outbound) = (application.tenant, &application.spec.outbound);
        if let Some(from) = &call.from
            && !outbound.caller_ids.contains(from)
        {
            return Err(BackendError::refused("caller-id-denied", format!("`{from}` is none of its caller ids")));
        }
        let denied = || BackendError::refused("destination-denied", format!("it may not call `{}`", call.to));
        if call.to.starts_with('+') {
            if outbound.trunk.is_none() {
                return Err(BackendError::refused("no-trunk", "it names no trunk"));
            }
            if !outbound.numbers.iter().any(|prefix| call.to.starts_with(prefix)) {
                return Err(denied());
            }
        } else if let Some(rest) = call.to.strip_prefix("sip:") {
            let host = rest.split_once('@').map_or(rest, |(_, host)| host);
            if !outbound.domains.iter().any(|domain| domain == host) {
                return Err(denied());
            }
        } else {
            let user = state.users.values().find(|user| user.tenant == tenant && user.address() == call.to);
            let user = user.ok_or_else(denied)?.id;
            if !state.registrations.iter().any(|registration| registration.user == user) {
                return Err(BackendError::refused("user-not-registered", format!("`{}` has no phone", call.to)));
            }
        }
        if state.outbound.legs >= 500 {
            let detail = "500 legs are being dialled".to_owned();
            return Err(BackendError::Quota { limit: "outbound_legs", detail });
        }
        if state.is_draining {
            return Err(BackendError::unavailable("the node takes no calls any more"));
        }
        state.placed.push((id, call));
        Ok(id)
    }

    pub(crate) fn outbound_today(&self) -> OutboundToday {
        self.state().outbound.clone()
    }
}
