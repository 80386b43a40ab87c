//! Under which contacts users can be reached.

use callbox_model::{Change, Registration, Subject, User, UserId, Wall};
use callbox_store::{Error, EventFilter, RegistrationChange, Scope, Store};

use crate::world::{World, told};

const HOUR: i64 = 3_600_000_000;

pub(crate) fn registration(user: UserId, contact: &str, expires: Wall) -> Registration {
    Registration {
        user,
        contact: contact.to_owned(),
        instance: Some("<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>".to_owned()),
        reg_id: Some(u32::MAX),
        path: vec!["<sip:edge.example.org;lr>".to_owned(), "<sip:[2001:db8::1]:5070;lr;ob>".to_owned()],
        q_permille: 700,
        sip_call_id: "843817637684230@998sdasdh09".to_owned(),
        cseq: u32::MAX,
        transport: "tls".to_owned(),
        remote: "[2001:db8::5]:40123".parse().unwrap(),
        local: "192.0.2.1:5061".parse().unwrap(),
        user_agent: Some("phone \"x\" 1.0".to_owned()),
        expires,
    }
}

fn put(registration: &Registration, at: Wall) -> RegistrationChange {
    RegistrationChange::Put { registration: registration.clone(), at }
}

fn remove(user: UserId, contact: &str, at: Wall) -> RegistrationChange {
    RegistrationChange::Remove { user, contact: contact.to_owned(), why: "the phone said so".to_owned(), at }
}

async fn anna<S: Store>(world: &World<S>) -> User {
    let tenant = world.tenant("owner").await;
    world.domain(tenant, "example.org").await;
    world.user(tenant, "example.org", "anna").await
}

pub(crate) async fn contacts<S: Store>(world: World<S>) {
    let (store, anna) = (&world.store, anna(&world).await);
    let (mine, revision) = (Scope::Tenant(anna.tenant), store.directory_revision().await.unwrap());
    let now = world.now();
    let later = Wall(now.0 + HOUR);
    let desk = registration(anna.id, "sip:anna@192.0.2.7:5060", later);
    let bare = Registration {
        instance: None,
        reg_id: None,
        path: Vec::new(),
        user_agent: None,
        ..registration(anna.id, "sip:anna@198.51.100.4;transport=tcp", later)
    };
    store.commit_registrations(&[]).await.unwrap();
    store.commit_registrations(&[put(&desk, now), put(&bare, now)]).await.unwrap();
    assert_eq!(store.user_registrations(mine, anna.id, now).await.unwrap(), [desk.clone(), bare.clone()]);
    assert_eq!(store.registrations(now).await.unwrap(), [desk.clone(), bare.clone()]);

    // It comes again: the newest particulars stand, and nobody is told.
    let renewed = Registration {
        cseq: 1,
        sip_call_id: "another".to_owned(),
        remote: "203.0.113.9:1024".parse().unwrap(),
        path: Vec::new(),
        expires: Wall(later.0 + HOUR),
        ..desk.clone()
    };
    store.commit_registrations(&[put(&renewed, now)]).await.unwrap();
    assert_eq!(store.registrations(now).await.unwrap(), [renewed.clone(), bare.clone()]);
    // What has run out is as if it were not there.
    assert_eq!(store.registrations(later).await.unwrap(), std::slice::from_ref(&renewed));
    assert_eq!(store.user_registrations(mine, anna.id, later).await.unwrap(), std::slice::from_ref(&renewed));

    store.commit_registrations(&[remove(anna.id, &bare.contact, now), remove(anna.id, "sip:x", now)]).await.unwrap();
    assert_eq!(store.registrations(now).await.unwrap(), std::slice::from_ref(&renewed));
    let (user, why) = (anna.id, "the phone said so".to_owned());
    assert_eq!(
        told(&world, mine, Subject::User(anna.id)).await[1..],
        [
            Change::UserRegistered { user, contact: desk.contact.clone(), expires: later },
            Change::UserRegistered { user, contact: bare.contact.clone(), expires: later },
            Change::UserUnregistered { user, contact: bare.contact, why },
        ]
    );
    // Routing is not told of phones: it would have no rest.
    assert_eq!(store.directory_revision().await.unwrap(), revision);
    store.delete_user(mine, anna.id, world.now()).await.unwrap();
    assert_eq!(store.registrations(now).await.unwrap(), []);
}

