//! Overload control (RFC 7339), for clients that say that they do it: what share of their requests
//! they shall keep to themselves stands in the Via of our answers.

use std::time::Duration;

use super::Agent;
use crate::transaction::Time;

#[derive(Clone, Copy, Debug)]
pub(super) struct Overload {
    percent: u32,
    validity: Duration,
}

impl Overload {
    pub(super) fn new(percent: u32, validity: Duration) -> Self {
        Self { percent: percent.min(100), validity }
    }
}

impl Agent {
    /// The parameters behind `oc` (4.1 to 4.4). The sequence is the time: it only grows.
    pub(super) fn oc(&self, now: Time) -> Option<String> {
        let Overload { percent, validity } = self.overload?;
        let (seconds, ms) = (now.as_secs(), now.subsec_millis());
        let validity_ms = validity.as_millis();
        Some(format!(";oc={percent};oc-algo=\"loss\";oc-validity={validity_ms};oc-seq={seconds}.{ms:03}"))
    }
}
