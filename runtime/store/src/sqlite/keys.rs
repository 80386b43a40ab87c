use callbox_model::{Change, KeyId, Subject, TenantId, Wall};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, rows};
use super::{Sqlite, tenants};
use crate::{ApiKey, Error, Page, Role};

pub(super) async fn create(db: &Sqlite, key: &ApiKey) -> Result<(), Error> {
    let mut work = db.begin("create a key").await?;
    if let Role::Tenant(tenant) = key.role {
        tenants::known(&mut work, tenant).await?;
    }
    work.run(
        sqlx::query("INSERT INTO keys (id, tenant, name, hash, created, revoked) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .bind(key.id.to_string())
            .bind(tenant(key.role).map(|id| id.to_string()))
            .bind(key.name.clone())
            .bind(key.hash.to_vec())
            .bind(key.created.as_micros())
            .bind(key.revoked.map(Wall::as_micros)),
    )
    .await?;
    let change = Change::KeyCreated { key: key.id, name: key.name.clone() };
    work.note(subject(key.role), tenant(key.role), key.created, &change).await?;
    work.commit().await
}

pub(super) async fn get(db: &Sqlite, id: KeyId) -> Result<ApiKey, Error> {
    let attempted = "read a key";
    let mut reader = db.reader(attempted).await?;
    sqlx::query("SELECT * FROM keys WHERE id = ?1")
        .bind(id.to_string())
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("key", id)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, role: Role, page: Page<KeyId>) -> Result<Vec<ApiKey>, Error> {
    let attempted = "list keys";
    let mut reader = db.reader(attempted).await?;
    let found =
        sqlx::query("SELECT * FROM keys WHERE tenant IS ?1 AND id > ?2 AND revoked IS NULL ORDER BY id LIMIT ?3")
            .bind(tenant(role).map(|id| id.to_string()))
            .bind(page.after.map(|id| id.to_string()).unwrap_or_default())
            .bind(rows(page.limit))
            .fetch_all(&mut *reader)
            .await
            .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn revoke(db: &Sqlite, role: Role, id: KeyId, at: Wall) -> Result<ApiKey, Error> {
    let mut work = db.begin("revoke a key").await?;
    let key = work
        .one(
            sqlx::query("UPDATE keys SET revoked = ?3 WHERE id = ?1 AND tenant IS ?2 AND revoked IS NULL RETURNING *")
                .bind(id.to_string())
                .bind(tenant(role).map(|id| id.to_string()))
                .bind(at.as_micros()),
        )
        .await?
        .map_or_else(|| Err(Error::not_found("key", id)), |row| read(&row))?;
    let change = Change::KeyRevoked { key: id, name: key.name.clone() };
    work.note(subject(role), tenant(role), at, &change).await?;
    work.commit().await?;
    Ok(key)
}

fn read(row: &SqliteRow) -> Result<ApiKey, Error> {
    let columns = Columns::of(row, "key");
    Ok(ApiKey {
        id: columns.parse("id")?,
        role: columns.parse_some("tenant")?.map_or(Role::Operator, Role::Tenant),
        hash: columns.get::<&[u8]>("hash")?.try_into().map_err(|why| columns.corrupt("hash", why))?,
        name: columns.get("name")?,
        created: columns.wall("created")?,
        revoked: columns.wall_some("revoked")?,
    })
}

fn tenant(role: Role) -> Option<TenantId> {
    match role {
        Role::Operator => None,
        Role::Tenant(id) => Some(id),
    }
}

fn subject(role: Role) -> Subject {
    tenant(role).map_or(Subject::Node, Subject::Tenant)
}
