//! Who may call, and through whom calls go: domains, users, trunks, numbers for strangers.

use callbox_model::{
    ApplicationSpec, Change, Domain, DomainId, Outbound, Subject, TenantId, TrunkId, TrunkSpec, User, UserId,
};
use callbox_store::{
    DomainFilter, Error, EventFilter, KeptTrunk, KeptUser, NewApplication, NewTrunk, Page, PasswordChange, Scope,
    Sealed, Store, TrunkChange, TrunkFilter, UserChange, UserFilter,
};

use super::world::{World, told};

pub(crate) async fn domains<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let other = world.tenant("other").await;
    let (mine, theirs) = (Scope::Tenant(tenant), Scope::Tenant(other));
    let domain = world.domain(tenant, "example.org").await;
    assert_eq!(store.domain(mine, domain.id).await.unwrap(), domain);
    assert_eq!(store.domain(Scope::Operator, domain.id).await.unwrap(), domain);
    assert!(matches!(store.domain(theirs, domain.id).await, Err(Error::NotFound { what: "domain", .. })));

    // One owner over all tenants, who is no part of the words.
    let twin = Domain { id: DomainId::from_u128(1), tenant: other, ..domain.clone() };
    match store.create_domain(&twin).await.unwrap_err() {
        conflict @ Error::Conflict { what: "domain", owner, .. } => {
            assert_eq!(owner, Some(tenant));
            assert!(!conflict.to_string().contains(&tenant.to_string()), "{conflict}");
        }
        error => panic!("{error}"),
    }
    let loud = Domain { name: "Example.NET".to_owned(), ..twin.clone() };
    assert!(matches!(store.create_domain(&loud).await, Err(Error::Refused { .. })));
    let orphan = Domain { name: "nobody.org".to_owned(), tenant: TenantId::from_u128(9), ..twin };
    assert!(matches!(store.create_domain(&orphan).await, Err(Error::NotFound { what: "tenant", .. })));

    let second = world.domain(other, "example.com").await;
    let ids = |filter, page| async move {
        store.domains(filter, page).await.unwrap().into_iter().map(|domain| domain.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(DomainFilter::all(Scope::Operator), Page::first(9)).await, [domain.id, second.id]);
    assert_eq!(ids(DomainFilter::all(Scope::Operator), Page::after(domain.id, 9)).await, [second.id]);
    assert_eq!(ids(DomainFilter::all(mine), Page::first(9)).await, [domain.id]);
    let named = DomainFilter { name: Some("example.com".to_owned()), ..DomainFilter::all(mine) };
    assert_eq!(ids(named.clone(), Page::first(9)).await, []);
    assert_eq!(ids(DomainFilter { scope: theirs, ..named }, Page::first(9)).await, [second.id]);

    assert!(matches!(
        store.change_domain(theirs, domain.id, true, world.now()).await,
        Err(Error::NotFound { what: "domain", .. })
    ));
    let changed = store.change_domain(mine, domain.id, true, world.now()).await.unwrap();
    assert_eq!(changed, Domain { md5: true, ..domain.clone() });
    assert_eq!(store.domain(mine, domain.id).await.unwrap(), changed);
    // Again, it changes nothing, and says nothing.
    store.change_domain(mine, domain.id, true, world.now()).await.unwrap();

    let user = world.user(tenant, "example.org", "anna").await;
    let inhabited = store.delete_domain(Scope::Operator, domain.id, world.now()).await.unwrap_err();
    assert!(matches!(&inhabited, Error::Refused { why, .. } if why.contains("anna")), "{inhabited}");
    store.delete_user(mine, user.id, world.now()).await.unwrap();
    assert!(matches!(store.delete_domain(theirs, domain.id, world.now()).await, Err(Error::NotFound { .. })));
    store.delete_domain(mine, domain.id, world.now()).await.unwrap();
    assert!(matches!(store.delete_domain(mine, domain.id, world.now()).await, Err(Error::NotFound { .. })));
    let name = "example.org".to_owned();
    assert_eq!(
        told(&world, mine, Subject::Domain(domain.id)).await,
        [
            Change::DomainCreated { name: name.clone() },
            Change::DomainChanged { name: name.clone(), what: "md5 allowed".to_owned() },
            Change::DomainDeleted { name },
        ]
    );
    // Free for whoever gets it next.
    world.domain(other, "example.org").await;
}

