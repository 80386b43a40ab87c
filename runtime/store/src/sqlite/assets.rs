//! Files of an application: what `play` plays.

use callbox_model::{ApplicationId, Asset, Change, Subject, TenantId, Wall};
use sqlx::sqlite::SqliteRow;

use super::modules::{digested, keep_blob};
use super::row::{Columns, away, int, json, rows};
use super::work::Work;
use super::{Sqlite, applications};
use crate::{Error, Page, Scope};

pub(super) async fn put(
    db: &Sqlite,
    scope: Scope,
    id: ApplicationId,
    name: &str,
    bytes: Vec<u8>,
    most_bytes: u64,
    at: Wall,
) -> Result<Asset, Error> {
    let (digest, bytes) = digested(bytes).await?;
    let mut work = db.begin("keep an asset").await?;
    let application = applications::known(&mut work, scope, id).await?;
    let replaced = digest_of(&mut work, id, name).await?;
    let asset = Asset { application: id, name: name.to_owned(), bytes: bytes.len() as u64, digest, created: at };
    keep_blob(&mut work, &asset.digest, bytes).await?;
    work.run(
        sqlx::query(
            "INSERT INTO assets (application, name, tenant, bytes, digest, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (application, name) DO UPDATE SET
                 bytes = excluded.bytes, digest = excluded.digest, created = excluded.created",
        )
        .bind(id.to_string())
        .bind(name.to_owned())
        .bind(application.tenant.to_string())
        .bind(int(asset.bytes))
        .bind(asset.digest.clone())
        .bind(at.as_micros()),
    )
    .await?;
    let used = work.one(sqlx::query(USED).bind(application.tenant.to_string())).await?;
    let used: u64 = used.map_or(Ok(0), |row| Columns::of(&row, "assets").count("bytes"))?;
    if used > most_bytes {
        let limit = "tenant_asset_bytes";
        return Err(Error::Quota { what: "asset", id: name.to_owned(), limit, most: most_bytes });
    }
    sweep(&mut work, &replaced).await?;
    let change = Change::ApplicationChanged { what: format!("asset {name} put") };
    work.note(Subject::Application(id), Some(application.tenant), at, &change).await?;
    work.commit().await?;
    Ok(asset)
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: ApplicationId, name: &str) -> Result<Asset, Error> {
    let attempted = "read an asset";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(
        "SELECT application AS id, * FROM assets
         WHERE application = ?1 AND name = ?2 AND (?3 IS NULL OR tenant = ?3)",
    )
    .bind(id.to_string())
    .bind(name.to_owned())
    .bind(scope.tenant().map(|id| id.to_string()))
    .fetch_optional(&mut *reader)
    .await
    .map_err(away(attempted))?
    .map_or_else(|| Err(Error::not_found("asset", name)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, scope: Scope, id: ApplicationId, page: Page<&str>) -> Result<Vec<Asset>, Error> {
    let attempted = "list assets";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT application AS id, * FROM assets
         WHERE application = ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR name > ?3) ORDER BY name LIMIT ?4",
    )
    .bind(id.to_string())
    .bind(scope.tenant().map(|id| id.to_string()))
    .bind(page.after.map(str::to_owned))
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn delete(db: &Sqlite, scope: Scope, id: ApplicationId, name: &str, at: Wall) -> Result<(), Error> {
    let mut work = db.begin("delete an asset").await?;
    let application = applications::known(&mut work, scope, id).await?;
    let deleted = digest_of(&mut work, id, name).await?;
    if deleted.is_empty() {
        return Err(Error::not_found("asset", name));
    }
    work.run(
        sqlx::query("DELETE FROM assets WHERE application = ?1 AND name = ?2")
            .bind(id.to_string())
            .bind(name.to_owned()),
    )
    .await?;
    sweep(&mut work, &deleted).await?;
    let change = Change::ApplicationChanged { what: format!("asset {name} deleted") };
    work.note(Subject::Application(id), Some(application.tenant), at, &change).await?;
    work.commit().await
}

pub(super) async fn bytes(db: &Sqlite, tenant: TenantId) -> Result<u64, Error> {
    let attempted = "add assets up";
    let mut reader = db.reader(attempted).await?;
    let row = sqlx::query(USED).bind(tenant.to_string()).fetch_one(&mut *reader).await.map_err(away(attempted))?;
    Columns::of(&row, "assets").count("bytes")
}

/// Of all assets of an application.
pub(super) async fn digests(work: &mut Work, id: ApplicationId) -> Result<Vec<String>, Error> {
    let found =
        work.all(sqlx::query("SELECT DISTINCT digest FROM assets WHERE application = ?1").bind(id.to_string())).await?;
    found.iter().map(|row| Columns::of(row, "asset").get("digest")).collect()
}

/// Removes the blobs among these that nothing refers to any more.
pub(super) async fn sweep(work: &mut Work, digests: &[String]) -> Result<(), Error> {
    if digests.is_empty() {
        return Ok(());
    }
    work.run(
        sqlx::query(
            "DELETE FROM blobs WHERE digest IN (SELECT value FROM json_each(?1))
             AND NOT EXISTS (SELECT 1 FROM assets WHERE assets.digest = blobs.digest)
             AND NOT EXISTS (SELECT 1 FROM modules WHERE modules.digest = blobs.digest)",
        )
        .bind(json(&digests)),
    )
    .await?;
    Ok(())
}

/// Empty when there is no such asset.
async fn digest_of(work: &mut Work, id: ApplicationId, name: &str) -> Result<Vec<String>, Error> {
    let found = work
        .one(
            sqlx::query("SELECT digest FROM assets WHERE application = ?1 AND name = ?2")
                .bind(id.to_string())
                .bind(name.to_owned()),
        )
        .await?;
    found.iter().map(|row| Columns::of(row, "asset").get("digest")).collect()
}

fn read(row: &SqliteRow) -> Result<Asset, Error> {
    let columns = Columns::of(row, "asset");
    Ok(Asset {
        application: columns.parse("application")?,
        name: columns.get("name")?,
        bytes: columns.count("bytes")?,
        digest: columns.get("digest")?,
        created: columns.wall("created")?,
    })
}

const USED: &str = "SELECT coalesce(sum(bytes), 0) AS bytes FROM assets WHERE tenant = ?1";
