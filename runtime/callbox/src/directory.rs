//! Which call belongs to which application: a picture of the store's directory, made for lookups.
//!
//! A picture is never changed: a new one takes its place, and calls that began go on with what
//! they began with.

mod outgoing;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use callbox_call::{ApplicationPlan, HandlerPlan};
use callbox_model::{
    Application, ApplicationId, Credentials, Domain, Egress, Fault, FaultCode, Handler, Limits, Module, ModuleId,
    ModuleState, Number, TenantId, TenantState, TrunkId, UserId, Verifiers,
};
use callbox_sip::{Host, Scheme, Uri};
use callbox_store as store;
use ipnet::IpNet;

pub use outgoing::{Outgoing, TrunkRoute};

/// Everything that a call needs to begin.
#[derive(Debug)]
pub struct Route {
    pub tenant: TenantId,
    /// False while the tenant is suspended.
    pub is_open: bool,
    /// The number (address pattern) that led here. Empty for calls that go out.
    pub number: String,
    /// Whether strangers may call it.
    pub anonymous: bool,
    pub plan: Arc<ApplicationPlan>,
    pub settings: Arc<Settings>,
    pub outgoing: Arc<Outgoing>,
    /// All of the tenant's.
    pub trunks: Arc<[Arc<TrunkRoute>]>,
}

/// What an application's modules read and are.
#[derive(Debug, Default)]
pub struct Settings {
    pub config: Arc<BTreeMap<String, String>>,
    pub secrets: Arc<BTreeMap<String, String>>,
    /// Of the chain's modules.
    pub digests: BTreeMap<ModuleId, String>,
}

/// What was sealed, by its owner.
#[derive(Default)]
pub struct Opened {
    pub secrets: HashMap<ApplicationId, BTreeMap<String, String>>,
    pub verifiers: HashMap<UserId, Arc<Verifiers>>,
    pub passwords: HashMap<TrunkId, String>,
}

/// What is the same for all outgoing calls.
#[derive(Clone, Debug, Default)]
pub struct EgressRules {
    /// Sockets of the node and of what it needs.
    pub own: Arc<[SocketAddr]>,
    /// What the operator opened besides the public network.
    pub open: Arc<[IpNet]>,
}

#[derive(Debug, Default)]
pub struct Directory {
    pub revision: u64,
    routes: HashMap<String, Arc<Route>>,
    applications: HashMap<ApplicationId, Arc<Route>>,
    domains: HashMap<String, Domain>,
    /// By domain and name.
    users: HashMap<String, HashMap<String, Known>>,
    owners: HashMap<UserId, TenantId>,
    trunks: Vec<Arc<TrunkRoute>>,
}

/// A user that may register.
#[derive(Clone, Debug)]
struct Known {
    id: UserId,
    verifiers: Option<Arc<Verifiers>>,
}

impl Directory {
    pub fn new(kept: &store::Directory, opened: &mut Opened, limits: &Arc<Limits>, egress: &EgressRules) -> Self {
        let modules = Modules::new(&kept.modules);
        let trunks = Trunks::new(kept, opened, egress);
        let open: HashMap<_, _> =
            kept.tenants.iter().map(|tenant| (tenant.id, tenant.state == TenantState::Active)).collect();
        let applications: HashMap<_, _> = kept
            .applications
            .iter()
            .map(|application| {
                let plan = Arc::new(plan(application, &modules, limits));
                let settings = Settings {
                    config: Arc::new(application.spec.config.clone()),
                    secrets: Arc::new(opened.secrets.remove(&application.id).unwrap_or_default()),
                    digests: modules.digests(&plan),
                };
                let route = Route {
                    tenant: application.tenant,
                    is_open: open.get(&application.tenant).copied().unwrap_or(false),
                    number: String::new(),
                    anonymous: false,
                    plan,
                    settings: Arc::new(settings),
                    outgoing: Arc::new(trunks.outgoing(application, egress)),
                    trunks: trunks.of(application.tenant),
                };
                (application.id, Arc::new(route))
            })
            .collect();
        let routes = kept
            .numbers
            .iter()
            .filter_map(|number| {
                let to = applications.get(&number.application?)?;
                let route = Route {
                    tenant: number.tenant,
                    is_open: to.is_open,
                    number: number.address.clone(),
                    anonymous: number.anonymous,
                    plan: to.plan.clone(),
                    settings: to.settings.clone(),
                    outgoing: to.outgoing.clone(),
                    trunks: to.trunks.clone(),
                };
                Some((Number::normal(&number.address), Arc::new(route)))
            })
            .collect();
        let mut users = HashMap::<_, HashMap<_, _>>::new();
        for kept in &kept.users {
            let known = Known { id: kept.user.id, verifiers: opened.verifiers.remove(&kept.user.id) };
            users.entry(kept.user.domain.clone()).or_default().insert(kept.user.name.clone(), known);
        }
        let owners = kept.users.iter().map(|kept| (kept.user.id, kept.user.tenant)).collect();
        let domains = kept.domains.iter().map(|domain| (domain.name.clone(), domain.clone())).collect();
        Self { revision: kept.revision, routes, applications, domains, users, owners, trunks: trunks.all }
    }

