use callbox_model::{Registration, UserId, Wall};

/// What a REGISTER, its running out, or an operator changed.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistrationChange {
    /// A contact that is new, which is told, or that came again, which is not.
    Put { registration: Registration, at: Wall },
    /// It can be reached there no longer. What is not there is removed already, and not told.
    Remove { user: UserId, contact: String, why: String, at: Wall },
}

impl RegistrationChange {
    pub const fn user(&self) -> UserId {
        match self {
            Self::Put { registration, .. } => registration.user,
            Self::Remove { user, .. } => *user,
        }
    }
}
