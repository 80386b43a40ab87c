//! Applications and their secrets.

use callbox_model::{Application, ApplicationId, ApplicationSpec, Change, Subject, TenantId, Wall};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, json, rows};
use super::work::Work;
use super::{Sqlite, assets, tenants, trunks};
use crate::{ApplicationFilter, Error, NewApplication, Page, Scope};

pub(super) async fn create(db: &Sqlite, new: NewApplication) -> Result<Application, Error> {
    let mut work = db.begin("create an application").await?;
    tenants::known(&mut work, new.tenant).await?;
    is_free(&mut work, new.tenant, &new.name).await?;
    if let Some(trunk) = &new.spec.outbound.trunk {
        trunks::is_there(&mut work, new.tenant, trunk).await?;
    }
    let application = Application {
        id: new.id,
        tenant: new.tenant,
        name: new.name,
        spec: new.spec,
        secrets: Vec::new(),
        revision: 1,
        created: new.created,
    };
    work.run(
        sqlx::query(
            "INSERT INTO applications (id, tenant, name, spec, revision, created) VALUES (?1, ?2, ?3, ?4, 1, ?5)",
        )
        .bind(application.id.to_string())
        .bind(application.tenant.to_string())
        .bind(application.name.clone())
        .bind(json(&application.spec))
        .bind(application.created.as_micros()),
    )
    .await?;
    let change = Change::ApplicationCreated { name: application.name.clone() };
    work.note(Subject::Application(application.id), Some(application.tenant), application.created, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(application)
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: ApplicationId) -> Result<Application, Error> {
    let attempted = "read an application";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(GET)
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("application", id)), |row| read(&row))
}

pub(super) async fn named(db: &Sqlite, tenant: TenantId, name: &str) -> Result<Application, Error> {
    let attempted = "read an application";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(
        "SELECT *, (SELECT json_group_array(name ORDER BY name) FROM secrets WHERE application = applications.id)
             AS secrets
         FROM applications WHERE tenant = ?1 AND name = ?2",
    )
    .bind(tenant.to_string())
    .bind(name.to_owned())
    .fetch_optional(&mut *reader)
    .await
    .map_err(away(attempted))?
    .map_or_else(|| Err(Error::not_found("application", name)), |row| read(&row))
}

pub(super) async fn list(
    db: &Sqlite,
    filter: ApplicationFilter,
    page: Page<ApplicationId>,
) -> Result<Vec<Application>, Error> {
    let attempted = "list applications";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT *, (SELECT json_group_array(name ORDER BY name) FROM secrets WHERE application = applications.id)
             AS secrets
         FROM applications WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR name = ?3)
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
    id: ApplicationId,
    name: String,
    spec: ApplicationSpec,
    expected: Option<u64>,
    at: Wall,
) -> Result<Application, Error> {
    let mut work = db.begin("change an application").await?;
    let mut application = known(&mut work, scope, id).await?;
    if let Some(expected) = expected
        && expected != application.revision
    {
        let current = application.revision;
        return Err(Error::Stale { what: "application", id: id.to_string(), expected, current });
    }
    let mut what = "spec".to_owned();
    if name != application.name {
        is_free(&mut work, application.tenant, &name).await?;
        what = format!("name {name}, spec");
        application.name = name;
    }
    if let Some(trunk) = &spec.outbound.trunk {
        trunks::is_there(&mut work, application.tenant, trunk).await?;
    }
    work.run(
        sqlx::query("UPDATE applications SET name = ?2, spec = ?3 WHERE id = ?1")
            .bind(id.to_string())
            .bind(application.name.clone())
            .bind(json(&spec)),
    )
    .await?;
    changed(&mut work, &application, at, what).await?;
    work.commit().await?;
    application.spec = spec;
    application.revision += 1;
    Ok(application)
}