    /// By the Request-URI: the whole address, then the domain's pattern, then the user part, so that
    /// nobody's number takes calls out of another's domain.
    pub fn find(&self, target: &str) -> Option<&Arc<Route>> {
        let uri = Uri::read(target.as_bytes()).ok()?;
        let user =
            uri.plain_user().map(|user| if uri.scheme == Scheme::Tel { without_separators(&user) } else { user });
        let domain = uri.host.as_ref().map(host_text);
        let whole = user.as_ref().zip(domain.as_ref()).map(|(user, domain)| format!("{user}@{domain}"));
        let pattern = domain.as_ref().map(|domain| format!("*@{domain}"));
        [whole, pattern, user].into_iter().flatten().find_map(|address| self.routes.get(&address))
    }

    /// Of a call that goes out, for an application of this tenant.
    pub fn application(&self, id: ApplicationId) -> Option<&Arc<Route>> {
        self.applications.get(&id)
    }

    /// Applications there are; for the metrics.
    pub fn applications(&self) -> usize {
        self.applications.len()
    }

    pub fn domain_of(&self, host: &str) -> Option<&Domain> {
        self.domains.get(&host.to_ascii_lowercase())
    }

    pub fn user(&self, domain: &str, name: &str) -> Option<UserId> {
        Some(self.known(domain, name)?.id)
    }

    pub fn tenant_of(&self, user: UserId) -> Option<TenantId> {
        self.owners.get(&user).copied()
    }

    /// None also for one whose verifiers do not open.
    pub fn verifiers(&self, domain: &str, name: &str) -> Option<(UserId, Arc<Verifiers>)> {
        let known = self.known(domain, name)?;
        Some((known.id, known.verifiers.clone()?))
    }

    fn known(&self, domain: &str, name: &str) -> Option<&Known> {
        self.users.get(&domain.to_ascii_lowercase())?.get(name)
    }

    /// Whether some trunk's calls come from there.
    pub fn is_of_a_trunk(&self, source: IpAddr) -> bool {
        self.trunks.iter().any(|trunk| trunk.trunk.speaks_from(source))
    }

    pub fn trunks(&self) -> &[Arc<TrunkRoute>] {
        &self.trunks
    }
}

/// RFC 3966 5.1.1: they are there for people.
fn without_separators(number: &str) -> String {
    number.chars().filter(|letter| !matches!(letter, '-' | '.' | '(' | ')')).collect()
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Name(name) => name.to_ascii_lowercase(),
        Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
    }
}

struct Trunks {
    all: Vec<Arc<TrunkRoute>>,
    by_tenant: HashMap<TenantId, Arc<[Arc<TrunkRoute>]>>,
}

