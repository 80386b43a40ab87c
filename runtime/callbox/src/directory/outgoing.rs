//! What an application's outgoing calls go by: its rules, and the trunk that it names.

use std::sync::Arc;
use std::time::Duration;

use callbox_model::{Credentials, Egress, Outbound, Trunk, TrunkId};
use callbox_signal::TrunkRegistration;
use ipnet::IpNet;

/// Of one application.
#[derive(Debug, Default)]
pub struct Outgoing {
    pub outbound: Outbound,
    pub trunk: Option<Arc<TrunkRoute>>,
    /// For addresses outside of trunks.
    pub egress: Arc<Egress>,
    pub media_networks: Arc<[IpNet]>,
}

/// A trunk, ready to be called through.
#[derive(Debug)]
pub struct TrunkRoute {
    pub trunk: Trunk,
    pub credentials: Option<Arc<Credentials>>,
    pub egress: Arc<Egress>,
    pub media_networks: Arc<[IpNet]>,
}

impl TrunkRoute {
    pub fn id(&self) -> TrunkId {
        self.trunk.id
    }

    /// What is to be registered, if it wants to be.
    pub fn registration(&self) -> Option<TrunkRegistration> {
        let credentials = self.credentials.clone().filter(|_| self.trunk.spec.register)?;
        Some(TrunkRegistration {
            trunk: self.trunk.id,
            uri: self.trunk.spec.uri.clone(),
            credentials,
            expires: Duration::from_secs(self.trunk.spec.expires_s.unwrap_or(EXPIRES_S).into()),
            egress: self.egress.clone(),
        })
    }

    /// What stands in From when nobody says: its own number, or its name there.
    pub fn caller_id(&self) -> Option<&str> {
        let spec = &self.trunk.spec;
        spec.caller_id.as_deref().or(spec.username.as_deref())
    }
}

const EXPIRES_S: u32 = 600;
