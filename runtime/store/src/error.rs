use callbox_model::TenantId;
use thiserror::Error;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// Also what belongs to another tenant: nobody learns that it exists.
    #[error("there is no {what} `{id}`")]
    NotFound { what: &'static str, id: String },

    /// `owner` is for operators only, and no part of the text.
    #[error("{what} `{id}` {why}")]
    Conflict { what: &'static str, id: String, why: String, owner: Option<TenantId> },

    /// It was changed by somebody else in between.
    #[error("{what} `{id}` is at revision {current}, not at {expected}")]
    Stale { what: &'static str, id: String, expected: u64, current: u64 },

    #[error("{what} `{id}` was refused: {why}")]
    Refused { what: &'static str, id: String, why: String },

    /// A limit of `callbox_model::Limits`, by its name.
    #[error("{what} `{id}` would go over {limit} ({most})")]
    Quota { what: &'static str, id: String, limit: &'static str, most: u64 },

    /// The database is away, busy or full. Trying again may help.
    #[error("the database could not {attempted}: {source}")]
    Unavailable { attempted: &'static str, source: Box<dyn std::error::Error + Send + Sync> },

    /// What was read is not what was written. Trying again does not help.
    #[error("{what} `{id}` is damaged in the database: {why}")]
    Corrupt { what: &'static str, id: String, why: String },
}

impl Error {
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    /// True when the same request may succeed later, unchanged.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