pub(super) async fn delete(db: &Sqlite, scope: Scope, id: ApplicationId, at: Wall) -> Result<(), Error> {
    let mut work = db.begin("delete an application").await?;
    let application = known(&mut work, scope, id).await?;
    let bound = work
        .one(sqlx::query("SELECT address FROM numbers WHERE application = ?1 LIMIT 1").bind(id.to_string()))
        .await?;
    if let Some(row) = bound {
        let why = format!("number {} points to it", Columns::of(&row, "number").get::<&str>("address")?);
        return Err(Error::Refused { what: "application", id: id.to_string(), why });
    }
    let blobs = assets::digests(&mut work, id).await?;
    work.run(sqlx::query("DELETE FROM applications WHERE id = ?1").bind(id.to_string())).await?;
    assets::sweep(&mut work, &blobs).await?;
    let change = Change::ApplicationDeleted { name: application.name };
    work.note(Subject::Application(id), Some(application.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await
}

pub(super) async fn put_secret(
    db: &Sqlite,
    scope: Scope,
    id: ApplicationId,
    name: &str,
    ciphertext: &[u8],
    at: Wall,
) -> Result<(), Error> {
    let mut work = db.begin("keep a secret").await?;
    let application = known(&mut work, scope, id).await?;
    work.run(
        sqlx::query(
            "INSERT INTO secrets (application, name, ciphertext) VALUES (?1, ?2, ?3)
             ON CONFLICT (application, name) DO UPDATE SET ciphertext = excluded.ciphertext",
        )
        .bind(id.to_string())
        .bind(name.to_owned())
        .bind(ciphertext.to_vec()),
    )
    .await?;
    changed(&mut work, &application, at, format!("secret {name} put")).await?;
    work.commit().await
}

pub(super) async fn delete_secret(
    db: &Sqlite,
    scope: Scope,
    id: ApplicationId,
    name: &str,
    at: Wall,
) -> Result<(), Error> {
    let mut work = db.begin("delete a secret").await?;
    let application = known(&mut work, scope, id).await?;
    let deleted = work
        .run(
            sqlx::query("DELETE FROM secrets WHERE application = ?1 AND name = ?2")
                .bind(id.to_string())
                .bind(name.to_owned()),
        )
        .await?;
    if deleted == 0 {
        return Err(Error::not_found("secret", name));
    }
    changed(&mut work, &application, at, format!("secret {name} deleted")).await?;
    work.commit().await
}

pub(super) async fn secrets(db: &Sqlite, id: ApplicationId) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let attempted = "read secrets";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query("SELECT name AS id, ciphertext FROM secrets WHERE application = ?1 ORDER BY name")
        .bind(id.to_string())
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found
        .iter()
        .map(|row| {
            let columns = Columns::of(row, "secret");
            Ok((columns.get("id")?, columns.get("ciphertext")?))
        })
        .collect()
}

async fn is_free(work: &mut Work, tenant: TenantId, name: &str) -> Result<(), Error> {
    let taken = work
        .one(
            sqlx::query("SELECT id FROM applications WHERE tenant = ?1 AND name = ?2")
                .bind(tenant.to_string())
                .bind(name.to_owned()),
        )
        .await?;
    match taken {
        None => Ok(()),
        Some(row) => {
            let why = format!("is there already: {}", Columns::of(&row, "application").get::<&str>("id")?);
            Err(Error::Conflict { what: "application", id: name.to_owned(), why, owner: Some(tenant) })
        }
    }
}

/// The application, in a transaction that is about to change it.
pub(super) async fn known(work: &mut Work, scope: Scope, id: ApplicationId) -> Result<Application, Error> {
    work.one(sqlx::query(GET).bind(id.to_string()).bind(scope.tenant().map(|id| id.to_string())))
        .await?
        .map_or_else(|| Err(Error::not_found("application", id)), |row| read(&row))
}

async fn changed(work: &mut Work, application: &Application, at: Wall, what: String) -> Result<(), Error> {
    work.run(
        sqlx::query("UPDATE applications SET revision = revision + 1 WHERE id = ?1").bind(application.id.to_string()),
    )
    .await?;
    let subject = Subject::Application(application.id);
    work.note(subject, Some(application.tenant), at, &Change::ApplicationChanged { what }).await?;
    work.reroute().await
}

pub(super) fn read(row: &SqliteRow) -> Result<Application, Error> {
    let columns = Columns::of(row, "application");
    Ok(Application {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        name: columns.get("name")?,
        spec: columns.json("spec")?,
        secrets: columns.json("secrets")?,
        revision: columns.count("revision")?,
        created: columns.wall("created")?,
    })
}

const GET: &str = "SELECT *, (SELECT json_group_array(name ORDER BY name) FROM secrets
                              WHERE application = applications.id) AS secrets
                   FROM applications WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)";