pub(crate) async fn users<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let other = world.tenant("other").await;
    let (mine, theirs) = (Scope::Tenant(tenant), Scope::Tenant(other));
    world.domain(tenant, "example.org").await;
    world.domain(tenant, "example.net").await;
    world.domain(other, "example.com").await;
    let anna = world.user(tenant, "example.org", "anna").await;
    assert_eq!(store.user(mine, anna.id).await.unwrap(), anna);
    assert!(matches!(store.user(theirs, anna.id).await, Err(Error::NotFound { what: "user", .. })));

    let sealed = Sealed::new(*b"verifiers");
    let again = User { id: UserId::from_u128(1), ..anna.clone() };
    assert!(matches!(store.create_user(&again, &sealed).await, Err(Error::Conflict { what: "user", .. })));
    // Names have a case, and are each domain's own.
    world.user(tenant, "example.org", "Anna").await;
    let bert = world.user(tenant, "example.net", "anna").await;
    // Another's domain is as if it were not there.
    for domain in ["example.com", "nowhere.org", "Example.org"] {
        let stray = User { domain: domain.to_owned(), name: "x".to_owned(), ..again.clone() };
        assert!(matches!(store.create_user(&stray, &sealed).await, Err(Error::NotFound { what: "domain", .. })));
    }

    let names = |filter, page| async move {
        store.users(filter, page).await.unwrap().iter().map(User::address).collect::<Vec<_>>()
    };
    let all = UserFilter::all(mine);
    let everybody = ["anna@example.org", "Anna@example.org", "anna@example.net"];
    assert_eq!(names(all.clone(), Page::first(9)).await, everybody);
    assert_eq!(names(all.clone(), Page::after(anna.id, 1)).await, everybody[1..2]);
    let in_net = UserFilter { domain: Some("example.net".to_owned()), ..all.clone() };
    assert_eq!(names(in_net, Page::first(9)).await, everybody[2..]);
    let named = UserFilter { name: Some("Anna".to_owned()), ..all };
    assert_eq!(names(named, Page::first(9)).await, everybody[1..2]);
    assert_eq!(names(UserFilter::all(theirs), Page::first(9)).await, Vec::<String>::new());

    let change = |scope, change| store.change_user(scope, anna.id, change, world.now());
    let display = UserChange { display: Some(Some("Anna B.".to_owned())), verifiers: None };
    assert!(matches!(change(theirs, display.clone()).await, Err(Error::NotFound { what: "user", .. })));
    let changed = change(mine, display.clone()).await.unwrap();
    assert_eq!(changed, User { display: Some("Anna B.".to_owned()), ..anna.clone() });
    assert_eq!(store.user(mine, anna.id).await.unwrap(), changed);
    assert_eq!(change(mine, display).await.unwrap(), changed);
    assert_eq!(change(mine, UserChange::default()).await.unwrap(), changed);
    let both = UserChange { display: Some(None), verifiers: Some(Sealed::new(*b"others")) };
    assert_eq!(change(mine, both).await.unwrap(), anna);
    let kept = store.directory().await.unwrap().users;
    assert_eq!(kept[0], KeptUser { user: anna.clone(), verifiers: Sealed::new(*b"others") });
    assert_eq!(kept[2], KeptUser { user: bert, verifiers: world.verifiers("anna") });

    assert!(matches!(store.delete_user(theirs, anna.id, world.now()).await, Err(Error::NotFound { .. })));
    store.delete_user(mine, anna.id, world.now()).await.unwrap();
    assert!(matches!(store.delete_user(mine, anna.id, world.now()).await, Err(Error::NotFound { .. })));
    let (user, address) = (anna.id, "anna@example.org".to_owned());
    assert_eq!(
        told(&world, mine, Subject::User(anna.id)).await,
        [
            Change::UserCreated { user, address: address.clone() },
            Change::UserChanged { user, what: "display".to_owned() },
            Change::UserChanged { user, what: "display, password".to_owned() },
            Change::UserDeleted { user, address },
        ]
    );
}

fn spec(uri: &str) -> TrunkSpec {
    TrunkSpec {
        uri: uri.to_owned(),
        networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/48".parse().unwrap()],
        media_networks: vec!["198.51.100.0/24".parse().unwrap()],
        username: Some("acme".to_owned()),
        realm: None,
        register: true,
        expires_s: Some(300),
        caller_id: Some("+493012345".to_owned()),
        minute_price_micros: 12_345,
    }
}

