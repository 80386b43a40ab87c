//! The guard against toll fraud at its posts: before a leg is dialled, when it is answered, at each
//! minute, and at its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callbox_model::{CallId, LegCommand, LegKey, Limits, Now, TenantId, TrunkId};
use callbox_store::{OutboundLeg, OutboundUsage, WriterHandle};
use callbox_usage::{Bill, Bought, OutboundGuard, Over, Today};

use crate::clock::Clock;
use crate::limited::Limited;

pub struct Outbounds {
    clock: Clock,
    limits: Arc<Limits>,
    state: Mutex<State>,
    writer: WriterHandle,
    limited: Limited,
    signal: callbox_signal::Handle,
}

#[derive(Default)]
struct State {
    guard: OutboundGuard,
    /// Of legs that are bought.
    bought: HashMap<LegKey, Row>,
    tenants: HashMap<LegKey, TenantId>,
}

/// What of a leg is written down.
#[derive(Clone)]
struct Row {
    call: CallId,
    tenant: TenantId,
    trunk: TrunkId,
    code: String,
}

impl Outbounds {
    pub fn new(
        clock: Clock,
        limits: Arc<Limits>,
        writer: WriterHandle,
        limited: Limited,
        signal: callbox_signal::Handle,
    ) -> Self {
        Self { clock, limits, state: Mutex::default(), writer, limited, signal }
    }

    /// What was used before the start.
    pub fn restore(&self, tenant: TenantId, usage: OutboundUsage) {
        let today = Today {
            day: usage.day.as_micros().div_euclid(DAY_US),
            minutes: u32::try_from(usage.minutes).unwrap_or(u32::MAX),
            spend_micros: usage.spend_micros,
            new_codes: usage.new_codes,
        };
        self.state().guard.restore(tenant, today, usage.codes, &self.limits);
    }

    /// Whether such a leg might be dialled now.
    pub fn would(&self, tenant: TenantId, bought: Option<&Bought>) -> Result<(), Over> {
        let now = self.clock.now();
        let answer = self.state().guard.would(now, tenant, bought, &self.limits);
        answer.inspect_err(|over| self.tell(tenant, over))
    }

    /// A leg is about to be dialled. `trunk` is whom it is bought of.
    pub fn begin(
        &self,
        leg: LegKey,
        call: CallId,
        tenant: TenantId,
        bought: Option<(TrunkId, Bought)>,
    ) -> Result<(), Over> {
        let now = self.clock.now();
        let price = bought.as_ref().map(|(_, bought)| bought.clone());
        {
            let mut state = self.state();
            let begun = state.guard.begin(now, leg, tenant, price, &self.limits);
            if let Err(over) = begun {
                drop(state);
                self.tell(tenant, &over);
                return Err(over);
            }
            state.tenants.insert(leg, tenant);
            if let Some((trunk, bought)) = &bought {
                let row = Row { call, tenant, trunk: *trunk, code: bought.code.clone() };
                state.bought.insert(leg, row);
            }
        }
        if let Some((trunk, bought)) = bought {
            let row = Row { call, tenant, trunk, code: bought.code };
            self.write(leg, &row, now, 0, 0);
        }
        Ok(())
    }

    pub fn answered(&self, leg: LegKey) {
        let now = self.clock.now();
        let answer = self.state().guard.answered(now, leg);
        match answer {
            Ok(()) => self.mark(leg),
            Err(over) => self.stop(leg, &over),
        }
    }

    pub fn ended(&self, leg: LegKey) {
        let (bill, row) = {
            let mut state = self.state();
            state.tenants.remove(&leg);
            (state.guard.ended(leg), state.bought.remove(&leg))
        };
        if let (Some(bill), Some(row)) = (bill, row) {
            self.bill(leg, &row, &bill);
        }
    }

    /// Begins minutes for as long as the node runs.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.clock.now();
            let due = self.state().guard.tick(now);
            for (leg, begun) in due {
                match begun {
                    Ok(()) => self.mark(leg),
                    Err(over) => self.stop(leg, &over),
                }
            }
        }
    }

    pub fn today(&self, tenant: TenantId) -> (Today, u32) {
        let now = self.clock.now();
        let mut state = self.state();
        let legs = state.tenants.values().filter(|owner| **owner == tenant).count();
        (state.guard.today(tenant, now.wall), u32::try_from(legs).unwrap_or(u32::MAX))
    }

    /// Legs that are counted.
    pub fn legs(&self) -> usize {
        self.state().guard.legs()
    }

    /// The minutes so far, should the node die before the leg ends.
    fn mark(&self, leg: LegKey) {
        let (figures, row) = {
            let state = self.state();
            (state.guard.figures(leg), state.bought.get(&leg).cloned())
        };
        if let (Some(bill), Some(row)) = (figures, row) {
            self.bill(leg, &row, &bill);
        }
    }

    fn bill(&self, leg: LegKey, row: &Row, bill: &Bill) {
        let now = Now { wall: bill.began, ..self.clock.now() };
        self.write(leg, row, now, bill.minutes, bill.spend_micros);
    }

    fn write(&self, leg: LegKey, row: &Row, began: Now, minutes: u32, spend_micros: u64) {
        let entry = OutboundLeg {
            call: row.call,
            // Unique within its call, and known from the first moment.
            leg: leg.0 as u32,
            tenant: row.tenant,
            trunk: row.trunk,
            code: row.code.clone(),
            began: began.wall,
            minutes,
            spend_micros,
        };
        // What may not be left out is not.
        let _ = self.writer.try_record(entry);
    }

    fn stop(&self, leg: LegKey, over: &Over) {
        let tenant = self.state().tenants.get(&leg).copied();
        if let Some(tenant) = tenant {
            self.tell(tenant, over);
        }
        // The call hears of it as of any other end of its leg.
        self.signal.send(leg, LegCommand::Hangup { ask: 0, reason: Some(over.to_string()) });
    }

    fn tell(&self, tenant: TenantId, over: &Over) {
        self.limited.reached(tenant, over.limit, || over.detail.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
const DAY_US: i64 = 86_400_000_000;
