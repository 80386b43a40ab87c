use callbox_model::{
    Application, ApplicationId, ApplicationSpec, Module, ModuleId, Number, Tenant, TenantId, Wall, World,
};

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
