//! What a call is begun with. Resolved by the node, and the same for the call's whole life.

use std::sync::Arc;

use callbox_model::{
    ApplicationId, CallId, Fault, IdSource, LegKey, Limits, ModuleId, ModuleVersion, Offered, TenantId,
};

/// An application as it stood when the call began.
#[derive(Clone, Debug)]
pub struct ApplicationPlan {
    pub id: ApplicationId,
    pub name: String,
    /// Primary first.
    pub handlers: Vec<HandlerPlan>,
    /// SIP headers handlers may read and set, in lower case, besides those that start with `x-`.
    pub headers: Vec<String>,
    pub voice: Option<String>,
    pub language: Option<String>,
    /// None: the built-in words. Empty: no words.
    pub apology: Option<String>,
    pub last_resort_status: u16,
    pub limits: Arc<Limits>,
}

#[derive(Clone, Debug)]
pub struct HandlerPlan {
    pub module: Option<ModuleId>,
    pub name: String,
    pub version: ModuleVersion,
    /// Why it cannot be started at all: missing, disabled, in quarantine.
    pub unusable: Option<Fault>,
}

#[derive(Debug)]
pub struct Setup {
    pub call: CallId,
    pub tenant: TenantId,
    pub application: Arc<ApplicationPlan>,
    /// The number that led here.
    pub number: String,
    pub leg: LegKey,
    pub offered: Box<Offered>,
    pub ids: Arc<IdSource>,
}

impl ApplicationPlan {
    pub(crate) fn lets_through(&self, header: &str) -> bool {
        let name = header.to_ascii_lowercase();
        name.starts_with("x-") || self.headers.contains(&name)
    }
}
