//! What tenants own.

use callbox_model::{
    ApplicationId, Change, Handler, KeyId, ModuleId, ModuleState, Number, Subject, Tenant, TenantId, TenantState,
};
use callbox_store::{
    ApiKey, ApplicationFilter, Error, EventFilter, ModuleFilter, NumberFilter, Page, Role, Scope, Store,
};

use super::world::{World, digest};

pub(crate) async fn tenants<S: Store>(world: World<S>) {
    let (store, first) = (&world.store, world.tenant("first").await);
    let second = world.tenant("second").await;
    assert_eq!(store.tenant(first).await.unwrap().name, "first");
    assert!(matches!(store.tenant(TenantId::from_u128(1)).await, Err(Error::NotFound { what: "tenant", .. })));
    let twin = Tenant { id: TenantId::from_u128(5), ..store.tenant(first).await.unwrap() };
    assert!(matches!(store.create_tenant(&twin).await, Err(Error::Conflict { what: "tenant", .. })));

    let page = store.tenants(None, Page::first(1)).await.unwrap();
    assert_eq!(page.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [first]);
    let page = store.tenants(None, Page::after(first, 10)).await.unwrap();
    assert_eq!(page.iter().map(|tenant| tenant.id).collect::<Vec<_>>(), [second]);
    assert_eq!(store.tenants(Some("second"), Page::first(10)).await.unwrap().len(), 1);

    let suspended = store.change_tenant(first, None, Some(TenantState::Suspended), world.now()).await.unwrap();
    assert_eq!((suspended.state, suspended.name.as_str()), (TenantState::Suspended, "first"));
    // Again, it changes nothing, and says nothing.
    store.change_tenant(first, Some("first".to_owned()), Some(TenantState::Suspended), world.now()).await.unwrap();
    let taken = store.change_tenant(first, Some("second".to_owned()), None, world.now()).await;
    assert!(matches!(taken, Err(Error::Conflict { .. })));
    store.change_tenant(first, Some("third".to_owned()), Some(TenantState::Active), world.now()).await.unwrap();
    assert_eq!(store.tenant(first).await.unwrap().name, "third");
    assert_eq!(world.is_whole(Subject::Tenant(first)).await, 3);
}

pub(crate) async fn keys<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let other = world.tenant("other").await;
    let key = |role, name: &str| {
        let created = world.now();
        ApiKey {
            id: KeyId::new(&world.ids, created),
            role,
            hash: [7; 32],
            name: name.to_owned(),
            created,
            revoked: None,
        }
    };
    let operator = key(Role::Operator, "boss");
    let mine = key(Role::Tenant(tenant), "mine");
    for key in [&operator, &mine] {
        store.create_key(key).await.unwrap();
        assert_eq!(store.key(key.id).await.unwrap(), *key);
    }
    let orphan = key(Role::Tenant(TenantId::from_u128(3)), "orphan");
    assert!(matches!(store.create_key(&orphan).await, Err(Error::NotFound { what: "tenant", .. })));
    assert!(matches!(store.create_key(&mine).await, Err(Error::Conflict { .. })));

    assert_eq!(store.keys(Role::Operator, Page::first(10)).await.unwrap(), std::slice::from_ref(&operator));
    assert_eq!(store.keys(Role::Tenant(tenant), Page::first(10)).await.unwrap(), std::slice::from_ref(&mine));
    assert_eq!(store.keys(Role::Tenant(other), Page::first(10)).await.unwrap(), []);

    for stranger in [Role::Tenant(other), Role::Operator] {
        assert!(matches!(store.revoke_key(stranger, mine.id, world.now()).await, Err(Error::NotFound { .. })));
    }
    let revoked = store.revoke_key(Role::Tenant(tenant), mine.id, world.now()).await.unwrap();
    assert!(revoked.revoked.is_some());
    assert_eq!(store.key(mine.id).await.unwrap(), revoked);
    assert_eq!(store.keys(Role::Tenant(tenant), Page::first(10)).await.unwrap(), []);
    assert!(matches!(store.revoke_key(Role::Tenant(tenant), mine.id, world.now()).await, Err(Error::NotFound { .. })));
    assert_eq!(world.is_whole(Subject::Tenant(tenant)).await, 3);
    assert_eq!(world.is_whole(Subject::Node).await, 1);
}

