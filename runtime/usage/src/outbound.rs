//! The guard against toll fraud: what a tenant may dial, held from the first call on.
//!
//! A stolen account is used up within hours, at night, in countries that nobody called before. So
//! each tenant has a bound on legs at once and a minute, and what is bought of trunks has one on
//! minutes and money a day, and on countries that are new. A minute counts when it begins; a leg
//! that would begin one over the bound is named, to be hung up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callbox_model::{Instant, LegKey, Limits, Now, TenantId, Wall};
use thiserror::Error;

use crate::Window;

#[derive(Debug, Default)]
pub struct OutboundGuard {
    tenants: BTreeMap<TenantId, Account>,
    legs: BTreeMap<LegKey, Leg>,
    /// Of legs that are bought and answered: when their next minute begins.
    minutes: BTreeSet<(Instant, LegKey)>,
}

/// What a leg costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bought {
    /// Of the number that is called; see [`crate::calling_code`].
    pub code: String,
    /// Of a begun minute, in millionths of the tenant's currency.
    pub minute_price_micros: u64,
}

/// Why a leg may not be dialled, or not go on. `limit` is its name in [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{limit} is reached: {detail}")]
pub struct Over {
    pub limit: &'static str,
    pub detail: String,
}

/// What has been used of today's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// Days since the Unix epoch, UTC.
    pub day: i64,
    pub minutes: u32,
    pub spend_micros: u64,
    pub new_codes: BTreeSet<String>,
}

/// What a leg came to, once it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    pub tenant: TenantId,
    pub code: String,
    pub began: Wall,
    pub minutes: u32,
    pub spend_micros: u64,
}

#[derive(Debug)]
struct Account {
    at_once: u32,
    begun: Window,
    today: Today,
    /// Ever called.
    known: BTreeSet<String>,
}

#[derive(Debug)]
struct Leg {
    tenant: TenantId,
    limits: Bounds,
    bought: Option<Bought>,
    began: Wall,
    minutes: u32,
    spend_micros: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    minutes: u32,
    spend_micros: u64,
}

impl OutboundGuard {
    /// At the start: what was used before.
    pub fn restore(&mut self, tenant: TenantId, today: Today, known: BTreeSet<String>, limits: &Limits) {
        let account = self.account(tenant, limits);
        account.today = today;
        account.known = known;
    }

