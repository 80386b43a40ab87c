//! Modules and their components.

use callbox_model::{Change, Module, ModuleId, ModuleState, ModuleVersion, Subject, TenantId, Wall};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, int, json, rows, word};
use super::work::Work;
use super::{Sqlite, tenants};
use crate::{Error, ModuleFilter, NewModule, Page, Scope};

pub(super) async fn create(db: &Sqlite, new: NewModule, component: Vec<u8>) -> Result<Module, Error> {
    // Blobs are shared by digest, so a wrong one would put code into another tenant's hands.
    let (digest, component) = digested(component).await?;
    if digest != new.digest {
        let why = format!("its component has the digest {digest}, not {}", new.digest);
        return Err(Error::Refused { what: "module", id: new.name, why });
    }
    let mut work = db.begin("keep a module").await?;
    tenants::known(&mut work, new.tenant).await?;
    let found = work
        .one(
            sqlx::query("SELECT coalesce(max(version), 0) + 1 AS version FROM modules WHERE tenant = ?1 AND name = ?2")
                .bind(new.tenant.to_string())
                .bind(new.name.clone()),
        )
        .await?;
    let version = found.map_or(Ok(1), |row| Columns::of(&row, "module").count("version"))?;
    let module = Module {
        id: new.id,
        tenant: new.tenant,
        name: new.name,
        version,
        digest,
        world: new.world,
        state: ModuleState::Ready,
        bytes: component.len() as u64,
        imports: new.imports,
        initial_memory_bytes: new.initial_memory_bytes,
        created: new.created,
    };
    keep_blob(&mut work, &module.digest, component).await?;
    work.run(
        sqlx::query(
            "INSERT INTO modules (id, tenant, name, version, digest, world, state, bytes, imports,
                 initial_memory_bytes, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .bind(module.id.to_string())
        .bind(module.tenant.to_string())
        .bind(module.name.clone())
        .bind(i64::from(module.version))
        .bind(module.digest.clone())
        .bind(word(&module.world))
        .bind(word(&module.state))
        .bind(int(module.bytes))
        .bind(json(&module.imports))
        .bind(int(module.initial_memory_bytes))
        .bind(module.created.as_micros()),
    )
    .await?;
    let change =
        Change::ModuleUploaded { name: module.name.clone(), version: module.version, digest: module.digest.clone() };
    work.note(Subject::Module(module.id), Some(module.tenant), module.created, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(module)
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: ModuleId) -> Result<Module, Error> {
    let attempted = "read a module";
    let mut reader = db.reader(attempted).await?;
    sqlx::query("SELECT * FROM modules WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("module", id)), |row| read(&row))
}

pub(super) async fn named(
    db: &Sqlite,
    tenant: TenantId,
    name: &str,
    version: Option<ModuleVersion>,
) -> Result<Module, Error> {
    let attempted = "read a module";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(
        "SELECT * FROM modules WHERE tenant = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)
         ORDER BY version DESC LIMIT 1",
    )
    .bind(tenant.to_string())
    .bind(name.to_owned())
    .bind(version.map(i64::from))
    .fetch_optional(&mut *reader)
    .await
    .map_err(away(attempted))?
    .map_or_else(
        || match version {
            Some(version) => Err(Error::not_found("module", format!("{name}@{version}"))),
            None => Err(Error::not_found("module", name)),
        },
        |row| read(&row),
    )
}

pub(super) async fn list(db: &Sqlite, filter: ModuleFilter, page: Page<ModuleId>) -> Result<Vec<Module>, Error> {
    let attempted = "list modules";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT * FROM modules
         WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR name = ?3)
           AND (?4 IS NULL OR state = ?4)
         ORDER BY id DESC LIMIT ?5",
    )
    .bind(page.after.map(|id| id.to_string()))
    .bind(filter.scope.tenant().map(|id| id.to_string()))
    .bind(filter.name)
    .bind(filter.state.map(|state| word(&state)))
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn change_state(
    db: &Sqlite,
    scope: Scope,
    id: ModuleId,
    from: ModuleState,
    to: ModuleState,
    at: Wall,
) -> Result<Module, Error> {
    let mut work = db.begin("change a module").await?;
    let mut module = work
        .one(
            sqlx::query("SELECT * FROM modules WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")
                .bind(id.to_string())
                .bind(scope.tenant().map(|id| id.to_string())),
        )
        .await?
        .map_or_else(|| Err(Error::not_found("module", id)), |row| read(&row))?;
    if module.state != from {
        let why = format!("is {}, not {}", word(&module.state), word(&from));
        return Err(Error::Conflict { what: "module", id: id.to_string(), why, owner: Some(module.tenant) });
    }
    if module.state == to {
        return Ok(module);
    }
    module.state = to;
    work.run(sqlx::query("UPDATE modules SET state = ?2 WHERE id = ?1").bind(id.to_string()).bind(word(&to))).await?;
    work.note(Subject::Module(id), Some(module.tenant), at, &Change::ModuleChanged { what: word(&to) }).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(module)
}

pub(super) async fn blob(db: &Sqlite, digest: &str) -> Result<Vec<u8>, Error> {
    let attempted = "read a blob";
    let mut reader = db.reader(attempted).await?;
    let row = sqlx::query("SELECT digest AS id, bytes FROM blobs WHERE digest = ?1")
        .bind(digest.to_owned())
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .ok_or_else(|| Error::not_found("blob", digest))?;
    drop(reader);
    let (found, bytes) = digested(Columns::of(&row, "blob").get("bytes")?).await?;
    if found != digest {
        let why = format!("its bytes have the digest {found}");
        return Err(Error::Corrupt { what: "blob", id: digest.to_owned(), why });
    }
    Ok(bytes)
}

pub(super) async fn keep_blob(work: &mut Work, digest: &str, bytes: Vec<u8>) -> Result<(), Error> {
    work.run(
        sqlx::query("INSERT INTO blobs (digest, bytes) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING")
            .bind(digest.to_owned())
            .bind(bytes),
    )
    .await?;
    Ok(())
}

/// Megabytes are not hashed where requests are served.
pub(super) async fn digested(bytes: Vec<u8>) -> Result<(String, Vec<u8>), Error> {
    tokio::task::spawn_blocking(move || {
        use std::fmt::Write;
        let mut digest = "sha256:".to_owned();
        for byte in Sha256::digest(&bytes) {
            // Writing to a string cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        (digest, bytes)
    })
    .await
    .map_err(|error| Error::Unavailable { attempted: "digest a blob", source: Box::new(error) })
}

pub(super) fn read(row: &SqliteRow) -> Result<Module, Error> {
    let columns = Columns::of(row, "module");
    Ok(Module {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        name: columns.get("name")?,
        version: columns.count("version")?,
        digest: columns.get("digest")?,
        world: columns.word("world")?,
        state: columns.word("state")?,
        bytes: columns.count("bytes")?,
        imports: columns.json("imports")?,
        initial_memory_bytes: columns.count("initial_memory_bytes")?,
        created: columns.wall("created")?,
    })
}
