use callbox_model::{Change, Domain, DomainId, Subject, TenantId, Wall};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, rows};
use super::work::Work;
use super::{Sqlite, tenants};
use crate::{DomainFilter, Error, Page, Scope};

pub(super) async fn create(db: &Sqlite, domain: &Domain) -> Result<(), Error> {
    let mut work = db.begin("create a domain").await?;
    tenants::known(&mut work, domain.tenant).await?;
    // By its numbers it may be somebody's too.
    let taken = work
        .one(
            sqlx::query(
                "SELECT tenant FROM domains WHERE name = ?1
                 UNION SELECT tenant FROM numbers
                 WHERE instr(address, '@') > 0 AND substr(address, instr(address, '@') + 1) = ?1 AND tenant <> ?2
                 LIMIT 1",
            )
            .bind(domain.name.clone())
            .bind(domain.tenant.to_string()),
        )
        .await?;
    if let Some(row) = taken {
        return Err(Error::Conflict {
            what: "domain",
            id: domain.name.clone(),
            why: "is given out already".to_owned(),
            owner: Some(Columns::of(&row, "domain").parse("tenant")?),
        });
    }
    work.run(
        sqlx::query("INSERT INTO domains (id, tenant, name, md5, created) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(domain.id.to_string())
            .bind(domain.tenant.to_string())
            .bind(domain.name.clone())
            .bind(domain.md5)
            .bind(domain.created.as_micros()),
    )
    .await?;
    let change = Change::DomainCreated { name: domain.name.clone() };
    work.note(Subject::Domain(domain.id), Some(domain.tenant), domain.created, &change).await?;
    work.reroute().await?;
    work.commit().await
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: DomainId) -> Result<Domain, Error> {
    let attempted = "read a domain";
    let mut reader = db.reader(attempted).await?;
    sqlx::query(GET)
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("domain", id)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, filter: DomainFilter, page: Page<DomainId>) -> Result<Vec<Domain>, Error> {
    let attempted = "list domains";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT * FROM domains WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR name = ?3)
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

pub(super) async fn change(db: &Sqlite, scope: Scope, id: DomainId, md5: bool, at: Wall) -> Result<Domain, Error> {
    let mut work = db.begin("change a domain").await?;
    let mut domain = known(&mut work, scope, id).await?;
    if domain.md5 == md5 {
        return Ok(domain);
    }
    domain.md5 = md5;
    work.run(sqlx::query("UPDATE domains SET md5 = ?2 WHERE id = ?1").bind(id.to_string()).bind(md5)).await?;
    let what = if md5 { "md5 allowed" } else { "md5 refused" }.to_owned();
    let change = Change::DomainChanged { name: domain.name.clone(), what };
    work.note(Subject::Domain(id), Some(domain.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(domain)
}

pub(super) async fn delete(db: &Sqlite, scope: Scope, id: DomainId, at: Wall) -> Result<(), Error> {
    let mut work = db.begin("delete a domain").await?;
    let domain = known(&mut work, scope, id).await?;
    let inhabited =
        work.one(sqlx::query("SELECT name FROM users WHERE domain = ?1 LIMIT 1").bind(domain.name.clone())).await?;
    if let Some(row) = inhabited {
        let why = format!("the user {} is in it", Columns::of(&row, "user").get::<&str>("name")?);
        return Err(Error::Refused { what: "domain", id: domain.name, why });
    }
    work.run(sqlx::query("DELETE FROM domains WHERE id = ?1").bind(id.to_string())).await?;
    let change = Change::DomainDeleted { name: domain.name };
    work.note(Subject::Domain(id), Some(domain.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await
}

/// That the tenant has it, in a transaction that is about to put somebody into it.
pub(super) async fn is_of(work: &mut Work, tenant: TenantId, name: &str) -> Result<(), Error> {
    work.one(
        sqlx::query("SELECT id FROM domains WHERE name = ?1 AND tenant = ?2")
            .bind(name.to_owned())
            .bind(tenant.to_string()),
    )
    .await?
    .map_or_else(|| Err(Error::not_found("domain", name)), |_| Ok(()))
}

async fn known(work: &mut Work, scope: Scope, id: DomainId) -> Result<Domain, Error> {
    work.one(sqlx::query(GET).bind(id.to_string()).bind(scope.tenant().map(|id| id.to_string())))
        .await?
        .map_or_else(|| Err(Error::not_found("domain", id)), |row| read(&row))
}

pub(super) fn read(row: &SqliteRow) -> Result<Domain, Error> {
    let columns = Columns::of(row, "domain");
    Ok(Domain {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        name: columns.get("name")?,
        md5: columns.get("md5")?,
        created: columns.wall("created")?,
    })
}

const GET: &str = "SELECT * FROM domains WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)";
