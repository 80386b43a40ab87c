//! What modules keep.

use callbox_model::{ApplicationId, KvEntry, KvError};
use callbox_store::{Page, Put, Scope, Store};

use super::world::World;

fn put<'a>(key: &'a str, value: &'a [u8]) -> Put<'a> {
    Put { key, value, revision: None, ttl: None }
}

pub(crate) async fn values<S: Store>(world: World<S>) {
    let (store, limits) = (&world.store, &world.limits);
    let tenant = world.tenant("owner").await;
    let (id, other) = (world.application(tenant, "a").await, world.application(tenant, "b").await);
    assert_eq!(store.kv_get(id, "k", world.now()).await, Ok(None));
    assert_eq!(store.kv_put(id, put("k", b"one"), world.now(), limits).await, Ok(1));
    assert_eq!(store.kv_put(id, put("k", b"two"), world.now(), limits).await, Ok(2));
    let two = KvEntry { value: b"two".to_vec(), revision: 2 };
    assert_eq!(store.kv_get(id, "k", world.now()).await, Ok(Some(two.clone())));
    assert_eq!(store.kv_get(other, "k", world.now()).await, Ok(None));

    let only = |revision| Put { revision: Some(revision), ..put("k", b"three") };
    for wrong in [0, 1, 3] {
        assert_eq!(store.kv_put(id, only(wrong), world.now(), limits).await, Err(KvError::Conflict));
    }
    assert_eq!(store.kv_put(id, only(2), world.now(), limits).await, Ok(3));
    store.kv_remove(id, "k").await.unwrap();
    store.kv_remove(id, "k").await.unwrap();
    assert_eq!(store.kv_get(id, "k", world.now()).await, Ok(None));
    assert_eq!(store.kv_put(id, only(0), world.now(), limits).await, Ok(1));

    assert_eq!(store.kv_add(id, "n", 5, world.now(), limits).await, Ok(5));
    assert_eq!(store.kv_add(id, "n", -7, world.now(), limits).await, Ok(-2));
    assert_eq!(store.kv_get(id, "n", world.now()).await.unwrap().unwrap().value, b"-2");
    assert!(matches!(store.kv_add(id, "k", 1, world.now(), limits).await, Err(KvError::Argument(_))));
    store.kv_add(id, "big", i64::MAX, world.now(), limits).await.unwrap();
    assert!(matches!(store.kv_add(id, "big", 1, world.now(), limits).await, Err(KvError::Argument(_))));

    assert!(matches!(store.kv_put(id, put("", b""), world.now(), limits).await, Err(KvError::Argument(_))));
    let gone = ApplicationId::from_u128(1);
    assert!(matches!(store.kv_put(gone, put("k", b""), world.now(), limits).await, Err(KvError::Unavailable(_))));
}

pub(crate) async fn keys_by_prefix<S: Store>(world: World<S>) {
    let (store, limits) = (&world.store, &world.limits);
    let tenant = world.tenant("owner").await;
    let (id, other) = (world.application(tenant, "a").await, world.application(tenant, "b").await);
    for key in ["user:2", "user:1", "user", "use", "user;", "zeta", "%", "user:\u{10ffff}"] {
        store.kv_put(id, put(key, b""), world.now(), limits).await.unwrap();
    }
    store.kv_put(other, put("user:9", b""), world.now(), limits).await.unwrap();
    let keys = |prefix: &'static str, page| store.kv_keys(id, prefix, page, world.now());
    assert_eq!(keys("user:", Page::first(10)).await.unwrap(), ["user:1", "user:2", "user:\u{10ffff}"]);
    assert_eq!(keys("user:", Page::after("user:1", 1)).await.unwrap(), ["user:2"]);
    assert_eq!(keys("", Page::first(3)).await.unwrap(), ["%", "use", "user"]);
    assert_eq!(keys("%", Page::first(10)).await.unwrap(), ["%"]);
    assert_eq!(keys("nobody", Page::first(10)).await.unwrap(), Vec::<String>::new());
}

