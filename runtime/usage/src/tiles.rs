//! The stretches of control of a call add up to the call.

use callbox_model::{CallRecord, Run, RunKind};
use thiserror::Error;

/// Why the Runs of a call do not tile it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Untiled {
    #[error("nobody held the call for {missing_us} us of its {life_us} us")]
    Gap { life_us: u64, missing_us: u64 },
    #[error("its Runs held the call {surplus_us} us longer than its {life_us} us")]
    Overlap { life_us: u64, surplus_us: u64 },
    #[error("its Runs were connected for {found_us} us, the call for {connected_us} us")]
    Connected { connected_us: u64, found_us: u64 },
    #[error("it has not ended")]
    Open,
    #[error("run {run} is of another call")]
    Stranger { run: String },
    #[error("run {run} is not closed")]
    OpenRun { run: String },
}

/// Holds the Runs of a call that has ended against its life, to the microsecond. Runs that are no
/// Control take no part, and neither does the time for which a Control was parked.
pub fn tiles(call: &CallRecord, runs: &[Run]) -> Result<(), Untiled> {
    let ended = call.ended.ok_or(Untiled::Open)?;
    let life_us = u64::try_from(ended.as_micros().saturating_sub(call.started.as_micros())).unwrap_or(0);
    let (mut held_us, mut found_us) = (0u64, 0u64);
    for run in runs.iter().filter(|run| run.kind == RunKind::Control) {
        if run.call != call.id {
            return Err(Untiled::Stranger { run: run.id.to_string() });
        }
        if run.end.is_none() {
            return Err(Untiled::OpenRun { run: run.id.to_string() });
        }
        held_us = held_us.saturating_add(run.usage.holding_us);
        found_us = found_us.saturating_add(run.usage.connected_us);
    }
    if held_us < life_us {
        return Err(Untiled::Gap { life_us, missing_us: life_us - held_us });
    }
    if held_us > life_us {
        return Err(Untiled::Overlap { life_us, surplus_us: held_us - life_us });
    }
    if found_us != call.connected_us {
        return Err(Untiled::Connected { connected_us: call.connected_us, found_us });
    }
    Ok(())
}