/// Of changes to one contact in one batch, the last stands, and each is told that was one.
pub(crate) async fn a_batch_is_in_order<S: Store>(world: World<S>) {
    let (store, anna) = (&world.store, anna(&world).await);
    let now = world.now();
    let first = registration(anna.id, "sip:a", Wall(now.0 + HOUR));
    let second = Registration { cseq: 9, ..first.clone() };
    let batch = [put(&first, now), remove(anna.id, "sip:a", now), remove(anna.id, "sip:a", now), put(&second, now)];
    store.commit_registrations(&batch).await.unwrap();
    assert_eq!(store.registrations(now).await.unwrap(), [second]);
    store.commit_registrations(&[put(&first, now), remove(anna.id, "sip:a", now)]).await.unwrap();
    assert_eq!(store.registrations(now).await.unwrap(), []);
    let told: Vec<bool> = told(&world, Scope::Operator, Subject::User(anna.id)).await[1..]
        .iter()
        .map(|change| matches!(change, Change::UserRegistered { .. }))
        .collect();
    assert_eq!(told, [true, false, true, false]);
}

/// More phones than one statement takes, some of users that are gone.
pub(crate) async fn bursts<S: Store>(world: World<S>) {
    let store = &world.store;
    let tenant = world.tenant("owner").await;
    let other = world.tenant("other").await;
    world.domain(tenant, "example.org").await;
    world.domain(other, "example.com").await;
    let mut users = Vec::new();
    for number in 0..40 {
        let (tenant, domain) = if number % 2 == 0 { (tenant, "example.org") } else { (other, "example.com") };
        users.push(world.user(tenant, domain, &format!("u{number}")).await.id);
    }
    let gone = UserId::from_u128(1);
    let now = world.now();
    let expires = Wall(now.0 + HOUR);
    let mut batch = Vec::new();
    for number in 0..600usize {
        batch.push(put(&registration(users[number % 40], &format!("sip:{number}"), expires), now));
        batch.push(put(&registration(gone, &format!("sip:{number}"), expires), now));
        batch.push(remove(gone, "sip:none", now));
    }
    let before = *store.position().borrow();
    store.commit_registrations(&batch).await.unwrap();
    assert_eq!(*store.position().borrow(), before + 600);
    assert_eq!(store.registrations(now).await.unwrap().len(), 600);
    for &user in &users {
        assert_eq!(store.user_registrations(Scope::Operator, user, now).await.unwrap().len(), 15);
        assert_eq!(world.is_whole(Subject::User(user)).await, 16);
    }
    assert_eq!(store.last_sequence(Subject::User(gone)).await.unwrap(), 0);
    // Again, they are renewals.
    store.commit_registrations(&batch).await.unwrap();
    assert_eq!(*store.position().borrow(), before + 600);

    // Each tenant is told of its own, and sees its own.
    let mine = world.events(EventFilter::all(Scope::Tenant(tenant))).await;
    assert_eq!(mine.iter().filter(|found| matches!(found.event.change, Change::UserRegistered { .. })).count(), 300);
    let foreign = store.user_registrations(Scope::Tenant(tenant), users[1], now).await;
    assert!(matches!(foreign, Err(Error::NotFound { what: "user", .. })));
    assert!(matches!(store.user_registrations(Scope::Operator, gone, now).await, Err(Error::NotFound { .. })));
}

pub(crate) async fn running_out<S: Store>(world: World<S>) {
    let (store, anna) = (&world.store, anna(&world).await);
    let now = world.now();
    let of = |number: i64| registration(anna.id, &format!("sip:{number:04}"), Wall(now.0 + number));
    let batch: Vec<_> = (1..=1_200).map(|number| put(&of(number), now)).collect();
    store.commit_registrations(&batch).await.unwrap();
    assert_eq!(store.purge_registrations(now, now).await.unwrap(), 0);
    // The oldest first, at most a thousand.
    let later = Wall(now.0 + 1_100);
    assert_eq!(store.purge_registrations(later, later).await.unwrap(), 1_000);
    assert_eq!(store.purge_registrations(later, later).await.unwrap(), 100);
    assert_eq!(store.purge_registrations(later, later).await.unwrap(), 0);
    let left = store.registrations(now).await.unwrap();
    assert_eq!((left.len(), &left[0]), (100, &of(1_101)));
    assert_eq!(store.last_sequence(Subject::User(anna.id)).await.unwrap(), 1 + 1_200 + 1_100);
    let newest = world.events(EventFilter::all(Scope::Operator)).await;
    assert!(newest.iter().all(|found| found.event.tenant == Some(anna.tenant) || found.event.tenant.is_none()));
}
