//! `call`: the call and its legs.

use callbox_model::{Outcome, Step};

use super::types::{headers, told};
use crate::contract::callbox::voice::{call, types};
use crate::guest::{Guest, unfit};

impl call::Host for Guest {
    async fn info(&mut self) -> wasmtime::Result<types::CallInfo> {
        match self.step("call.info", Step::Info).await? {
            Outcome::Info(info) => Ok((*info).into()),
            other => Err(unfit("call.info", &other)),
        }
    }

    async fn ring(&mut self, early_media: bool) -> wasmtime::Result<Result<(), types::StepError>> {
        self.done("call.ring", Step::Ring { early_media }).await.map(told)
    }

    async fn answer(&mut self, given: Vec<types::Header>) -> wasmtime::Result<Result<(), types::StepError>> {
        self.done("call.answer", Step::Answer { headers: headers(given) }).await.map(told)
    }

    async fn reject(
        &mut self,
        status: u16,
        reason: String,
        given: Vec<types::Header>,
    ) -> wasmtime::Result<Result<(), types::StepError>> {
        self.done("call.reject", Step::Reject { status, reason, headers: headers(given) }).await.map(told)
    }

    async fn hangup(
        &mut self,
        leg: Option<u32>,
        reason: Option<String>,
    ) -> wasmtime::Result<Result<(), types::StepError>> {
        self.done("call.hangup", Step::Hangup { leg, reason }).await.map(told)
    }
}
