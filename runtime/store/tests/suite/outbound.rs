//! What was bought of trunks.

use callbox_model::{CallId, TenantId, TrunkId, Wall};
use callbox_store::{Entry, OutboundLeg, OutboundUsage, Store};

use super::world::World;

/// A midnight.
const DAY: Wall = Wall(19_700 * 86_400_000_000);

fn leg(call: u128, leg: u32, tenant: TenantId, code: &str, began: i64) -> OutboundLeg {
    OutboundLeg {
        call: CallId::from_u128(call),
        leg,
        tenant,
        trunk: TrunkId::from_u128(1),
        code: code.to_owned(),
        began: Wall(DAY.0 + began),
        minutes: 0,
        spend_micros: 0,
    }
}

fn grown(mut leg: OutboundLeg, minutes: u32) -> OutboundLeg {
    leg.minutes = minutes;
    leg.spend_micros = u64::from(minutes) * 1_000;
    leg
}

fn codes(codes: &[&str]) -> std::collections::BTreeSet<String> {
    codes.iter().map(|&code| code.to_owned()).collect()
}

pub(crate) async fn minutes_and_codes<S: Store>(world: World<S>) {
    let store = &world.store;
    let (one, two) = (TenantId::from_u128(1), TenantId::from_u128(2));
    let usage = |tenant, at: i64| async move { store.outbound_usage(tenant, Wall(DAY.0 + at)).await.unwrap() };
    assert_eq!(usage(one, 5).await, OutboundUsage { day: DAY, ..OutboundUsage::default() });

    let hour = 3_600_000_000;
    let (first, second) = (leg(1, 2, one, "49", 0), leg(1, 3, one, "44", 24 * hour - 1));
    let batch: Vec<Entry> = [
        first.clone(),
        // The day before, and the day after.
        grown(leg(2, 2, one, "49", -1), 100),
        grown(leg(3, 2, one, "1", 24 * hour), 1_000),
        grown(leg(4, 2, two, "90", hour), 7),
        grown(second.clone(), 2),
        grown(first.clone(), 3),
    ]
    .into_iter()
    .map(Entry::from)
    .collect();
    store.commit(&batch).await.unwrap();
    let expected = OutboundUsage {
        day: DAY,
        legs: 2,
        minutes: 5,
        spend_micros: 5_000,
        codes: codes(&["1", "44", "49"]),
        // 49 was called the day before.
        new_codes: codes(&["44"]),
    };
    for at in [0, 12 * hour, 24 * hour - 1] {
        assert_eq!(usage(one, at).await, expected);
    }
    let other = usage(two, 0).await;
    assert_eq!((other.legs, other.minutes, &other.codes, &other.new_codes), (1, 7, &codes(&["90"]), &codes(&["90"])));
    assert_eq!(usage(one, -1).await.minutes, 100);
    assert_eq!(usage(one, 24 * hour).await.new_codes, codes(&["1"]));

    // Again, and late: nothing is counted twice, and nothing shrinks.
    store.commit(&batch).await.unwrap();
    for entry in batch.iter().rev() {
        store.commit(std::slice::from_ref(entry)).await.unwrap();
    }
    assert_eq!(usage(one, 0).await, expected);
    store.commit(&[grown(first, 4).into(), leg(9, 2, one, "", 5).into()]).await.unwrap();
    let after = usage(one, 0).await;
    assert_eq!((after.legs, after.minutes, after.spend_micros), (3, 6, 6_000));
    assert_eq!(after.codes, expected.codes, "a code that nobody knows is none");
}

/// A code that was called earlier than the ledger first heard is no new one that day.
pub(crate) async fn codes_come_late<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, TenantId::from_u128(1));
    store.commit(&[leg(1, 2, tenant, "49", 10).into()]).await.unwrap();
    assert_eq!(store.outbound_usage(tenant, DAY).await.unwrap().new_codes, codes(&["49"]));
    store.commit(&[leg(2, 2, tenant, "49", -10).into()]).await.unwrap();
    let usage = store.outbound_usage(tenant, DAY).await.unwrap();
    assert_eq!((usage.codes, usage.new_codes), (codes(&["49"]), codes(&[])));
}
