//! Under which contacts users can be reached.
//!
//! Phones come back in bursts, thousands in a second after a power cut: however many changes there
//! are, they are a handful of statements.

use std::collections::{BTreeMap, BTreeSet};

use callbox_model::{Change, Registration, Subject, TenantId, UserId, Wall};
use sqlx::sqlite::SqliteRow;

use super::bulk::Bulk;
use super::row::{Columns, away, json};
use super::work::Work;
use super::{Sqlite, batch, users};
use crate::{Error, Note, RegistrationChange, Scope};

pub(super) async fn commit(db: &Sqlite, changes: &[RegistrationChange]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut work = db.begin("write registrations down").await?;
    let mut users = reachable(&mut work, changes).await?;
    let mut notes = Vec::new();
    // What each contact comes to in the end.
    let mut ends: BTreeMap<(UserId, &str), Option<&Registration>> = BTreeMap::new();
    for change in changes {
        let user = change.user();
        // A user that is gone has no registrations any more.
        let Some(known) = users.get_mut(&user) else { continue };
        match change {
            RegistrationChange::Put { registration, at } => {
                if known.contacts.insert(registration.contact.clone()) {
                    let (contact, expires) = (registration.contact.clone(), registration.expires);
                    notes.push(known.note(user, *at, Change::UserRegistered { user, contact, expires }));
                }
                ends.insert((user, &registration.contact), Some(registration));
            }
            RegistrationChange::Remove { contact, why, at, .. } => {
                if known.contacts.remove(contact) {
                    let (contact, why) = (contact.clone(), why.clone());
                    notes.push(known.note(user, *at, Change::UserUnregistered { user, contact, why }));
                }
                ends.insert((user, contact), None);
            }
        }
    }
    let put = ends.values().copied().flatten().collect();
    let removed = ends.iter().filter(|(_, end)| end.is_none()).map(|((user, contact), _)| (*user, *contact)).collect();
    PUT.run(&mut work, put, |registration, row| {
        row.add(registration.user.to_string());
        row.add(registration.contact.clone());
        row.add(registration.instance.clone());
        row.add(registration.reg_id.map(i64::from));
        row.add(json(&registration.path));
        row.add(i64::from(registration.q_permille));
        row.add(registration.sip_call_id.clone());
        row.add(i64::from(registration.cseq));
        row.add(registration.transport.clone());
        row.add(registration.remote.to_string());
        row.add(registration.local.to_string());
        row.add(registration.user_agent.clone());
        row.add(registration.expires.as_micros());
    })
    .await?;
    REMOVE
        .run(&mut work, removed, |(user, contact): (UserId, &str), row| {
            row.add(user.to_string());
            row.add(contact.to_owned());
        })
        .await?;
    batch::tell(&mut work, notes).await?;
    work.commit().await
}

/// A user that changes speak of, and where it could be reached before them.
struct Reachable {
    tenant: TenantId,
    contacts: BTreeSet<String>,
}

impl Reachable {
    fn note(&self, user: UserId, at: Wall, change: Change) -> Note {
        Note { subject: Subject::User(user), tenant: Some(self.tenant), at, change }
    }
}

async fn reachable(work: &mut Work, changes: &[RegistrationChange]) -> Result<BTreeMap<UserId, Reachable>, Error> {
    let asked: BTreeSet<UserId> = changes.iter().map(RegistrationChange::user).collect();
    let found = work
        .all(
            sqlx::query(
                "SELECT users.id, users.tenant, registrations.contact
                 FROM json_each(?1) AS asked
                 JOIN users ON users.id = asked.value
                 LEFT JOIN registrations ON registrations.user = users.id",
            )
            .bind(json(&asked)),
        )
        .await?;
    let mut users = BTreeMap::new();
    for row in &found {
        let columns = Columns::of(row, "user");
        let tenant = columns.parse("tenant")?;
        let known =
            users.entry(columns.parse("id")?).or_insert_with(|| Reachable { tenant, contacts: BTreeSet::new() });
        known.contacts.extend(columns.get::<Option<String>>("contact")?);
    }
    Ok(users)
}

