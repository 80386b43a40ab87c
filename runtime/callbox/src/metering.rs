//! What the node counts of itself, for Prometheus.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::backend::Backend;

/// Once in a process.
pub fn install() -> Result<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().context("cannot count: metrics are installed already")
}

impl Backend {
    /// What is looked at when somebody asks, rather than counted.
    pub fn gauge(&self) {
        let parts = &self.parts;
        let writer = parts.writer.health();
        let gauge = |name: &'static str, value: usize| metrics::gauge!(name).set(value as f64);
        gauge("calls", parts.lanes.calls());
        gauge("sip_legs", parts.signal.open_legs());
        gauge("outbound_legs", parts.drive.outbounds.legs());
        gauge("media_legs", parts.media.open_legs());
        gauge("sandbox_instances", parts.sandbox.live());
        gauge("ledger_waiting", writer.waiting);
        metrics::counter!("ledger_written_total").absolute(writer.written);
        metrics::counter!("ledger_left_out_total").absolute(writer.left_out);
        metrics::counter!("ledger_refused_total").absolute(writer.refused);
        metrics::counter!("sandbox_late_outcomes_total").absolute(parts.sandbox.late_outcomes());
        gauge("applications", parts.routing.current().load().applications());
    }
}