pub(crate) async fn modules<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let other = world.tenant("other").await;
    let component = vec![3u8; 100_000];
    let first = store.create_module(world.new_module(tenant, "menu", &component), component.clone()).await.unwrap();
    assert_eq!((first.version, first.bytes, first.state), (1, 100_000, ModuleState::Ready));
    let second = store.create_module(world.new_module(tenant, "menu", b"v2"), b"v2".to_vec()).await.unwrap();
    let theirs = store.create_module(world.new_module(other, "menu", b"v2"), b"v2".to_vec()).await.unwrap();
    assert_eq!((second.version, theirs.version), (2, 1));
    assert_eq!(store.blob(&first.digest).await.unwrap(), component);
    assert!(matches!(store.blob("sha256:00").await, Err(Error::NotFound { what: "blob", .. })));

    // A digest that is another component's would put that into the tenant's hands.
    let mut thief = world.new_module(other, "thief", &component);
    thief.digest.clone_from(&first.digest);
    assert!(matches!(store.create_module(thief, b"mine".to_vec()).await, Err(Error::Refused { what: "module", .. })));

    assert_eq!(store.module(Scope::Tenant(tenant), first.id).await.unwrap(), first);
    assert!(matches!(store.module(Scope::Tenant(other), first.id).await, Err(Error::NotFound { .. })));
    assert_eq!(store.module(Scope::Operator, first.id).await.unwrap(), first);
    assert!(matches!(store.module(Scope::Operator, ModuleId::from_u128(1)).await, Err(Error::NotFound { .. })));
    assert_eq!(store.module_named(tenant, "menu", None).await.unwrap(), second);
    assert_eq!(store.module_named(tenant, "menu", Some(1)).await.unwrap(), first);
    assert!(matches!(store.module_named(tenant, "menu", Some(3)).await, Err(Error::NotFound { .. })));

    let change = |id, from, to| store.change_module_state(Scope::Tenant(tenant), id, from, to, world.now());
    let disabled = change(first.id, ModuleState::Ready, ModuleState::Disabled).await.unwrap();
    assert_eq!(disabled.state, ModuleState::Disabled);
    let late = change(first.id, ModuleState::Ready, ModuleState::Quarantined).await;
    assert!(matches!(late, Err(Error::Conflict { what: "module", .. })));
    assert!(matches!(change(theirs.id, ModuleState::Ready, ModuleState::Disabled).await, Err(Error::NotFound { .. })));
    assert_eq!(world.is_whole(Subject::Module(first.id)).await, 2);

    let all = ModuleFilter::all(Scope::Tenant(tenant));
    let list = |filter, page| async move {
        store.modules(filter, page).await.unwrap().into_iter().map(|module| module.id).collect::<Vec<_>>()
    };
    assert_eq!(list(all.clone(), Page::first(9)).await, [second.id, first.id]);
    assert_eq!(list(all.clone(), Page::after(second.id, 9)).await, [first.id]);
    let ready = ModuleFilter { state: Some(ModuleState::Ready), ..all.clone() };
    assert_eq!(list(ready, Page::first(9)).await, [second.id]);
    let named = ModuleFilter { name: Some("other".to_owned()), ..all };
    assert_eq!(list(named, Page::first(9)).await, []);
    assert_eq!(list(ModuleFilter::all(Scope::Operator), Page::first(9)).await, [theirs.id, second.id, first.id]);
}