pub(super) async fn all(db: &Sqlite, now: Wall) -> Result<Vec<Registration>, Error> {
    let attempted = "read registrations";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query("SELECT user AS id, * FROM registrations WHERE expires > ?1 ORDER BY user, contact")
        .bind(now.as_micros())
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn of_user(db: &Sqlite, scope: Scope, user: UserId, now: Wall) -> Result<Vec<Registration>, Error> {
    users::get(db, scope, user).await?;
    let attempted = "read the registrations of a user";
    let mut reader = db.reader(attempted).await?;
    let found =
        sqlx::query("SELECT user AS id, * FROM registrations WHERE user = ?1 AND expires > ?2 ORDER BY contact")
            .bind(user.to_string())
            .bind(now.as_micros())
            .fetch_all(&mut *reader)
            .await
            .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn purge(db: &Sqlite, expired: Wall, at: Wall) -> Result<u64, Error> {
    let mut work = db.begin("remove registrations that have run out").await?;
    let found = work
        .all(
            sqlx::query(
                "DELETE FROM registrations WHERE (user, contact) IN
                     (SELECT user, contact FROM registrations WHERE expires <= ?1 ORDER BY expires LIMIT 1000)
                 RETURNING user AS id, contact, (SELECT tenant FROM users WHERE users.id = user) AS tenant",
            )
            .bind(expired.as_micros()),
        )
        .await?;
    let mut notes = Vec::with_capacity(found.len());
    for row in &found {
        let columns = Columns::of(row, "registration");
        let user = columns.parse("id")?;
        let change =
            Change::UserUnregistered { user, contact: columns.get("contact")?, why: "it has run out".to_owned() };
        notes.push(Note { subject: Subject::User(user), tenant: columns.parse_some("tenant")?, at, change });
    }
    batch::tell(&mut work, notes).await?;
    work.commit().await?;
    Ok(found.len() as u64)
}

fn read(row: &SqliteRow) -> Result<Registration, Error> {
    let columns = Columns::of(row, "registration");
    let narrow = |why: std::num::TryFromIntError| columns.corrupt("reg_id", why);
    Ok(Registration {
        user: columns.parse("user")?,
        contact: columns.get("contact")?,
        instance: columns.get("instance")?,
        reg_id: columns.get::<Option<i64>>("reg_id")?.map(u32::try_from).transpose().map_err(narrow)?,
        path: columns.json("path")?,
        q_permille: columns.count("q_permille")?,
        sip_call_id: columns.get("sip_call_id")?,
        cseq: columns.count("cseq")?,
        transport: columns.get("transport")?,
        remote: columns.parse("remote")?,
        local: columns.parse("local")?,
        user_agent: columns.get("user_agent")?,
        expires: columns.wall("expires")?,
    })
}

static PUT: Bulk = Bulk::new(
    "INSERT INTO registrations (user, contact, instance, reg_id, path, q_permille, sip_call_id, cseq, transport,
         remote, local, user_agent, expires)
     SELECT * FROM",
    13,
    "WHERE column1 IS NOT NULL ON CONFLICT (user, contact) DO UPDATE SET
         instance = excluded.instance,
         reg_id = excluded.reg_id,
         path = excluded.path,
         q_permille = excluded.q_permille,
         sip_call_id = excluded.sip_call_id,
         cseq = excluded.cseq,
         transport = excluded.transport,
         remote = excluded.remote,
         local = excluded.local,
         user_agent = excluded.user_agent,
         expires = excluded.expires",
);

static REMOVE: Bulk = Bulk::new(
    "DELETE FROM registrations WHERE (user, contact) IN (SELECT column1, column2 FROM",
    2,
    "WHERE column1 IS NOT NULL)",
);
