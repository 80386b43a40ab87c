use callbox_model::{Change, Subject, Tenant, TenantId, TenantState, Wall};
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use super::row::{Columns, away, rows, word};
use super::work::Work;
use crate::{Error, Page};

pub(super) async fn create(db: &Sqlite, tenant: &Tenant) -> Result<(), Error> {
    let mut work = db.begin("create a tenant").await?;
    is_free(&mut work, &tenant.name).await?;
    work.run(
        sqlx::query("INSERT INTO tenants (id, name, state, created) VALUES (?1, ?2, ?3, ?4)")
            .bind(tenant.id.to_string())
            .bind(tenant.name.clone())
            .bind(word(&tenant.state))
            .bind(tenant.created.as_micros()),
    )
    .await?;
    let change = Change::TenantCreated { name: tenant.name.clone() };
    work.note(Subject::Tenant(tenant.id), Some(tenant.id), tenant.created, &change).await?;
    work.reroute().await?;
    work.commit().await
}

pub(super) async fn get(db: &Sqlite, id: TenantId) -> Result<Tenant, Error> {
    let attempted = "read a tenant";
    let mut reader = db.reader(attempted).await?;
    sqlx::query("SELECT * FROM tenants WHERE id = ?1")
        .bind(id.to_string())
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("tenant", id)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, name: Option<&str>, page: Page<TenantId>) -> Result<Vec<Tenant>, Error> {
    let attempted = "list tenants";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query("SELECT * FROM tenants WHERE id > ?1 AND (?3 IS NULL OR name = ?3) ORDER BY id LIMIT ?2")
        .bind(page.after.map(|id| id.to_string()).unwrap_or_default())
        .bind(rows(page.limit))
        .bind(name.map(str::to_owned))
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn change(
    db: &Sqlite,
    id: TenantId,
    name: Option<String>,
    state: Option<TenantState>,
    at: Wall,
) -> Result<Tenant, Error> {
    let mut work = db.begin("change a tenant").await?;
    let mut tenant = known(&mut work, id).await?;
    let mut what = Vec::new();
    if let Some(name) = name
        && name != tenant.name
    {
        is_free(&mut work, &name).await?;
        what.push(format!("name {name}"));
        tenant.name = name;
    }
    if let Some(state) = state
        && state != tenant.state
    {
        what.push(word(&state));
        tenant.state = state;
    }
    if what.is_empty() {
        return Ok(tenant);
    }
    work.run(
        sqlx::query("UPDATE tenants SET name = ?2, state = ?3 WHERE id = ?1")
            .bind(id.to_string())
            .bind(tenant.name.clone())
            .bind(word(&tenant.state)),
    )
    .await?;
    work.note(Subject::Tenant(id), Some(id), at, &Change::TenantChanged { what: what.join(", ") }).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(tenant)
}

async fn is_free(work: &mut Work, name: &str) -> Result<(), Error> {
    let taken = work.one(sqlx::query("SELECT id FROM tenants WHERE name = ?1").bind(name.to_owned())).await?;
    match taken {
        None => Ok(()),
        Some(row) => Err(Error::Conflict {
            what: "tenant",
            id: name.to_owned(),
            why: "is there already".to_owned(),
            owner: Some(Columns::of(&row, "tenant").parse("id")?),
        }),
    }
}

/// The tenant, in a transaction that is about to give it something.
pub(super) async fn known(work: &mut Work, id: TenantId) -> Result<Tenant, Error> {
    work.one(sqlx::query("SELECT * FROM tenants WHERE id = ?1").bind(id.to_string()))
        .await?
        .map_or_else(|| Err(Error::not_found("tenant", id)), |row| read(&row))
}

pub(super) fn read(row: &SqliteRow) -> Result<Tenant, Error> {
    let columns = Columns::of(row, "tenant");
    Ok(Tenant {
        id: columns.parse("id")?,
        name: columns.get("name")?,
        state: columns.word("state")?,
        created: columns.wall("created")?,
    })
}
