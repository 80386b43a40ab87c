//! What the node keeps in memory while it runs, and finds again when it starts.

#[path = "suite/registrations.rs"]
#[expect(dead_code, reason = "shared with the suite, which uses the rest")]
mod registrations;
#[path = "suite/world.rs"]
#[expect(dead_code, reason = "shared with the suite, which uses the rest")]
mod world;

use callbox_model::{CallId, TrunkId, Wall};
use callbox_store::{OutboundLeg, RegistrationChange, Sqlite, Store, sqlite};
use registrations::registration;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_and_what_was_bought_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = sqlite::Config::new(folder.path().join("callbox.db"));
    let world = World::new(Sqlite::open(config.clone()).await.unwrap());
    let tenant = world.tenant("owner").await;
    world.domain(tenant, "example.org").await;
    let user = world.user(tenant, "example.org", "anna").await.id;
    let now = world.now();
    let kept = registration(user, "sip:anna@192.0.2.7", Wall(now.0 + 60_000_000));
    let gone = registration(user, "sip:anna@192.0.2.8", Wall(now.0 + 1));
    let puts = [&kept, &gone].map(|found| RegistrationChange::Put { registration: found.clone(), at: now });
    world.store.commit_registrations(&puts).await.unwrap();
    let leg = OutboundLeg {
        call: CallId::from_u128(1),
        leg: 2,
        tenant,
        trunk: TrunkId::from_u128(1),
        code: "49".to_owned(),
        began: now,
        minutes: 3,
        spend_micros: 36_000,
    };
    world.store.commit(&[leg.into()]).await.unwrap();
    let before = (world.store.outbound_usage(tenant, now).await.unwrap(), world.store.directory().await.unwrap());
    world.store.close().await;

    let again = Sqlite::open(config).await.unwrap();
    let later = Wall(now.0 + 30_000_000);
    assert_eq!(again.registrations(later).await.unwrap(), [kept]);
    assert_eq!(again.purge_registrations(later, later).await.unwrap(), 1, "what ran out meanwhile is told now");
    assert_eq!(before.0.minutes, 3);
    assert_eq!(again.outbound_usage(tenant, now).await.unwrap(), before.0);
    assert_eq!(again.directory().await.unwrap(), before.1);
}
