//! What a call is begun with. Resolved by the node, and the same for the call's whole life.

use std::sync::Arc;

use callbox_model::{
    ApplicationId, CallId, Fault, Header, IdSource, LegKey, LegSource, Limits, Millis, ModuleId, ModuleVersion,
    Offered, TenantId, Way,
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
    /// The number that led here. Of an outbound call, what stands in From.
    pub number: String,
    pub begin: Begin,
    pub ids: Arc<IdSource>,
    pub legs: Arc<LegSource>,
    /// Of the legs that it begins.
    pub lane: u8,
}

/// How a call begins.
#[derive(Debug)]
pub enum Begin {
    /// Somebody calls.
    Offered { leg: LegKey, offered: Box<Offered> },
    /// Leg 1 is dialled; the first handler has the call when it is answered.
    Dial(Box<Outgoing>),
}

/// An outbound call, as the node has resolved and allowed it.
#[derive(Debug)]
pub struct Outgoing {
    pub to: String,
    /// All at once: the first to answer wins.
    pub ways: Vec<Way>,
    pub headers: Vec<Header>,
    pub timeout: Millis,
    /// What the first handler finds in its call's info.
    pub input: Option<String>,
}

impl ApplicationPlan {
    pub(crate) fn lets_through(&self, header: &str) -> bool {
        let name = header.to_ascii_lowercase();
        name.starts_with("x-") || self.headers.contains(&name)
    }
}