fn new_trunk<S: Store>(world: &World<S>, tenant: TenantId, name: &str) -> NewTrunk {
    let created = world.now();
    NewTrunk {
        id: TrunkId::new(&world.ids, created),
        tenant,
        name: name.to_owned(),
        spec: spec("sip:carrier.example"),
        password: Some(Sealed::new(*b"sealed")),
        created,
    }
}

fn leads_out(world: &World<impl Store>, tenant: TenantId, name: &str, trunk: &str) -> NewApplication {
    let outbound = Outbound { trunk: Some(trunk.to_owned()), ..Outbound::default() };
    NewApplication {
        spec: ApplicationSpec { outbound, ..ApplicationSpec::default() },
        ..world.new_application(tenant, name)
    }
}

pub(crate) async fn trunks<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let other = world.tenant("other").await;
    let (mine, theirs) = (Scope::Tenant(tenant), Scope::Tenant(other));
    let made = store.create_trunk(new_trunk(&world, tenant, "carrier")).await.unwrap();
    let id = made.trunk.id;
    assert_eq!((made.trunk.revision, &made.trunk.spec), (1, &spec("sip:carrier.example")));
    assert_eq!(made.password, Some(Sealed::new(*b"sealed")));
    assert_eq!(store.trunk(mine, id).await.unwrap(), made);
    assert!(matches!(store.trunk(theirs, id).await, Err(Error::NotFound { what: "trunk", .. })));
    let twin = store.create_trunk(new_trunk(&world, tenant, "carrier")).await;
    assert!(matches!(twin, Err(Error::Conflict { what: "trunk", .. })));
    let orphan = store.create_trunk(new_trunk(&world, TenantId::from_u128(1), "x")).await;
    assert!(matches!(orphan, Err(Error::NotFound { what: "tenant", .. })));
    let bare = NewTrunk { password: None, ..new_trunk(&world, other, "carrier") };
    let foreign = store.create_trunk(bare).await.unwrap();
    assert_eq!(store.trunk(theirs, foreign.trunk.id).await.unwrap(), foreign);
    let second = store.create_trunk(new_trunk(&world, tenant, "backup")).await.unwrap();

    let ids = |filter, page| async move {
        store.trunks(filter, page).await.unwrap().into_iter().map(|kept| kept.trunk.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(TrunkFilter::all(mine), Page::first(9)).await, [id, second.trunk.id]);
    assert_eq!(ids(TrunkFilter::all(mine), Page::after(id, 9)).await, [second.trunk.id]);
    assert_eq!(ids(TrunkFilter::all(Scope::Operator), Page::first(9)).await.len(), 3);
    let named = TrunkFilter { name: Some("carrier".to_owned()), ..TrunkFilter::all(theirs) };
    assert_eq!(ids(named, Page::first(9)).await, [foreign.trunk.id]);

    let replace = |scope, name: &str, password, expected| {
        let change = TrunkChange { name: name.to_owned(), spec: spec("sip:other.example"), password };
        store.replace_trunk(scope, id, change, expected, world.now())
    };
    let foreigner = replace(theirs, "carrier", PasswordChange::Remove, None).await;
    assert!(matches!(foreigner, Err(Error::NotFound { what: "trunk", .. })));
    let kept = replace(mine, "carrier", PasswordChange::Keep, Some(1)).await.unwrap();
    assert_eq!((kept.trunk.revision, &kept.password), (2, &made.password));
    assert_eq!(kept.trunk.spec.uri, "sip:other.example");
    assert_eq!(store.trunk(mine, id).await.unwrap(), kept);
    let stale = replace(mine, "carrier", PasswordChange::Remove, Some(1)).await;
    assert!(matches!(stale, Err(Error::Stale { what: "trunk", expected: 1, current: 2, .. })));
    let taken = replace(mine, "backup", PasswordChange::Keep, None).await;
    assert!(matches!(taken, Err(Error::Conflict { what: "trunk", .. })));
    let put = replace(mine, "carrier", PasswordChange::Put(Sealed::new(*b"newer")), Some(2)).await.unwrap();
    assert_eq!(store.directory().await.unwrap().trunks[0], put);
    assert_eq!(put.password, Some(Sealed::new(*b"newer")));
    assert_eq!(replace(mine, "carrier", PasswordChange::Remove, None).await.unwrap().password, None);
    let renamed = replace(mine, "main", PasswordChange::Remove, None).await.unwrap();
    assert_eq!(store.trunk(mine, id).await.unwrap(), renamed);

    store.delete_trunk(mine, id, world.now()).await.unwrap();
    assert!(matches!(store.delete_trunk(mine, id, world.now()).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.delete_trunk(mine, foreign.trunk.id, world.now()).await, Err(Error::NotFound { .. })));
    let changed = |name: &str, what: &str| Change::TrunkChanged { name: name.to_owned(), what: what.to_owned() };
    assert_eq!(
        told(&world, mine, Subject::Trunk(id)).await,
        [
            Change::TrunkCreated { name: "carrier".to_owned() },
            changed("carrier", "spec"),
            changed("carrier", "spec, password put"),
            changed("carrier", "spec, password removed"),
            changed("main", "name main, spec"),
            Change::TrunkDeleted { name: "main".to_owned() },
        ]
    );
}

