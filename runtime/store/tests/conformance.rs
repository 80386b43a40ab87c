//! What every store must do. The suite knows the trait only; `stores!` gives it an empty store for
//! each test.

#[path = "suite/kv.rs"]
mod kv;
#[path = "suite/ledger.rs"]
mod ledger;
#[path = "suite/outbound.rs"]
mod outbound;
#[path = "suite/owned.rs"]
mod owned;
#[path = "suite/registrations.rs"]
mod registrations;
#[path = "suite/sip.rs"]
mod sip;
#[path = "suite/world.rs"]
mod world;

use callbox_store::{Sqlite, sqlite};
use world::World;

macro_rules! stores {
    ($($suite:ident::$test:ident,)*) => {
        mod on_sqlite {
            use super::{Sqlite, sqlite};

            $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                let store = Sqlite::open(sqlite::Config::new(folder.path().join("callbox.db"))).await.unwrap();
                super::$suite::$test(super::World::new(store)).await;
            }
            )*
        }
    };
}

stores! {
    owned::tenants,
    owned::keys,
    owned::modules,
    owned::versions,
    owned::applications,
    owned::secrets,
    owned::assets,
    owned::numbers,
    owned::directory,
    owned::changes_are_told,
    sip::domains,
    sip::users,
    sip::trunks,
    sip::trunks_of_applications,
    sip::numbers_for_strangers,
    sip::routing_sees_them,
    sip::sealed_things_are_not_shown,
    registrations::contacts,
    registrations::a_batch_is_in_order,
    registrations::bursts,
    registrations::running_out,
    outbound::minutes_and_codes,
    outbound::codes_come_late,
    kv::values,
    kv::keys_by_prefix,
    kv::ttl,
    kv::quotas,
    kv::counters,
    ledger::a_call,
    ledger::replay,
    ledger::batches,
    ledger::fidelity,
    ledger::outbox,
    ledger::lists,
    ledger::usage,
    ledger::recovery,
}
