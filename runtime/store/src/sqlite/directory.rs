//! Everything that routing needs, read at one moment.

use super::row::{Columns, away};
use super::{Sqlite, applications, domains, modules, numbers, tenants, trunks, users};
use crate::{Directory, Error};

pub(super) async fn read(db: &Sqlite) -> Result<Directory, Error> {
    let attempted = "read the directory";
    // A transaction, so that all of it is of the same moment.
    let mut reading = db.readers.begin().await.map_err(away(attempted))?;
    let revision =
        sqlx::query("SELECT revision FROM directory").fetch_one(&mut *reading).await.map_err(away(attempted))?;
    let found_tenants =
        sqlx::query("SELECT * FROM tenants ORDER BY id").fetch_all(&mut *reading).await.map_err(away(attempted))?;
    let found_modules = sqlx::query("SELECT * FROM modules ORDER BY tenant, name, version")
        .fetch_all(&mut *reading)
        .await
        .map_err(away(attempted))?;
    let found_applications = sqlx::query(
        "SELECT *, (SELECT json_group_array(name ORDER BY name) FROM secrets WHERE application = applications.id)
             AS secrets
         FROM applications ORDER BY id",
    )
    .fetch_all(&mut *reading)
    .await
    .map_err(away(attempted))?;
    let found_numbers =
        sqlx::query("SELECT * FROM numbers ORDER BY id").fetch_all(&mut *reading).await.map_err(away(attempted))?;
    let found_domains =
        sqlx::query("SELECT * FROM domains ORDER BY id").fetch_all(&mut *reading).await.map_err(away(attempted))?;
    let found_users =
        sqlx::query("SELECT * FROM users ORDER BY id").fetch_all(&mut *reading).await.map_err(away(attempted))?;
    let found_trunks =
        sqlx::query("SELECT * FROM trunks ORDER BY id").fetch_all(&mut *reading).await.map_err(away(attempted))?;
    reading.commit().await.map_err(away(attempted))?;
    Ok(Directory {
        revision: Columns::of(&revision, "directory").count("revision")?,
        tenants: found_tenants.iter().map(tenants::read).collect::<Result<_, _>>()?,
        modules: found_modules.iter().map(modules::read).collect::<Result<_, _>>()?,
        applications: found_applications.iter().map(applications::read).collect::<Result<_, _>>()?,
        numbers: found_numbers.iter().map(numbers::read).collect::<Result<_, _>>()?,
        domains: found_domains.iter().map(domains::read).collect::<Result<_, _>>()?,
        users: found_users.iter().map(users::read_kept).collect::<Result<_, _>>()?,
        trunks: found_trunks.iter().map(trunks::read).collect::<Result<_, _>>()?,
    })
}

pub(super) async fn revision(db: &Sqlite) -> Result<u64, Error> {
    let attempted = "read the directory's revision";
    let mut reader = db.reader(attempted).await?;
    let row = sqlx::query("SELECT revision FROM directory").fetch_one(&mut *reader).await.map_err(away(attempted))?;
    Columns::of(&row, "directory").count("revision")
}
