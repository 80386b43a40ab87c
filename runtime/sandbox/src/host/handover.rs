//! `handover`: what the next one gets, should this one fall.

use callbox_model::{Step, StepError};

use super::types::told;
use crate::contract::callbox::voice::{handover, types};
use crate::guest::Guest;

impl handover::Host for Guest {
    async fn checkpoint(&mut self, state: Vec<u8>) -> wasmtime::Result<Result<(), types::StepError>> {
        let limit = self.run.limits.checkpoint_bytes as usize;
        if state.len() > limit {
            self.called("handover.checkpoint").await?;
            let words = format!("a state of {} bytes: at most {limit} are kept", state.len());
            return Ok(Err(StepError::Argument(words).into()));
        }
        self.done("handover.checkpoint", Step::Checkpoint { state }).await.map(told)
    }
}