/// What an application knows by name is there, and keeps its name as long.
pub(crate) async fn trunks_of_applications<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let (mine, other) = (Scope::Tenant(tenant), world.tenant("other").await);
    let missing = store.create_application(leads_out(&world, tenant, "sales", "carrier")).await;
    assert!(matches!(missing, Err(Error::NotFound { what: "trunk", .. })));
    let foreign = store.create_trunk(new_trunk(&world, other, "carrier")).await.unwrap();
    let missing = store.create_application(leads_out(&world, tenant, "sales", "carrier")).await;
    assert!(matches!(missing, Err(Error::NotFound { what: "trunk", .. })), "another tenant's is none");

    let KeptTrunk { trunk, .. } = store.create_trunk(new_trunk(&world, tenant, "carrier")).await.unwrap();
    let application = store.create_application(leads_out(&world, tenant, "sales", "carrier")).await.unwrap();
    let replace = |name: Option<&str>| {
        let outbound = Outbound { trunk: name.map(str::to_owned), ..Outbound::default() };
        let spec = ApplicationSpec { outbound, ..ApplicationSpec::default() };
        store.replace_application(mine, application.id, "sales".to_owned(), spec, None, world.now())
    };
    assert!(matches!(replace(Some("backup")).await, Err(Error::NotFound { what: "trunk", .. })));
    assert_eq!(store.application(mine, application.id).await.unwrap(), application);

    let in_use = store.delete_trunk(mine, trunk.id, world.now()).await.unwrap_err();
    assert!(matches!(&in_use, Error::Refused { why, .. } if why.contains("sales")), "{in_use}");
    let change =
        |name: &str| TrunkChange { name: name.to_owned(), spec: trunk.spec.clone(), password: PasswordChange::Keep };
    let renamed = store.replace_trunk(mine, trunk.id, change("main"), None, world.now()).await.unwrap_err();
    assert!(matches!(&renamed, Error::Refused { why, .. } if why.contains("sales")), "{renamed}");
    store.replace_trunk(mine, trunk.id, change("carrier"), None, world.now()).await.unwrap();
    // Another tenant's of the same name is nobody's here.
    store.delete_trunk(Scope::Tenant(other), foreign.trunk.id, world.now()).await.unwrap();

    replace(None).await.unwrap();
    store.delete_trunk(mine, trunk.id, world.now()).await.unwrap();
}

pub(crate) async fn numbers_for_strangers<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let (mine, theirs) = (Scope::Tenant(tenant), Scope::Tenant(world.tenant("other").await));
    let closed = world.new_number(tenant, "100", None);
    let open = callbox_model::Number { anonymous: true, ..world.new_number(tenant, "200", None) };
    for number in [&closed, &open] {
        store.create_number(number).await.unwrap();
        assert_eq!(store.number(mine, number.id).await.unwrap(), *number);
    }
    let change = |scope, anonymous| store.change_number(scope, closed.id, anonymous, world.now());
    assert!(matches!(change(theirs, true).await, Err(Error::NotFound { what: "number", .. })));
    assert!(change(mine, true).await.unwrap().anonymous);
    assert!(change(mine, true).await.unwrap().anonymous);
    // Binding leaves it as it is.
    let application = world.application(tenant, "sales").await;
    assert!(store.bind_number(mine, closed.id, Some(application), world.now()).await.unwrap().anonymous);
    assert!(store.directory().await.unwrap().numbers.iter().all(|number| number.anonymous));
    assert!(!change(Scope::Operator, false).await.unwrap().anonymous);
    let told = told(&world, mine, Subject::Number(closed.id)).await;
    let changed = |what: &str| Change::NumberChanged { address: "100".to_owned(), what: what.to_owned() };
    assert_eq!(told.len(), 4);
    assert_eq!((&told[1], &told[3]), (&changed("anonymous callers let in"), &changed("anonymous callers kept out")));
}