impl Trunks {
    fn new(kept: &store::Directory, opened: &mut Opened, egress: &EgressRules) -> Self {
        let rules = Arc::new(Egress { own: egress.own.clone(), open: egress.open.clone(), only: Arc::default() });
        let all: Vec<_> = kept
            .trunks
            .iter()
            .map(|kept| {
                let trunk = kept.trunk.clone();
                let password = opened.passwords.remove(&trunk.id);
                let credentials = trunk.spec.username.clone().zip(password).map(|(username, password)| {
                    Arc::new(Credentials { realm: trunk.spec.realm.clone(), username, password })
                });
                let media_networks = trunk.spec.media_networks.iter().chain(&trunk.spec.networks).copied().collect();
                Arc::new(TrunkRoute { trunk, credentials, egress: rules.clone(), media_networks })
            })
            .collect();
        let mut by_tenant = HashMap::<_, Vec<_>>::new();
        for trunk in &all {
            by_tenant.entry(trunk.trunk.tenant).or_default().push(trunk.clone());
        }
        Self { all, by_tenant: by_tenant.into_iter().map(|(tenant, trunks)| (tenant, trunks.into())).collect() }
    }

    fn of(&self, tenant: TenantId) -> Arc<[Arc<TrunkRoute>]> {
        self.by_tenant.get(&tenant).cloned().unwrap_or_default()
    }

    fn outgoing(&self, application: &Application, egress: &EgressRules) -> Outgoing {
        let outbound = application.spec.outbound.clone();
        let named = |trunk: &&Arc<TrunkRoute>| Some(&trunk.trunk.name) == outbound.trunk.as_ref();
        Outgoing {
            trunk: self.of(application.tenant).iter().find(named).cloned(),
            egress: Arc::new(Egress {
                own: egress.own.clone(),
                open: egress.open.clone(),
                only: outbound.networks.as_slice().into(),
            }),
            media_networks: outbound.media_networks.as_slice().into(),
            outbound,
        }
    }
}

struct Modules<'m> {
    by_name: HashMap<(TenantId, &'m str), Vec<&'m Module>>,
    by_id: HashMap<ModuleId, &'m Module>,
}

impl<'m> Modules<'m> {
    fn new(modules: &'m [Module]) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for module in modules {
            by_name.entry((module.tenant, module.name.as_str())).or_default().push(module);
        }
        Self { by_name, by_id: modules.iter().map(|module| (module.id, module)).collect() }
    }

    fn find(&self, tenant: TenantId, handler: &Handler) -> Option<&'m Module> {
        let versions = self.by_name.get(&(tenant, handler.module.as_str()))?;
        match handler.version {
            Some(wanted) => versions.iter().find(|module| module.version == wanted).copied(),
            // The newest that may run: a newer one that was switched off does not take calls with it.
            None => {
                let newest = versions.iter().max_by_key(|module| module.version).copied();
                let ready = versions.iter().filter(|module| module.state == ModuleState::Ready);
                ready.max_by_key(|module| module.version).copied().or(newest)
            }
        }
    }

    fn digests(&self, plan: &ApplicationPlan) -> BTreeMap<ModuleId, String> {
        plan.handlers
            .iter()
            .filter_map(|handler| handler.module)
            .filter_map(|id| Some((id, self.by_id.get(&id)?.digest.clone())))
            .collect()
    }
}

fn plan(application: &Application, modules: &Modules<'_>, limits: &Arc<Limits>) -> ApplicationPlan {
    let spec = &application.spec;
    ApplicationPlan {
        id: application.id,
        name: application.name.clone(),
        handlers: spec.handlers.iter().map(|handler| link(application.tenant, handler, modules)).collect(),
        headers: spec.headers.iter().map(|header| header.to_ascii_lowercase()).collect(),
        voice: spec.voice.clone(),
        language: spec.language.clone(),
        apology: spec.apology.clone(),
        last_resort_status: spec.last_resort_status.unwrap_or(LAST_RESORT_STATUS),
        limits: limits.clone(),
    }
}

fn link(tenant: TenantId, handler: &Handler, modules: &Modules<'_>) -> HandlerPlan {
    let name = handler.module.clone();
    let Some(module) = modules.find(tenant, handler) else {
        let which = handler.version.map_or_else(String::new, |version| format!(" version {version}"));
        let why = format!("the tenant has no module `{name}`{which}");
        let unusable = Some(Fault::new(FaultCode::ModuleMissing, why));
        return HandlerPlan { module: None, name, version: handler.version.unwrap_or(0), unusable };
    };
    let why = |code, what| Some(Fault::new(code, format!("module `{name}` version {} {what}", module.version)));
    let unusable = match module.state {
        ModuleState::Ready => None,
        ModuleState::Disabled => why(FaultCode::ModuleDisabled, "is switched off"),
        ModuleState::Quarantined => why(FaultCode::ModuleQuarantined, "is in quarantine"),
    };
    HandlerPlan { module: Some(module.id), name, version: module.version, unusable }
}

