//! What calls through trunks cost, for the guard against toll fraud.

use std::collections::BTreeSet;

use callbox_model::{CallId, LegNumber, TenantId, TrunkId, Wall};

/// One leg that goes out through a trunk. Written when it begins, and again as it grows: of two,
/// the larger figures stand, so that it does not matter which comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundLeg {
    pub call: CallId,
    pub leg: LegNumber,
    pub tenant: TenantId,
    pub trunk: TrunkId,
    /// Calling code of the country, digits alone.
    pub code: String,
    pub began: Wall,
    /// Begun minutes. 0 while nobody has answered.
    pub minutes: u32,
    pub spend_micros: u64,
}

/// What a tenant has bought on one day, UTC. A leg counts for the day on which it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundUsage {
    /// Its midnight.
    pub day: Wall,
    pub legs: u64,
    pub minutes: u64,
    pub spend_micros: u64,
    /// Calling codes that were ever called.
    pub codes: BTreeSet<String>,
    /// Of these, the ones that were called for the first time on this day.
    pub new_codes: BTreeSet<String>,
}