/// Versions count up without hole or repetition, whoever uploads at once.
pub(crate) async fn versions<S: Store>(world: World<S>) {
    let tenant = world.tenant("owner").await;
    let world = std::sync::Arc::new(world);
    let uploads: Vec<_> = (0..20u8)
        .map(|number| {
            let world = world.clone();
            tokio::spawn(async move {
                let component = vec![number; 50];
                let new = world.new_module(tenant, "menu", &component);
                world.store.create_module(new, component).await.unwrap().version
            })
        })
        .collect();
    let mut versions = Vec::new();
    for upload in uploads {
        versions.push(upload.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

pub(crate) async fn applications<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let (mine, other) = (Scope::Tenant(tenant), world.tenant("other").await);
    let id = world.application(tenant, "sales").await;
    let twin = store.create_application(world.new_application(tenant, "sales")).await;
    assert!(matches!(twin, Err(Error::Conflict { what: "application", .. })));
    world.application(other, "sales").await;
    let orphan = store.create_application(world.new_application(TenantId::from_u128(1), "x")).await;
    assert!(matches!(orphan, Err(Error::NotFound { what: "tenant", .. })));

    let mut spec = store.application(mine, id).await.unwrap().spec;
    spec.handlers.push(Handler { module: "menu".to_owned(), version: None });
    spec.config.insert("greeting".to_owned(), "hello \"you\"".to_owned());
    let replace = |scope, name: &str, expected| {
        store.replace_application(scope, id, name.to_owned(), spec.clone(), expected, world.now())
    };
    let changed = replace(mine, "sales", Some(1)).await.unwrap();
    assert_eq!((changed.revision, &changed.spec), (2, &spec));
    assert_eq!(store.application(mine, id).await.unwrap(), changed);
    assert!(matches!(replace(mine, "sales", Some(1)).await, Err(Error::Stale { expected: 1, current: 2, .. })));
    assert!(matches!(replace(Scope::Tenant(other), "sales", None).await, Err(Error::NotFound { .. })));
    world.application(tenant, "support").await;
    assert!(matches!(replace(mine, "support", None).await, Err(Error::Conflict { .. })));
    assert_eq!(replace(mine, "Sales", None).await.unwrap().revision, 3);
    assert_eq!(store.application_named(tenant, "Sales").await.unwrap().id, id);
    assert!(matches!(store.application_named(tenant, "sales").await, Err(Error::NotFound { .. })));

    let list = store.applications(ApplicationFilter::all(mine), Page::first(10)).await.unwrap();
    assert_eq!(list.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["Sales", "support"]);
    assert_eq!(store.applications(ApplicationFilter::all(mine), Page::after(id, 10)).await.unwrap().len(), 1);
    let named = ApplicationFilter { name: Some("support".to_owned()), ..ApplicationFilter::all(mine) };
    assert_eq!(store.applications(named, Page::first(10)).await.unwrap().len(), 1);

    let number = world.new_number(tenant, "100", Some(id));
    store.create_number(&number).await.unwrap();
    let in_use = store.delete_application(mine, id, world.now()).await.unwrap_err();
    assert!(matches!(&in_use, Error::Refused { why, .. } if why.contains("100")), "{in_use}");
    store.bind_number(mine, number.id, None, world.now()).await.unwrap();
    store.put_asset(mine, id, "a.wav", b"sound".to_vec(), 1_000, world.now()).await.unwrap();
    store.delete_application(mine, id, world.now()).await.unwrap();
    assert!(matches!(store.application(mine, id).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.blob(&digest(b"sound")).await, Err(Error::NotFound { .. })));
    assert_eq!(store.asset_bytes(tenant).await.unwrap(), 0);
    assert_eq!(world.is_whole(Subject::Application(id)).await, 5);
}

pub(crate) async fn secrets<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let (mine, other) = (Scope::Tenant(tenant), Scope::Tenant(world.tenant("other").await));
    let id = world.application(tenant, "sales").await;
    store.put_secret(mine, id, "b", &[0, 255], world.now()).await.unwrap();
    store.put_secret(mine, id, "a", b"one", world.now()).await.unwrap();
    store.put_secret(mine, id, "a", b"two", world.now()).await.unwrap();
    assert!(matches!(store.put_secret(other, id, "a", b"", world.now()).await, Err(Error::NotFound { .. })));
    let kept = [("a".to_owned(), b"two".to_vec()), ("b".to_owned(), vec![0, 255])];
    assert_eq!(store.secrets(id).await.unwrap(), kept);
    let application = store.application(mine, id).await.unwrap();
    assert_eq!(
        (application.secrets.as_slice(), application.revision),
        (["a".to_owned(), "b".to_owned()].as_slice(), 4)
    );
    assert!(matches!(store.delete_secret(mine, id, "c", world.now()).await, Err(Error::NotFound { .. })));
    store.delete_secret(mine, id, "a", world.now()).await.unwrap();
    assert_eq!(store.application(mine, id).await.unwrap().secrets, ["b"]);
    // Names are told, values never.
    for stored in world.events(EventFilter::of(mine, Subject::Application(id))).await {
        assert!(!format!("{stored:?}").contains("two"));
    }
    assert_eq!(world.is_whole(Subject::Application(id)).await, 5);
}

pub(crate) async fn assets<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let (mine, other) = (Scope::Tenant(tenant), Scope::Tenant(world.tenant("other").await));
    let id = world.application(tenant, "sales").await;
    let twin = world.application(tenant, "support").await;
    let put = |id, name, bytes: &[u8]| store.put_asset(mine, id, name, bytes.to_vec(), 100, world.now());
    let asset = put(id, "b.wav", &[1; 60]).await.unwrap();
    assert_eq!((asset.bytes, asset.digest.as_str()), (60, digest(&[1; 60]).as_str()));
    assert_eq!(store.asset(mine, id, "b.wav").await.unwrap(), asset);
    assert_eq!(store.blob(&asset.digest).await.unwrap(), [1; 60]);
    assert!(matches!(store.asset(other, id, "b.wav").await, Err(Error::NotFound { .. })));

    let over = put(id, "a.wav", &[2; 41]).await;
    assert!(matches!(over, Err(Error::Quota { limit: "tenant_asset_bytes", most: 100, .. })));
    assert!(matches!(store.blob(&digest(&[2; 41])).await, Err(Error::NotFound { .. })));
    put(id, "a.wav", &[2; 40]).await.unwrap();
    assert!(matches!(put(twin, "a.wav", &[3; 1]).await, Err(Error::Quota { .. })));
    // What replaces counts instead of what it replaces.
    put(id, "b.wav", &[2; 40]).await.unwrap();
    assert_eq!(store.asset_bytes(tenant).await.unwrap(), 80);
    assert!(matches!(store.blob(&asset.digest).await, Err(Error::NotFound { .. })));

    let names = |page| async move {
        store.assets(mine, id, page).await.unwrap().into_iter().map(|asset| asset.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Page::first(10)).await, ["a.wav", "b.wav"]);
    assert_eq!(names(Page::after("a.wav", 10)).await, ["b.wav"]);
    // The same bytes under two names are kept until the last is gone.
    store.delete_asset(mine, id, "a.wav", world.now()).await.unwrap();
    assert_eq!(store.blob(&digest(&[2; 40])).await.unwrap(), [2; 40]);
    store.delete_asset(mine, id, "b.wav", world.now()).await.unwrap();
    assert!(matches!(store.blob(&digest(&[2; 40])).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.delete_asset(mine, id, "b.wav", world.now()).await, Err(Error::NotFound { .. })));
    assert_eq!(world.is_whole(Subject::Application(id)).await, 6);
}