/// Each of these is something that routing must see; what was refused is not.
pub(crate) async fn routing_sees_them<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let mine = Scope::Tenant(tenant);
    let mut last = store.directory_revision().await.unwrap();
    let domain = world.domain(tenant, "example.org").await;
    let user = world.user(tenant, "example.org", "anna").await;
    let trunk = store.create_trunk(new_trunk(&world, tenant, "carrier")).await.unwrap();
    let number = world.new_number(tenant, "100", None);
    store.create_number(&number).await.unwrap();
    assert_eq!(store.directory_revision().await.unwrap(), last + 4);
    let seen = store.directory().await.unwrap();
    assert_eq!((&seen.domains[..], &seen.trunks[..]), (&[domain.clone()][..], &[trunk.clone()][..]));
    assert_eq!(seen.users, [KeptUser { user: user.clone(), verifiers: world.verifiers("anna") }]);
    last += 4;
    for change in 0..8 {
        let at = world.now();
        match change {
            0 => drop(store.change_domain(mine, domain.id, true, at).await.unwrap()),
            1 => {
                let verifiers = Some(Sealed::new(*b"others"));
                store.change_user(mine, user.id, UserChange { display: None, verifiers }, at).await.unwrap();
            }
            2 => {
                let change = TrunkChange {
                    name: "main".to_owned(),
                    spec: trunk.trunk.spec.clone(),
                    password: PasswordChange::Keep,
                };
                store.replace_trunk(mine, trunk.trunk.id, change, None, at).await.unwrap();
            }
            3 => drop(store.change_number(mine, number.id, true, at).await.unwrap()),
            4 => store.delete_user(mine, user.id, at).await.unwrap(),
            5 => store.delete_domain(mine, domain.id, at).await.unwrap(),
            6 => store.delete_trunk(mine, trunk.trunk.id, at).await.unwrap(),
            _ => store.delete_number(mine, number.id, at).await.unwrap(),
        }
        let revision = store.directory_revision().await.unwrap();
        assert_eq!(revision, last + 1, "change {change}");
        last = revision;
    }
    assert!(store.delete_trunk(mine, trunk.trunk.id, world.now()).await.is_err());
    let seen = store.directory().await.unwrap();
    assert_eq!((seen.revision, seen.domains.len(), seen.users.len(), seen.trunks.len()), (last, 0, 0, 0));
}

/// Ciphertexts are in no event and in no log line, however deep in what is logged.
pub(crate) async fn sealed_things_are_not_shown<S: Store>(world: World<S>) {
    let (store, tenant) = (&world.store, world.tenant("owner").await);
    let mine = Scope::Tenant(tenant);
    let secret = [0x5e; 24];
    let (shown, hex) = ("94, 94, 94", "5e5e5e");
    let text = "^^^^^^";
    world.domain(tenant, "example.org").await;
    let user = world.user(tenant, "example.org", "anna").await;
    let change = UserChange { display: None, verifiers: Some(Sealed::new(secret)) };
    let mut logged = vec![format!("{change:?}")];
    store.change_user(mine, user.id, change, world.now()).await.unwrap();
    let new = NewTrunk { password: Some(Sealed::new(secret)), ..new_trunk(&world, tenant, "carrier") };
    logged.push(format!("{new:?}"));
    logged.push(format!("{:?}", store.create_trunk(new.clone()).await.unwrap()));
    logged.push(format!("{:?}", store.create_trunk(new.clone()).await.unwrap_err()));
    let change = TrunkChange {
        name: "main".to_owned(),
        spec: new.spec.clone(),
        password: PasswordChange::Put(Sealed::new(secret)),
    };
    logged.push(format!("{change:?}"));
    logged.push(format!("{:?}", store.replace_trunk(mine, new.id, change, None, world.now()).await.unwrap()));
    logged.push(format!("{:#?}", store.trunks(TrunkFilter::all(mine), Page::first(9)).await.unwrap()));
    let directory = store.directory().await.unwrap();
    assert_eq!(directory.users[0].verifiers.as_bytes(), secret);
    assert_eq!(directory.trunks[0].password.as_ref().unwrap().as_bytes(), secret);
    logged.push(format!("{directory:?}"));
    logged.push(format!("{:?}", world.events(EventFilter::all(Scope::Operator)).await));
    for line in logged {
        for piece in [shown, hex, text] {
            assert!(!line.contains(piece), "{line}");
        }
    }
}
