//! Trunks. An application knows its trunk by name, so a name that is known stays.

use callbox_model::{Change, Subject, TenantId, Trunk, TrunkId, Wall};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, json, rows};
use super::work::Work;
use super::{Sqlite, tenants};
use crate::{Error, KeptTrunk, NewTrunk, Page, PasswordChange, Scope, Sealed, TrunkChange, TrunkFilter};

pub(super) async fn create(db: &Sqlite, new: NewTrunk) -> Result<KeptTrunk, Error> {
    let mut work = db.begin("create a trunk").await?;
    tenants::known(&mut work, new.tenant).await?;
    is_free(&mut work, new.tenant, &new.name).await?;
    let trunk =
        Trunk { id: new.id, tenant: new.tenant, name: new.name, spec: new.spec, revision: 1, created: new.created };
    work.run(
        sqlx::query(
            "INSERT INTO trunks (id, tenant, name, spec, password, revision, created)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)",
        )
        .bind(trunk.id.to_string())
        .bind(trunk.tenant.to_string())
        .bind(trunk.name.clone())
        .bind(json(&trunk.spec))
        .bind(new.password.as_ref().map(|sealed| sealed.as_bytes().to_vec()))
        .bind(trunk.created.as_micros()),
    )
    .await?;
    let change = Change::TrunkCreated { name: trunk.name.clone() };
    work.note(Subject::Trunk(trunk.id), Some(trunk.tenant), trunk.created, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(KeptTrunk { trunk, password: new.password })
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: TrunkId) -> Result<KeptTrunk, Error> {
    let attempted = "read a trunk";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(GET)
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("trunk", id)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, filter: TrunkFilter, page: Page<TrunkId>) -> Result<Vec<KeptTrunk>, Error> {
    let attempted = "list trunks";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT * FROM trunks WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR name = ?3)
         ORDER BY id LIMIT ?4",
    )
    .bind(page.after.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.scope.tenant().map(|id| id.to_string()))
    .bind(filter.name)
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn replace(
    db: &Sqlite,
    scope: Scope,
    id: TrunkId,
    change: TrunkChange,
    expected: Option<u64>,
    at: Wall,
) -> Result<KeptTrunk, Error> {
    let mut work = db.begin("change a trunk").await?;
    let KeptTrunk { mut trunk, mut password } = known(&mut work, scope, id).await?;
    if let Some(expected) = expected
        && expected != trunk.revision
    {
        let current = trunk.revision;
        return Err(Error::Stale { what: "trunk", id: id.to_string(), expected, current });
    }
    let mut what = "spec".to_owned();
    if change.name != trunk.name {
        is_free(&mut work, trunk.tenant, &change.name).await?;
        is_unnamed(&mut work, &trunk).await?;
        what = format!("name {}, spec", change.name);
        trunk.name = change.name;
    }
    match change.password {
        PasswordChange::Keep => {}
        PasswordChange::Remove if password.is_none() => {}
        PasswordChange::Remove => {
            what.push_str(", password removed");
            password = None;
        }
        PasswordChange::Put(sealed) => {
            what.push_str(", password put");
            password = Some(sealed);
        }
    }
    trunk.spec = change.spec;
    trunk.revision += 1;
    work.run(
        sqlx::query("UPDATE trunks SET name = ?2, spec = ?3, password = ?4, revision = revision + 1 WHERE id = ?1")
            .bind(id.to_string())
            .bind(trunk.name.clone())
            .bind(json(&trunk.spec))
            .bind(password.as_ref().map(|sealed| sealed.as_bytes().to_vec())),
    )
    .await?;
    let change = Change::TrunkChanged { name: trunk.name.clone(), what };
    work.note(Subject::Trunk(id), Some(trunk.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(KeptTrunk { trunk, password })
}

pub(super) async fn delete(db: &Sqlite, scope: Scope, id: TrunkId, at: Wall) -> Result<(), Error> {
    let mut work = db.begin("delete a trunk").await?;
    let KeptTrunk { trunk, .. } = known(&mut work, scope, id).await?;
    is_unnamed(&mut work, &trunk).await?;
    work.run(sqlx::query("DELETE FROM trunks WHERE id = ?1").bind(id.to_string())).await?;
    let change = Change::TrunkDeleted { name: trunk.name };
    work.note(Subject::Trunk(id), Some(trunk.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await
}

/// That the tenant has one of that name, in a transaction that is about to refer to it.
pub(super) async fn is_there(work: &mut Work, tenant: TenantId, name: &str) -> Result<(), Error> {
    named(work, tenant, name).await?.map_or_else(|| Err(Error::not_found("trunk", name)), |_| Ok(()))
}

async fn is_free(work: &mut Work, tenant: TenantId, name: &str) -> Result<(), Error> {
    match named(work, tenant, name).await? {
        None => Ok(()),
        Some(row) => {
            let why = format!("is there already: {}", Columns::of(&row, "trunk").get::<&str>("id")?);
            Err(Error::Conflict { what: "trunk", id: name.to_owned(), why, owner: Some(tenant) })
        }
    }
}

async fn is_unnamed(work: &mut Work, trunk: &Trunk) -> Result<(), Error> {
    let naming = work
        .one(
            sqlx::query(
                "SELECT name FROM applications WHERE tenant = ?1 AND json_extract(spec, '$.outbound.trunk') = ?2
                 LIMIT 1",
            )
            .bind(trunk.tenant.to_string())
            .bind(trunk.name.clone()),
        )
        .await?;
    match naming {
        None => Ok(()),
        Some(row) => {
            let name = Columns::of(&row, "application").get::<&str>("name")?;
            let why = format!("the application {name} names it");
            Err(Error::Refused { what: "trunk", id: trunk.name.clone(), why })
        }
    }
}

async fn named(work: &mut Work, tenant: TenantId, name: &str) -> Result<Option<SqliteRow>, Error> {
    work.one(
        sqlx::query("SELECT id FROM trunks WHERE tenant = ?1 AND name = ?2")
            .bind(tenant.to_string())
            .bind(name.to_owned()),
    )
    .await
}

async fn known(work: &mut Work, scope: Scope, id: TrunkId) -> Result<KeptTrunk, Error> {
    work.one(sqlx::query(GET).bind(id.to_string()).bind(scope.tenant().map(|id| id.to_string())))
        .await?
        .map_or_else(|| Err(Error::not_found("trunk", id)), |row| read(&row))
}

pub(super) fn read(row: &SqliteRow) -> Result<KeptTrunk, Error> {
    let columns = Columns::of(row, "trunk");
    let trunk = Trunk {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        name: columns.get("name")?,
        spec: columns.json("spec")?,
        revision: columns.count("revision")?,
        created: columns.wall("created")?,
    };
    Ok(KeptTrunk { trunk, password: columns.get::<Option<Vec<u8>>>("password")?.map(Sealed::new) })
}

const GET: &str = "SELECT * FROM trunks WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)";