pub(crate) async fn numbers<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let other = world.tenant("other").await;
    let (mine, theirs) = (Scope::Tenant(tenant), Scope::Tenant(other));
    let application = world.application(tenant, "sales").await;
    let foreign = world.application(other, "sales").await;
    let number = world.new_number(tenant, "+493012345", None);
    store.create_number(&number).await.unwrap();
    match store.create_number(&world.new_number(other, "+493012345", None)).await.unwrap_err() {
        conflict @ Error::Conflict { owner, .. } => {
            assert_eq!(owner, Some(tenant));
            assert!(!conflict.to_string().contains(&tenant.to_string()), "{conflict}");
        }
        error => panic!("{error}"),
    }
    let wrong = world.new_number(tenant, "101", Some(foreign));
    assert!(matches!(store.create_number(&wrong).await, Err(Error::NotFound { what: "application", .. })));

    let bind = |scope, application| store.bind_number(scope, number.id, application, world.now());
    assert_eq!(bind(mine, Some(application)).await.unwrap().application, Some(application));
    bind(mine, Some(application)).await.unwrap();
    assert!(matches!(bind(mine, Some(foreign)).await, Err(Error::NotFound { what: "application", .. })));
    assert!(matches!(bind(Scope::Operator, Some(foreign)).await, Err(Error::NotFound { .. })));
    assert!(matches!(bind(theirs, None).await, Err(Error::NotFound { what: "number", .. })));
    let bound = Number { application: Some(application), ..number.clone() };
    assert_eq!(store.number(mine, number.id).await.unwrap(), bound);
    assert!(matches!(store.number(theirs, number.id).await, Err(Error::NotFound { .. })));

    store.create_number(&world.new_number(other, "*@example.org", None)).await.unwrap();
    let count = |filter| async move { store.numbers(filter, Page::first(10)).await.unwrap().len() };
    assert_eq!(count(NumberFilter::all(Scope::Operator)).await, 2);
    assert_eq!(count(NumberFilter::all(mine)).await, 1);
    let of_application = NumberFilter { application: Some(application), ..NumberFilter::all(mine) };
    assert_eq!(count(of_application.clone()).await, 1);
    assert_eq!(count(NumberFilter { address: Some("101".to_owned()), ..of_application }).await, 0);
    // A domain is one tenant's, however it is written; a machine's address is anybody's.
    for address in ["*@EXAMPLE.org", "anna@example.org", "100@Example.Org"] {
        match store.create_number(&world.new_number(tenant, address, None)).await {
            Err(Error::Conflict { owner, .. }) => assert_eq!(owner, Some(other), "{address}"),
            given => panic!("{address}: {given:?}"),
        }
    }
    store.create_number(&world.new_number(other, "anna@Example.org", None)).await.unwrap();
    assert!(store.create_number(&world.new_number(other, "anna@eXample.org", None)).await.is_err());
    let anna = NumberFilter { address: Some("anna@example.org".to_owned()), ..NumberFilter::all(theirs) };
    let anna = store.numbers(anna, Page::first(10)).await.unwrap()[0].id;
    store.delete_number(theirs, anna, world.now()).await.unwrap();
    store.create_number(&world.new_number(tenant, "7@192.0.2.1", None)).await.unwrap();
    assert!(store.create_number(&world.new_number(other, "*@192.0.2.1", None)).await.is_err());
    let machine = world.new_number(other, "8@192.0.2.1", None);
    store.create_number(&machine).await.unwrap();
    store.delete_number(theirs, machine.id, world.now()).await.unwrap();
    let next = store.numbers(NumberFilter::all(Scope::Operator), Page::after(number.id, 10)).await.unwrap();
    assert_eq!(next.len(), 2);

    store.delete_number(mine, number.id, world.now()).await.unwrap();
    assert!(matches!(store.delete_number(mine, number.id, world.now()).await, Err(Error::NotFound { .. })));
    assert_eq!(world.is_whole(Subject::Number(number.id)).await, 3);
    store.create_number(&world.new_number(other, "+493012345", None)).await.unwrap();
}