pub(crate) async fn ttl<S: Store>(world: World<S>) {
    let (store, limits) = (&world.store, &world.limits);
    let id = world.application(world.tenant("owner").await, "a").await;
    let brief = Put { ttl: Some(1_000), ..put("brief", b"1") };
    store.kv_put(id, brief, world.now(), limits).await.unwrap();
    store.kv_put(id, put("long", b"2"), world.now(), limits).await.unwrap();
    store.kv_add(id, "brief", 1, world.now(), limits).await.unwrap();
    world.pass(900_000);
    assert_eq!(store.kv_get(id, "brief", world.now()).await.unwrap().unwrap().value, b"2");
    world.pass(200_000);
    assert_eq!(store.kv_get(id, "brief", world.now()).await, Ok(None));
    assert_eq!(store.kv_keys(id, "", Page::first(10), world.now()).await.unwrap(), ["long"]);
    // It is as if it were not there: counted from zero, and put as new.
    let anew = Put { revision: Some(0), ttl: Some(1), ..put("brief", b"x") };
    assert_eq!(store.kv_put(id, anew, world.now(), limits).await, Ok(1));
    world.pass(10_000);
    assert_eq!(store.kv_purge(world.now()).await.unwrap(), 1);
    assert_eq!(store.kv_purge(world.now()).await.unwrap(), 0);
    // Put again without a time, it stays.
    store.kv_put(id, brief, world.now(), limits).await.unwrap();
    store.kv_put(id, put("brief", b"stays"), world.now(), limits).await.unwrap();
    world.pass(10_000_000);
    assert_eq!(store.kv_get(id, "brief", world.now()).await.unwrap().unwrap().value, b"stays");
}

pub(crate) async fn quotas<S: Store>(mut world: World<S>) {
    world.limits.kv_keys = 3;
    world.limits.kv_key_bytes = 4;
    world.limits.kv_value_bytes = 20;
    world.limits.kv_tenant_bytes = 50;
    let (store, limits) = (&world.store, &world.limits);
    let tenant = world.tenant("owner").await;
    let (id, other) = (world.application(tenant, "a").await, world.application(tenant, "b").await);
    let is_over = |result: Result<u32, KvError>, limit: &str| {
        assert!(matches!(&result, Err(KvError::Quota(why)) if why.contains(limit)), "{result:?}");
    };
    is_over(store.kv_put(id, put("12345", b""), world.now(), limits).await, "kv_key_bytes");
    is_over(store.kv_put(id, put("1", &[0; 21]), world.now(), limits).await, "kv_value_bytes");
    for key in ["1", "2"] {
        store.kv_put(id, put(key, b"x"), world.now(), limits).await.unwrap();
    }
    let brief = Put { ttl: Some(1), ..put("3", b"x") };
    store.kv_put(id, brief, world.now(), limits).await.unwrap();
    world.pass(-1_000_000);
    is_over(store.kv_put(id, put("4", b"x"), world.now(), limits).await, "kv_keys");
    store.kv_put(id, put("1", b"y"), world.now(), limits).await.unwrap();
    world.pass(2_000_000);
    // What has run out makes room.
    store.kv_put(id, put("4", b"x"), world.now(), limits).await.unwrap();
    assert!(matches!(store.kv_add(id, "5", 1, world.now(), limits).await, Err(KvError::Quota(_))));

    // Three keys of two bytes each are there. The tenant's bytes are those of all its applications.
    store.kv_put(other, put("1", &[0; 20]), world.now(), limits).await.unwrap();
    store.kv_put(other, put("2", &[0; 20]), world.now(), limits).await.unwrap();
    is_over(store.kv_put(other, put("3", &[0; 3]), world.now(), limits).await, "kv_tenant_bytes");
    assert_eq!(store.kv_get(other, "3", world.now()).await, Ok(None));
    is_over(store.kv_put(id, put("1", &[0; 5]), world.now(), limits).await, "kv_tenant_bytes");
    store.kv_put(other, put("1", &[0; 10]), world.now(), limits).await.unwrap();
    store.kv_put(id, put("1", &[0; 5]), world.now(), limits).await.unwrap();
    // Another tenant has its own.
    let theirs = world.application(world.tenant("other").await, "a").await;
    store.kv_put(theirs, put("1", &[0; 20]), world.now(), limits).await.unwrap();
    // What is deleted counts no more.
    store.delete_application(Scope::Operator, other, world.now()).await.unwrap();
    let last = world.application(tenant, "c").await;
    for key in ["1", "2"] {
        store.kv_put(last, put(key, &[0; 18]), world.now(), limits).await.unwrap();
    }
    is_over(store.kv_put(last, put("3", &[0; 5]), world.now(), limits).await, "kv_tenant_bytes");
}

/// A counter loses nothing, whoever adds at once.
pub(crate) async fn counters<S: Store>(world: World<S>) {
    let id = world.application(world.tenant("owner").await, "a").await;
    let world = std::sync::Arc::new(world);
    let adders: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    world.store.kv_add(id, "n", 1, world.now(), &world.limits).await.unwrap();
                }
            })
        })
        .collect();
    for adder in adders {
        adder.await.unwrap();
    }
    assert_eq!(world.store.kv_add(id, "n", 0, world.now(), &world.limits).await, Ok(80));
}