    /// Whether a leg might be dialled now; nothing is counted.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn would(&mut self, now: Now, tenant: TenantId, bought: Option<&Bought>, limits: &Limits) -> Result<(), Over> {
        let account = self.account(tenant, limits);
        account.turn_page(now.wall);
        if account.at_once >= limits.outbound_legs {
            return Err(over("outbound_legs", format!("{} legs are dialled at once", account.at_once)));
        }
        let most = limits.outbound_legs_per_minute;
        if account.begun.used(now.at) >= most {
            return Err(over("outbound_legs_per_minute", format!("{most} legs were begun within a minute")));
        }
        bought.map_or(Ok(()), |bought| account.may_buy(bought, limits))
    }

    /// A leg is about to be dialled. Every one that may be has an [`Self::ended`].
    ///
    /// # Errors
    /// The first bound that is reached. Nothing is counted then.
    pub fn begin(
        &mut self,
        now: Now,
        leg: LegKey,
        tenant: TenantId,
        bought: Option<Bought>,
        limits: &Limits,
    ) -> Result<(), Over> {
        self.would(now, tenant, bought.as_ref(), limits)?;
        let account = self.account(tenant, limits);
        // There is room: it was looked at.
        let _ = account.begun.take(now.at);
        account.at_once += 1;
        if let Some(bought) = &bought
            && account.known.insert(bought.code.clone())
        {
            account.today.new_codes.insert(bought.code.clone());
        }
        let bounds =
            Bounds { minutes: limits.outbound_minutes_per_day, spend_micros: limits.outbound_spend_micros_per_day };
        self.legs.insert(leg, Leg { tenant, limits: bounds, bought, began: now.wall, minutes: 0, spend_micros: 0 });
        Ok(())
    }

    /// The far end answered: its first minute begins.
    ///
    /// # Errors
    /// The minute is over the bound. The leg is to be hung up.
    pub fn answered(&mut self, now: Now, leg: LegKey) -> Result<(), Over> {
        let Some(state) = self.legs.get_mut(&leg) else { return Ok(()) };
        if state.bought.is_none() || state.minutes > 0 {
            return Ok(());
        }
        state.began = now.wall;
        self.next_minute(now, leg)
    }

    /// Begins the minutes that are due: names the legs, and those that may not begin theirs with
    /// the reason. They are to be hung up.
    pub fn tick(&mut self, now: Now) -> Vec<(LegKey, Result<(), Over>)> {
        let mut due = Vec::new();
        while let Some(&(at, leg)) = self.minutes.first()
            && at <= now.at
        {
            self.minutes.pop_first();
            due.push((leg, self.next_minute(Now { at, ..now }, leg)));
        }
        due
    }

    /// What a leg that is bought and answered has come to so far.
    pub fn figures(&self, leg: LegKey) -> Option<Bill> {
        let state = self.legs.get(&leg)?;
        let bought = state.bought.as_ref().filter(|_| state.minutes > 0)?;
        Some(Bill {
            tenant: state.tenant,
            code: bought.code.clone(),
            began: state.began,
            minutes: state.minutes,
            spend_micros: state.spend_micros,
        })
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.minutes.first().map(|(at, _)| *at)
    }

    /// The leg is over, or never came to be. The bill of one that was bought and answered.
    pub fn ended(&mut self, leg: LegKey) -> Option<Bill> {
        let bill = self.figures(leg);
        let state = self.legs.remove(&leg)?;
        self.minutes.retain(|(_, other)| *other != leg);
        if let Some(account) = self.tenants.get_mut(&state.tenant) {
            account.at_once = account.at_once.saturating_sub(1);
        }
        bill
    }

    pub fn today(&mut self, tenant: TenantId, wall: Wall) -> Today {
        match self.tenants.get_mut(&tenant) {
            None => Today { day: day(wall), ..Today::default() },
            Some(account) => {
                account.turn_page(wall);
                account.today.clone()
            }
        }
    }

    /// Legs that are counted now.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    fn next_minute(&mut self, now: Now, leg: LegKey) -> Result<(), Over> {
        let Some(state) = self.legs.get_mut(&leg) else { return Ok(()) };
        let (Some(bought), Some(account)) = (&state.bought, self.tenants.get_mut(&state.tenant)) else {
            return Ok(());
        };
        account.turn_page(now.wall);
        account.begin_minute(bought.minute_price_micros, state.limits)?;
        state.minutes += 1;
        state.spend_micros = state.spend_micros.saturating_add(bought.minute_price_micros);
        self.minutes.insert((now.at + MINUTE, leg));
        Ok(())
    }

    fn account(&mut self, tenant: TenantId, limits: &Limits) -> &mut Account {
        self.tenants.entry(tenant).or_insert_with(|| Account {
            at_once: 0,
            begun: Window::new(limits.outbound_legs_per_minute, MINUTE),
            today: Today::default(),
            known: BTreeSet::new(),
        })
    }
}

impl Account {
    fn turn_page(&mut self, wall: Wall) {
        // A clock that was set back does not give a second day's worth.
        if day(wall) > self.today.day {
            self.today = Today { day: day(wall), ..Today::default() };
        }
    }

    fn may_buy(&self, bought: &Bought, limits: &Limits) -> Result<(), Over> {
        let most = limits.outbound_new_prefixes_per_day;
        if !self.known.contains(&bought.code) && self.today.new_codes.len() as u64 >= u64::from(most) {
            let why = format!("+{} was never called before, and {most} new countries were called today", bought.code);
            return Err(over("outbound_new_prefixes_per_day", why));
        }
        let bounds =
            Bounds { minutes: limits.outbound_minutes_per_day, spend_micros: limits.outbound_spend_micros_per_day };
        self.has_room(bought.minute_price_micros, bounds)
    }