pub(crate) async fn directory<S: Store>(world: World<S>) {
    let store = &world.store;
    let before = store.directory().await.unwrap();
    assert!(before.tenants.is_empty());
    let tenant = world.tenant("owner").await;
    let mine = Scope::Tenant(tenant);
    let mut last = before.revision;
    // Each of these is something that routing must see.
    let module = store.create_module(world.new_module(tenant, "menu", b"v1"), b"v1".to_vec()).await.unwrap();
    let application = world.application(tenant, "sales").await;
    let number = world.new_number(tenant, "100", Some(application));
    store.create_number(&number).await.unwrap();
    for change in 0..4 {
        match change {
            0 => store.put_secret(mine, application, "s", b"x", world.now()).await.unwrap(),
            1 => drop(store.change_tenant(tenant, None, Some(TenantState::Suspended), world.now()).await.unwrap()),
            2 => {
                let (ready, disabled) = (ModuleState::Ready, ModuleState::Disabled);
                store.change_module_state(mine, module.id, ready, disabled, world.now()).await.unwrap();
            }
            _ => drop(store.bind_number(mine, number.id, None, world.now()).await.unwrap()),
        }
        let revision = store.directory_revision().await.unwrap();
        assert!(revision > last, "change {change}");
        last = revision;
    }
    let after = store.directory().await.unwrap();
    assert_eq!(after.revision, last);
    assert_eq!(after.tenants[0].state, TenantState::Suspended);
    assert_eq!(after.modules[0].state, ModuleState::Disabled);
    assert_eq!(after.applications, [store.application(mine, application).await.unwrap()]);
    assert_eq!(after.applications[0].secrets, ["s"]);
    assert_eq!(after.numbers, [Number { application: None, ..number }]);
    // A change that was refused is none.
    assert!(store.delete_application(mine, ApplicationId::from_u128(1), world.now()).await.is_err());
    assert_eq!(store.directory_revision().await.unwrap(), last);
}

/// Each change is told in its own transaction: none that was refused, and all that were not.
pub(crate) async fn changes_are_told<S: Store>(world: World<S>) {
    let tenant = world.tenant("owner").await;
    let id = world.application(tenant, "sales").await;
    let number = world.new_number(tenant, "100", Some(id));
    world.store.create_number(&number).await.unwrap();
    assert!(world.store.create_number(&world.new_number(tenant, "100", None)).await.is_err());
    world.store.delete_number(Scope::Operator, number.id, world.now()).await.unwrap();
    let told: Vec<Change> = world
        .events(EventFilter::all(Scope::Tenant(tenant)))
        .await
        .into_iter()
        .map(|found| found.event.change)
        .collect();
    let address = "100".to_owned();
    let expected = [
        Change::TenantCreated { name: "owner".to_owned() },
        Change::ApplicationCreated { name: "sales".to_owned() },
        Change::NumberBound { address: address.clone(), application: Some(id) },
        Change::NumberDeleted { address },
    ];
    assert_eq!(told, expected);
}
