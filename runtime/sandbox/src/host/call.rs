//! `call`: the call and its legs.

use callbox_model as model;
use callbox_model::{Outcome, Step};

use super::types::{headers, shown, told};
use crate::contract::callbox::voice::{call, types};
use crate::guest::{Guest, unfit};

type Told<T> = wasmtime::Result<Result<T, types::StepError>>;

impl call::Host for Guest {
    async fn info(&mut self) -> wasmtime::Result<types::CallInfo> {
        match self.step("call.info", Step::Info).await? {
            Outcome::Info(info) => Ok((*info).into()),
            other => Err(unfit("call.info", &other)),
        }
    }

    async fn legs(&mut self) -> wasmtime::Result<Vec<types::Leg>> {
        match self.step("call.legs", Step::Legs).await? {
            Outcome::Legs(legs) => Ok(legs.into_iter().map(Into::into).collect()),
            other => Err(unfit("call.legs", &other)),
        }
    }

    async fn leg_headers(&mut self, leg: u32) -> Told<Vec<types::Header>> {
        match self.step("call.leg-headers", Step::LegHeaders { leg }).await? {
            Outcome::Headers(found) => Ok(Ok(shown(found))),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit("call.leg-headers", &other)),
        }
    }

    async fn ring(&mut self, early_media: bool) -> Told<()> {
        self.done("call.ring", Step::Ring { early_media }).await.map(told)
    }

    async fn answer(&mut self, given: Vec<types::Header>) -> Told<()> {
        self.done("call.answer", Step::Answer { headers: headers(given) }).await.map(told)
    }

    async fn reject(&mut self, status: u16, reason: String, given: Vec<types::Header>) -> Told<()> {
        self.done("call.reject", Step::Reject { status, reason, headers: headers(given) }).await.map(told)
    }

    async fn hangup(&mut self, leg: Option<u32>, reason: Option<String>) -> Told<()> {
        self.done("call.hangup", Step::Hangup { leg, reason }).await.map(told)
    }

    async fn dial(&mut self, targets: Vec<String>, options: Option<call::DialOptions>) -> Told<u32> {
        match self.step("call.dial", Step::Dial { targets, options: dial_options(options) }).await? {
            Outcome::Dialling(leg) => Ok(Ok(leg)),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit("call.dial", &other)),
        }
    }

    async fn bridge(&mut self, a: u32, b: u32, digits: call::Digits) -> Told<()> {
        let digits = match digits {
            call::Digits::Pass => model::BridgeDigits::Pass,
            call::Digits::Keep => model::BridgeDigits::Keep,
        };
        self.done("call.bridge", Step::Bridge { a, b, digits }).await.map(told)
    }

    async fn part(&mut self, leg: u32) -> Told<()> {
        self.done("call.part", Step::Part { leg }).await.map(told)
    }

    async fn hold(&mut self, leg: u32) -> Told<()> {
        self.done("call.hold", Step::Hold { leg }).await.map(told)
    }

    async fn resume(&mut self, leg: u32) -> Told<()> {
        self.done("call.resume", Step::Resume { leg }).await.map(told)
    }

    async fn refer(&mut self, leg: u32, to: call::ReferTarget, timeout: Option<u32>) -> Told<u16> {
        let to = match to {
            call::ReferTarget::Address(address) => model::ReferTarget::Address(address),
            call::ReferTarget::Leg(leg) => model::ReferTarget::Leg(leg),
        };
        match self.step("call.refer", Step::Refer { leg, to, timeout }).await? {
            Outcome::Status(status) => Ok(Ok(status)),
            Outcome::Failed(error) => Ok(Err(error.into())),
            other => Err(unfit("call.refer", &other)),
        }
    }

    async fn answer_refer(&mut self, leg: u32, status: u16) -> Told<()> {
        self.done("call.answer-refer", Step::AnswerRefer { leg, status }).await.map(told)
    }

    async fn give(&mut self, leg: u32, to: String) -> Told<()> {
        self.done("call.give", Step::Give { leg, to }).await.map(told)
    }

    async fn send(&mut self, to: String, body: String) -> Told<()> {
        self.done("call.send", Step::Send { to, body }).await.map(told)
    }

    async fn send_digits(&mut self, leg: u32, digits: String) -> Told<()> {
        self.done("call.send-digits", Step::SendDigits { leg, digits }).await.map(told)
    }
}

fn dial_options(given: Option<call::DialOptions>) -> model::DialOptions {
    let Some(given) = given else { return model::DialOptions::default() };
    let call::DialOptions { order, caller_id, headers: added, timeout, time_limit, send_digits, early_media } = given;
    model::DialOptions {
        order: order.map(|order| match order {
            call::Order::All => model::DialOrder::All,
            call::Order::OneByOne => model::DialOrder::OneByOne,
        }),
        caller_id,
        headers: headers(added),
        timeout,
        time_limit,
        send_digits,
        early_media,
    }
}
