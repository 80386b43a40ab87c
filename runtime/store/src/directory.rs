use callbox_model::{
    Application, ApplicationId, ApplicationSpec, Domain, Module, ModuleId, Number, Tenant, TenantId, Trunk, TrunkId,
    TrunkSpec, User, Wall, World,
};

use crate::Sealed;

/// Everything that routing needs, as it stood at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directory {
    /// Grows with every change of what is in here.
    pub revision: u64,
    pub tenants: Vec<Tenant>,
    /// All versions, by tenant, name and version.
    pub modules: Vec<Module>,
    pub applications: Vec<Application>,
    pub numbers: Vec<Number>,
    pub domains: Vec<Domain>,
    pub users: Vec<KeptUser>,
    pub trunks: Vec<KeptTrunk>,
}

/// A user, and what its digest is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptUser {
    pub user: User,
    pub verifiers: Sealed,
}

/// A trunk, and what answers its challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTrunk {
    pub trunk: Trunk,
    pub password: Option<Sealed>,
}

/// A module before it has its version.
#[derive(Clone, Debug, PartialEq)]
pub struct NewModule {
    pub id: ModuleId,
    pub tenant: TenantId,
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits; held against the component.
    pub digest: String,
    pub world: World,
    pub imports: Vec<String>,
    pub initial_memory_bytes: u64,
    pub created: Wall,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewApplication {
    pub id: ApplicationId,
    pub tenant: TenantId,
    /// Unique within the tenant.
    pub name: String,
    pub spec: ApplicationSpec,
    pub created: Wall,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewTrunk {
    pub id: TrunkId,
    pub tenant: TenantId,
    /// Unique within the tenant.
    pub name: String,
    pub spec: TrunkSpec,
    pub password: Option<Sealed>,
    pub created: Wall,
}

/// None leaves as it is. Name and domain stay: the verifiers are made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Some(None) takes it away.
    pub display: Option<Option<String>>,
    pub verifiers: Option<Sealed>,
}

/// A trunk as it is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkChange {
    pub name: String,
    pub spec: TrunkSpec,
    pub password: PasswordChange,
}

/// What becomes of a trunk's password, which nobody can read to write it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PasswordChange {
    #[default]
    Keep,
    Remove,
    Put(Sealed),
}
