use callbox_model::{KeyId, TenantId, Wall};

/// An API key as it is kept: the key itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub role: Role,
    /// Of the secret part.
    pub hash: [u8; 32],
    /// What it is for, in its maker's words.
    pub name: String,
    pub created: Wall,
    pub revoked: Option<Wall>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May do everything, for every tenant.
    Operator,
    Tenant(TenantId),
}
