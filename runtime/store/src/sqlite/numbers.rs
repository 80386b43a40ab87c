use callbox_model::{ApplicationId, Change, Number, NumberId, Subject, Wall};
use sqlx::sqlite::SqliteRow;

use super::row::{Columns, away, rows};
use super::work::Work;
use super::{Sqlite, applications, tenants};
use crate::{Error, NumberFilter, Page, Scope};

pub(super) async fn create(db: &Sqlite, number: &Number) -> Result<(), Error> {
    let mut work = db.begin("create a number").await?;
    tenants::known(&mut work, number.tenant).await?;
    if let Some(application) = number.application {
        applications::known(&mut work, Scope::Tenant(number.tenant), application).await?;
    }
    let address = Number::normal(&number.address);
    let taken = work.one(sqlx::query("SELECT tenant FROM numbers WHERE address = ?1").bind(address.clone())).await?;
    if let Some(row) = taken {
        return Err(Error::Conflict {
            what: "number",
            id: number.address.clone(),
            why: "is given out already".to_owned(),
            owner: Some(Columns::of(&row, "number").parse("tenant")?),
        });
    }
    if let Some(domain) = Number::domain(&address) {
        domain_is_free(&mut work, number, &address, domain).await?;
    }
    work.run(
        sqlx::query(
            "INSERT INTO numbers (id, tenant, address, application, anonymous, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(number.id.to_string())
        .bind(number.tenant.to_string())
        .bind(address)
        .bind(number.application.map(|id| id.to_string()))
        .bind(number.anonymous)
        .bind(number.created.as_micros()),
    )
    .await?;
    bound(&mut work, number, number.created).await?;
    work.commit().await
}

/// A domain is one tenant's, given out as a domain or by its numbers: with addresses of two in it,
/// one would have the other's calls. Hosts that are addresses of machines are nobody's, but for
/// patterns.
async fn domain_is_free(work: &mut Work, number: &Number, address: &str, domain: &str) -> Result<(), Error> {
    let is_machine = domain.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let is_pattern = address.starts_with("*@");
    let other = work
        .one(
            sqlx::query(
                "SELECT tenant FROM numbers
                 WHERE tenant <> ?1 AND substr(address, instr(address, '@') + 1) = ?2 AND instr(address, '@') > 0
                   AND (?3 OR address LIKE '*@%')
                 UNION SELECT tenant FROM domains WHERE tenant <> ?1 AND name = ?2 LIMIT 1",
            )
            .bind(number.tenant.to_string())
            .bind(domain.to_owned())
            .bind(!is_machine || is_pattern),
        )
        .await?;
    let Some(row) = other else { return Ok(()) };
    Err(Error::Conflict {
        what: "number",
        id: number.address.clone(),
        why: format!("is in the domain {domain}, which is another tenant's"),
        owner: Some(Columns::of(&row, "number").parse("tenant")?),
    })
}

pub(super) async fn get(db: &Sqlite, scope: Scope, id: NumberId) -> Result<Number, Error> {
    let attempted = "read a number";
    let mut reader = db.reader(attempted).await?;
    sqlx::query("SELECT * FROM numbers WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("number", id)), |row| read(&row))
}

pub(super) async fn list(db: &Sqlite, filter: NumberFilter, page: Page<NumberId>) -> Result<Vec<Number>, Error> {
    let attempted = "list numbers";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT * FROM numbers
         WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR address = ?3)
           AND (?4 IS NULL OR application = ?4)
         ORDER BY id LIMIT ?5",
    )
    .bind(page.after.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.scope.tenant().map(|id| id.to_string()))
    .bind(filter.address)
    .bind(filter.application.map(|id| id.to_string()))
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

pub(super) async fn bind(
    db: &Sqlite,
    scope: Scope,
    id: NumberId,
    application: Option<ApplicationId>,
    at: Wall,
) -> Result<Number, Error> {
    let mut work = db.begin("bind a number").await?;
    let mut number = known(&mut work, scope, id).await?;
    if let Some(application) = application {
        applications::known(&mut work, Scope::Tenant(number.tenant), application).await?;
    }
    if number.application == application {
        return Ok(number);
    }
    number.application = application;
    work.run(
        sqlx::query("UPDATE numbers SET application = ?2 WHERE id = ?1")
            .bind(id.to_string())
            .bind(application.map(|id| id.to_string())),
    )
    .await?;
    bound(&mut work, &number, at).await?;
    work.commit().await?;
    Ok(number)
}

pub(super) async fn change(
    db: &Sqlite,
    scope: Scope,
    id: NumberId,
    anonymous: bool,
    at: Wall,
) -> Result<Number, Error> {
    let mut work = db.begin("change a number").await?;
    let mut number = known(&mut work, scope, id).await?;
    if number.anonymous == anonymous {
        return Ok(number);
    }
    number.anonymous = anonymous;
    work.run(sqlx::query("UPDATE numbers SET anonymous = ?2 WHERE id = ?1").bind(id.to_string()).bind(anonymous))
        .await?;
    let what = if anonymous { "anonymous callers let in" } else { "anonymous callers kept out" }.to_owned();
    let change = Change::NumberChanged { address: number.address.clone(), what };
    work.note(Subject::Number(id), Some(number.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await?;
    Ok(number)
}

pub(super) async fn delete(db: &Sqlite, scope: Scope, id: NumberId, at: Wall) -> Result<(), Error> {
    let mut work = db.begin("delete a number").await?;
    let number = known(&mut work, scope, id).await?;
    work.run(sqlx::query("DELETE FROM numbers WHERE id = ?1").bind(id.to_string())).await?;
    let change = Change::NumberDeleted { address: number.address };
    work.note(Subject::Number(id), Some(number.tenant), at, &change).await?;
    work.reroute().await?;
    work.commit().await
}

async fn known(work: &mut Work, scope: Scope, id: NumberId) -> Result<Number, Error> {
    work.one(
        sqlx::query("SELECT * FROM numbers WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")
            .bind(id.to_string())
            .bind(scope.tenant().map(|id| id.to_string())),
    )
    .await?
    .map_or_else(|| Err(Error::not_found("number", id)), |row| read(&row))
}

async fn bound(work: &mut Work, number: &Number, at: Wall) -> Result<(), Error> {
    let change = Change::NumberBound { address: number.address.clone(), application: number.application };
    work.note(Subject::Number(number.id), Some(number.tenant), at, &change).await?;
    work.reroute().await
}

pub(super) fn read(row: &SqliteRow) -> Result<Number, Error> {
    let columns = Columns::of(row, "number");
    Ok(Number {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        address: columns.get("address")?,
        application: columns.parse_some("application")?,
        anonymous: columns.get("anonymous")?,
        created: columns.wall("created")?,
    })
}
