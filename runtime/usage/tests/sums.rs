//! Tiling and sums, over calls made up of random stretches.

use callbox_model::{
    ApplicationId, CallId, CallRecord, CallStatus, Direction, EndReason, Fault, FaultCode, ModuleId, Run, RunEnd,
    RunId, RunKind, RunUsage, TenantId, Wall,
};
use callbox_usage::{Untiled, compare, merge, sum, tiles};
use proptest::prelude::*;

/// A call, as long as its stretches are together.
fn call(number: u128, stretches: &[(u64, u8, bool)]) -> (CallRecord, Vec<Run>) {
    let started = Wall(1_000_000_000);
    let mut at = started.0;
    let runs: Vec<Run> = stretches
        .iter()
        .enumerate()
        .map(|(place, &(holding_us, module, faulted))| {
            let began = Wall(at);
            at += holding_us as i64;
            Run {
                id: RunId::from_u128(number << 32 | place as u128),
                kind: RunKind::Control,
                call: CallId::from_u128(number),
                tenant: TenantId::from_u128(u128::from(module % 2)),
                application: ApplicationId::from_u128(1),
                module: (module > 0).then(|| ModuleId::from_u128(module.into())),
                module_name: format!("module-{module}"),
                module_version: module.into(),
                handler: place as u32,
                began,
                marked: Wall(at),
                usage: RunUsage {
                    holding_us,
                    parked_us: u64::from(module),
                    connected_us: holding_us / 2,
                    cpu_ns: holding_us * 3,
                    peak_memory_bytes: u64::from(module) << 20,
                    memory_byte_seconds: holding_us,
                    host_calls: [("media.play".to_owned(), u64::from(module))].into(),
                    frames_sent: 1,
                    frames_received: 2,
                },
                end: Some(RunEnd {
                    reason: EndReason::Returned,
                    fault: faulted.then(|| Fault::new(FaultCode::OutOfCpu, "")),
                }),
            }
        })
        .collect();
    let record = CallRecord {
        id: CallId::from_u128(number),
        tenant: TenantId::from_u128(1),
        application: ApplicationId::from_u128(1),
        direction: Direction::Inbound,
        caller: String::new(),
        called: String::new(),
        number: String::new(),
        status: CallStatus::Completed,
        started,
        answered: Some(started),
        ended: Some(Wall(at)),
        cause: None,
        connected_us: runs.iter().map(|run| run.usage.connected_us).sum(),
        faults: 0,
    };
    (record, runs)
}

fn stretches() -> impl Strategy<Value = Vec<(u64, u8, bool)>> {
    prop::collection::vec((0..10_000_000u64, 0..5u8, any::<bool>()), 1..12)
}

proptest! {
    #[test]
    fn a_whole_call_is_tiled_and_any_other_is_not(stretches in stretches(), which: prop::sample::Index, by in 1..1_000u64) {
        let (record, runs) = call(1, &stretches);
        prop_assert_eq!(tiles(&record, &runs), Ok(()));
        let life_us = (record.ended.unwrap().0 - record.started.0) as u64;

        let mut longer = runs.clone();
        longer[which.index(runs.len())].usage.holding_us += by;
        prop_assert_eq!(tiles(&record, &longer), Err(Untiled::Overlap { life_us, surplus_us: by }));

        let mut later = record.clone();
        later.ended = Some(Wall(record.ended.unwrap().0 + by as i64));
        prop_assert_eq!(tiles(&later, &runs), Err(Untiled::Gap { life_us: life_us + by, missing_us: by }));

        let mut open = runs.clone();
        open[which.index(runs.len())].end = None;
        let is_found = matches!(tiles(&record, &open), Err(Untiled::OpenRun { .. }));
        prop_assert!(is_found);

        let mut unconnected = runs;
        unconnected[which.index(stretches.len())].usage.connected_us += by;
        let is_found = matches!(tiles(&record, &unconnected), Err(Untiled::Connected { .. }));
        prop_assert!(is_found);
    }

    #[test]
    fn a_sum_is_the_same_in_any_order_and_loses_nothing(
        calls in prop::collection::vec(stretches(), 1..6),
        seed: u64,
    ) {
        let runs: Vec<Run> =
            calls.iter().enumerate().flat_map(|(number, stretches)| call(number as u128, stretches).1).collect();
        let rows = sum(&runs);
        let mut shuffled = runs.clone();
        shuffled.sort_by_key(|run| (run.id.as_u128() as u64).wrapping_mul(seed | 1));
        prop_assert_eq!(compare(&rows, &sum(&shuffled)), vec![]);

        prop_assert_eq!(rows.iter().map(|row| row.runs).sum::<u64>(), runs.len() as u64);
        let mut by_rows = RunUsage::default();
        rows.iter().for_each(|row| merge(&mut by_rows, &row.usage));
        let mut by_runs = RunUsage::default();
        runs.iter().for_each(|run| merge(&mut by_runs, &run.usage));
        prop_assert_eq!(by_rows, by_runs);
    }

    #[test]
    fn a_difference_is_found_whichever_side_it_is_on(stretches in stretches(), which: prop::sample::Index) {
        let rows = sum(&call(1, &stretches).1);
        let mut other = rows.clone();
        let place = which.index(rows.len());
        other[place].usage.cpu_ns += 1;
        prop_assert_eq!(compare(&rows, &other).len(), 1);
        let missing = other.remove(place);
        let found = compare(&rows, &other);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0].right, &None);
        let found = compare(&[], &[missing]);
        prop_assert_eq!(&found[0].left, &None);
    }
}

#[test]
fn parked_time_and_other_kinds_take_no_part() {
    let (record, mut runs) = call(1, &[(5, 1, false), (7, 2, false)]);
    runs[0].usage.parked_us = 1_000_000;
    let mut filter = runs[1].clone();
    filter.kind = RunKind::Filter;
    runs.push(filter);
    assert_eq!(tiles(&record, &runs), Ok(()));
    runs[0].call = CallId::from_u128(99);
    assert!(matches!(tiles(&record, &runs), Err(Untiled::Stranger { .. })));
    let mut open = record;
    open.ended = None;
    assert_eq!(tiles(&open, &runs), Err(Untiled::Open));
}

#[test]
fn a_call_that_comes_twice_counts_once() {
    let (_, runs) = call(1, &[(5, 2, false), (7, 2, true), (9, 3, false)]);
    let rows = sum(&runs);
    assert_eq!(rows.iter().map(|row| (row.calls, row.runs, row.faults)).collect::<Vec<_>>(), [(1, 2, 1), (1, 1, 0)]);
}