/// Temporarily unavailable: the caller may try again.
const LAST_RESORT_STATUS: u16 = 480;

#[cfg(test)]
mod tests {
    use callbox_model::{ApplicationSpec, NumberId, Tenant, Wall, World};

    use super::*;

    const TENANT: TenantId = TenantId::from_u128(1);

    fn module(version: u32, state: ModuleState) -> Module {
        Module {
            id: ModuleId::from_u128(version.into()),
            tenant: TENANT,
            name: "menu".into(),
            version,
            digest: format!("sha256:{version}"),
            world: World::CallHandler,
            state,
            bytes: 1,
            imports: Vec::new(),
            initial_memory_bytes: 0,
            created: Wall(0),
        }
    }

    fn directory(modules: Vec<Module>, handler: Handler, addresses: &[&str]) -> Directory {
        let application = Application {
            id: ApplicationId::from_u128(1),
            tenant: TENANT,
            name: "app".into(),
            spec: ApplicationSpec { handlers: vec![handler], ..ApplicationSpec::default() },
            secrets: Vec::new(),
            revision: 1,
            created: Wall(0),
        };
        let number = |(place, address): (usize, &&str)| Number {
            id: NumberId::from_u128(place as u128),
            tenant: TENANT,
            address: (*address).to_owned(),
            application: Some(application.id),
            anonymous: true,
            created: Wall(0),
        };
        let kept = store::Directory {
            revision: 1,
            tenants: vec![Tenant { id: TENANT, name: "t".into(), state: TenantState::Active, created: Wall(0) }],
            modules,
            numbers: addresses.iter().enumerate().map(number).collect(),
            applications: vec![application],
            ..store::Directory::default()
        };
        Directory::new(&kept, &mut Opened::default(), &Arc::default(), &EgressRules::default())
    }

    fn newest() -> Handler {
        Handler { module: "menu".into(), version: None }
    }

    #[test]
    fn the_closest_address_wins() {
        let modules = vec![module(1, ModuleState::Ready)];
        let directory = directory(modules, newest(), &["100", "100@Example.org", "*@example.org", "+49301"]);
        let number = |target: &str| directory.find(target).map(|route| route.number.clone());
        assert_eq!(number("sip:100@EXAMPLE.org:5060").as_deref(), Some("100@Example.org"));
        assert_eq!(number("sip:100@192.0.2.1;transport=tcp").as_deref(), Some("100"));
        assert_eq!(number("sip:anna@example.org").as_deref(), Some("*@example.org"));
        for tel in ["tel:+49301", "tel:+49-30.1", "tel:+(49)301;phone-context=x"] {
            assert_eq!(number(tel).as_deref(), Some("+49301"), "{tel}");
        }
        assert_eq!(number("sip:+49301@example.org").as_deref(), Some("*@example.org"), "a domain is its owner's");
        assert_eq!(number("sip:101@192.0.2.1"), None);
        assert_eq!(number("not a uri"), None);
    }

    #[test]
    fn the_newest_ready_version_runs_and_what_cannot_says_why() {
        let all =
            || vec![module(1, ModuleState::Ready), module(2, ModuleState::Ready), module(3, ModuleState::Disabled)];
        let first = |directory: Directory| directory.find("sip:1@h").unwrap().plan.handlers[0].clone();
        assert_eq!(first(directory(all(), newest(), &["1"])).version, 2);
        let disabled = first(directory(all(), Handler { module: "menu".into(), version: Some(3) }, &["1"]));
        assert_eq!(disabled.unusable.unwrap().code, FaultCode::ModuleDisabled);
        let missing = first(directory(all(), Handler { module: "gone".into(), version: None }, &["1"]));
        assert_eq!(missing.unusable.unwrap().code, FaultCode::ModuleMissing);
    }
}
