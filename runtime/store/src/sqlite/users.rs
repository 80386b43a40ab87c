use callbox_model::{Change, Subject, User, UserId, Wall};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, rows};
use super::work::Work;
use super::{Sqlite, domains, tenants};
use crate::{Error, KeptUser, Page, Scope, Sealed, UserChange, UserFilter};

pub(super) async fn create(db: &Sqlite, user: &User, verifiers: &Sealed) -> Result<(), Error> {
    let mut work = db.begin("create a user").await?;
    tenants::known(&mut work, user.tenant).await?;
    domains::is_of(&mut work, user.tenant, &user.domain).await?;
    let taken = work
        .one(
            sqlx::query("SELECT id FROM users WHERE domain = ?1 AND name = ?2")
                .bind(user.domain.clone())
                .bind(user.name.clone()),
        )
        .await?;
    if let Some(row) = taken {
        let why = format!("is there already: {}", Columns::of(&row, "user").get::<&str>("id")?);
        return Err(Error::Conflict { what: "user", id: user.address(), why, owner: Some(user.tenant) });
    }
    work.run(
        sqlx::query(
            "INSERT INTO users (id, tenant, domain, name, display, verifiers, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(user.id.to_string())
        .bind(user.tenant.to_string())
        .bind(user.domain.clone())
        .bind(user.name.clone())
        .bind(user.display.clone())
        .bind(verifiers.as_bytes().to_vec())
        .bind(user.created.as_micros()),
    )
    .await?;
    let change = Change::UserCreated { user: user.id, address: user.address() };
    work.note(Subject::User(user.id), Some(user.tenant), user.created, &change).await?;
    work.reroute().await?;
    work.commit().await
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: UserId) -> Result<User, Error> {
    let attempted = "read a user";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(GET)
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("user", id)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, filter: UserFilter, page: Page<UserId>) -> Result<Vec<User>, Error> {
    let attempted = "list users";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT id, tenant, domain, name, display, created FROM users
         WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR domain = ?3) AND (?4 IS NULL OR name = ?4)
         ORDER BY id LIMIT ?5",
    )
    .bind(page.after.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.scope.tenant().map(|id| id.to_string()))
    .bind(filter.domain)
    .bind(filter.name)
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn change(db: &Sqlite, scope: Scope, id: UserId, change: UserChange, at: Wall) -> Result<User, Error> {
    let mut work = db.begin("change a user").await?;
    let mut user = known(&mut work, scope, id).await?;
    // What they are is nobody's business who reads events.
    let mut what = Vec::new();
    if let Some(display) = change.display
        && display != user.display
    {
        what.push("display");
        work.run(sqlx::query("UPDATE users SET display = ?2 WHERE id = ?1").bind(id.to_string()).bind(display.clone()))
            .await?;
        user.display = display;
    }
    if let Some(verifiers) = change.verifiers {
        what.push("password");
        work.run(
            sqlx::query("UPDATE users SET verifiers = ?2 WHERE id = ?1")
                .bind(id.to_string())
                .bind(verifiers.as_bytes().to_vec()),
        )
        .await?;
    }
    if what.is_empty() {
        return Ok(user);
    }
    let change = Change::UserChanged { user: id, what: what.join(", ") };
    work.note(Subject::User(id), Some(user.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(user)
}

pub(super) async fn delete(db: &Sqlite, scope: Scope, id: UserId, at: Wall) -> Result<(), Error> {
    let mut work = db.begin("delete a user").await?;
    let user = known(&mut work, scope, id).await?;
    work.run(sqlx::query("DELETE FROM users WHERE id = ?1").bind(id.to_string())).await?;
    let change = Change::UserDeleted { user: id, address: user.address() };
    work.note(Subject::User(id), Some(user.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await
}

async fn known(work: &mut Work, scope: Scope, id: UserId) -> Result<User, Error> {
    work.one(sqlx::query(GET).bind(id.to_string()).bind(scope.tenant().map(|id| id.to_string())))
        .await?
        .map_or_else(|| Err(Error::not_found("user", id)), |row| read(&row))
}

fn read(row: &SqliteRow) -> Result<User, Error> {
    let columns = Columns::of(row, "user");
    Ok(User {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        domain: columns.get("domain")?,
        name: columns.get("name")?,
        display: columns.get("display")?,
        created: columns.wall("created")?,
    })
}

pub(super) fn read_kept(row: &SqliteRow) -> Result<KeptUser, Error> {
    let verifiers = Sealed::new(Columns::of(row, "user").get::<Vec<u8>>("verifiers")?);
    Ok(KeptUser { user: read(row)?, verifiers })
}

const GET: &str = "SELECT id, tenant, domain, name, display, created FROM users
                   WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)";