    fn has_room(&self, price_micros: u64, bounds: Bounds) -> Result<(), Over> {
        if self.today.minutes >= bounds.minutes {
            return Err(over("outbound_minutes_per_day", format!("{} minutes were bought today", self.today.minutes)));
        }
        if self.today.spend_micros.saturating_add(price_micros) > bounds.spend_micros {
            let why =
                format!("{} millionths were spent today, and a minute costs {price_micros}", self.today.spend_micros);
            return Err(over("outbound_spend_micros_per_day", why));
        }
        Ok(())
    }

    fn begin_minute(&mut self, price_micros: u64, bounds: Bounds) -> Result<(), Over> {
        self.has_room(price_micros, bounds)?;
        self.today.minutes += 1;
        self.today.spend_micros = self.today.spend_micros.saturating_add(price_micros);
        Ok(())
    }
}

fn day(wall: Wall) -> i64 {
    wall.as_micros().div_euclid(86_400_000_000)
}

fn over(limit: &'static str, detail: String) -> Over {
    Over { limit, detail }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: TenantId = TenantId::from_u128(1);

    fn at(seconds: u64) -> Now {
        let wall = 20_000 * 86_400_000_000 + seconds as i64 * 1_000_000;
        Now { at: Instant::from_micros(seconds * 1_000_000), wall: Wall(wall) }
    }

    fn to(code: &str) -> Option<Bought> {
        Some(Bought { code: code.to_owned(), minute_price_micros: 10 })
    }

    fn limits() -> Limits {
        Limits {
            outbound_legs: 3,
            outbound_legs_per_minute: 5,
            outbound_minutes_per_day: 4,
            outbound_spend_micros_per_day: 1_000,
            outbound_new_prefixes_per_day: 2,
            ..Limits::default()
        }
    }

    fn begin(guard: &mut OutboundGuard, second: u64, leg: u64, bought: Option<Bought>) -> Result<(), &'static str> {
        guard.begin(at(second), LegKey(leg), TENANT, bought, &limits()).map_err(|over| over.limit)
    }

    #[test]
    fn each_bound_refuses_by_its_name() {
        let mut guard = OutboundGuard::default();
        for leg in 0..3 {
            assert_eq!(begin(&mut guard, 0, leg, None), Ok(()));
        }
        assert_eq!(begin(&mut guard, 0, 3, None), Err("outbound_legs"));
        for leg in 0..3 {
            assert_eq!(guard.ended(LegKey(leg)), None);
        }
        assert_eq!(begin(&mut guard, 61, 4, to("49")), Ok(()));
        assert_eq!(begin(&mut guard, 61, 5, to("44")), Ok(()));
        assert_eq!(begin(&mut guard, 61, 6, to("960")), Err("outbound_new_prefixes_per_day"));
        assert_eq!(begin(&mut guard, 61, 6, to("49")), Ok(()));
        assert_eq!(guard.legs(), 3);
        for leg in 4..7 {
            guard.ended(LegKey(leg));
        }
        assert_eq!(begin(&mut guard, 62, 7, None), Ok(()));
        assert_eq!(begin(&mut guard, 62, 8, None), Ok(()));
        assert_eq!(begin(&mut guard, 62, 9, None), Err("outbound_legs_per_minute"));
        assert_eq!(begin(&mut guard, 121, 9, None), Ok(()));
    }

    #[test]
    fn minutes_count_when_they_begin_and_the_leg_over_the_bound_is_stopped() {
        let mut guard = OutboundGuard::default();
        begin(&mut guard, 0, 1, to("49")).unwrap();
        begin(&mut guard, 0, 2, to("49")).unwrap();
        guard.answered(at(5), LegKey(1)).unwrap();
        guard.answered(at(5), LegKey(1)).unwrap();
        guard.answered(at(10), LegKey(2)).unwrap();
        assert_eq!(guard.today(TENANT, at(10).wall).minutes, 2);
        assert!(guard.tick(at(64)).is_empty());
        assert_eq!(guard.tick(at(70)), [(LegKey(1), Ok(())), (LegKey(2), Ok(()))]);
        assert_eq!(guard.figures(LegKey(1)).unwrap().minutes, 2);
        assert_eq!(guard.today(TENANT, at(70).wall).minutes, 4);
        let stopped = guard.tick(at(130));
        let stopped: Vec<_> = stopped.iter().map(|(leg, begun)| (leg.0, begun.as_ref().unwrap_err().limit)).collect();
        assert_eq!(stopped, [(1, "outbound_minutes_per_day"), (2, "outbound_minutes_per_day")]);
        let bill = guard.ended(LegKey(1)).unwrap();
        assert_eq!((bill.minutes, bill.spend_micros, bill.began), (2, 20, at(5).wall));
        assert_eq!(begin(&mut guard, 200, 9, to("49")), Err("outbound_minutes_per_day"));
        assert_eq!(begin(&mut guard, 86_400, 9, to("49")), Ok(()), "a new day");
        assert_eq!(guard.next_deadline(), None);
    }

    #[test]
    fn money_runs_out_before_the_minute_that_is_too_dear() {
        let mut guard = OutboundGuard::default();
        let dear = Some(Bought { code: "49".into(), minute_price_micros: 600 });
        begin(&mut guard, 0, 1, dear.clone()).unwrap();
        guard.answered(at(0), LegKey(1)).unwrap();
        assert!(matches!(guard.tick(at(60))[..], [(LegKey(1), Err(_))]));
        assert_eq!(begin(&mut guard, 61, 2, dear), Err("outbound_spend_micros_per_day"));
    }

    #[test]
    fn what_was_used_before_a_restart_counts() {
        let mut guard = OutboundGuard::default();
        let today = Today { day: 20_000, minutes: 4, spend_micros: 40, new_codes: ["44".to_owned()].into() };
        guard.restore(TENANT, today, ["49".to_owned(), "44".to_owned()].into(), &limits());
        assert_eq!(begin(&mut guard, 0, 1, to("49")), Err("outbound_minutes_per_day"));
    }

    proptest! {
        #[test]
        fn never_more_than_the_bounds(acts in prop::collection::vec((0..6u8, 0..8u64, 0..50u64), 1..200)) {
            let limits = limits();
            let mut guard = OutboundGuard::default();
            let mut second = 0;
            let mut standing = BTreeSet::new();
            for (act, leg, pause) in acts {
                second += pause;
                match act {
                    0..3 if !standing.contains(&leg) => {
                        let code = ["49", "44", "960", "1876"][leg as usize % 4];
                        if begin(&mut guard, second, leg, to(code)).is_ok() {
                            standing.insert(leg);
                        }
                    }
                    3 => drop(guard.answered(at(second), LegKey(leg))),
                    4 => {
                        guard.ended(LegKey(leg));
                        standing.remove(&leg);
                    }
                    _ => {
                        for (leg, _) in guard.tick(at(second)).into_iter().filter(|(_, begun)| begun.is_err()) {
                            guard.ended(leg);
                            standing.remove(&leg.0);
                        }
                    }
                }
                let today = guard.today(TENANT, at(second).wall);
                prop_assert!(today.minutes <= limits.outbound_minutes_per_day);
                prop_assert!(today.spend_micros <= limits.outbound_spend_micros_per_day);
                prop_assert!(today.new_codes.len() as u32 <= limits.outbound_new_prefixes_per_day);
                prop_assert!(guard.legs() as u32 <= limits.outbound_legs);
                prop_assert_eq!(guard.legs(), standing.len());
            }
            for leg in standing {
                guard.ended(LegKey(leg));
            }
            prop_assert_eq!((guard.legs(), guard.next_deadline()), (0, None));
        }
    }
}
