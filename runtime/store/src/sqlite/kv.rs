//! What modules keep between calls.

use callbox_model::{ApplicationId, KvEntry, KvError, Limits, Wall};

use super::Sqlite;
use super::row::{Columns, away, rows};
use super::work::Work;
use crate::{Error, Page, Put};

pub(super) async fn get(db: &Sqlite, id: ApplicationId, key: &str, now: Wall) -> Result<Option<KvEntry>, KvError> {
    let attempted = "read a key";
    let mut reader = db.reader(attempted).await.map_err(told)?;
    let found = sqlx::query(
        "SELECT key AS id, value, revision FROM kv
         WHERE application = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
    )
    .bind(id.to_string())
    .bind(key.to_owned())
    .bind(now.as_micros())
    .fetch_optional(&mut *reader)
    .await
    .map_err(|error| told(away(attempted)(error)))?;
    found
        .map(|row| {
            let columns = Columns::of(&row, "key");
            Ok(KvEntry { value: columns.get("value")?, revision: columns.count("revision")? })
        })
        .transpose()
        .map_err(told)
}

pub(super) async fn put(
    db: &Sqlite,
    id: ApplicationId,
    put: Put<'_>,
    now: Wall,
    limits: &Limits,
) -> Result<u32, KvError> {
    check_key(put.key, limits)?;
    if put.value.len() > limits.kv_value_bytes as usize {
        return Err(KvError::Quota(format!(
            "a value of {} bytes is over kv_value_bytes ({})",
            put.value.len(),
            limits.kv_value_bytes
        )));
    }
    let mut work = db.begin("put a key").await.map_err(told)?;
    let kept = Kept::read(&mut work, id, put.key, now).await?;
    if put.revision.is_some_and(|expected| expected != kept.as_ref().map_or(0, |kept| kept.revision)) {
        return Err(KvError::Conflict);
    }
    let expires = put.ttl.map(|ttl| now.as_micros().saturating_add(i64::from(ttl) * 1_000));
    write(work, id, put.key, put.value, expires, kept, now, limits).await
}

pub(super) async fn remove(db: &Sqlite, id: ApplicationId, key: &str) -> Result<(), KvError> {
    let mut work = db.begin("remove a key").await.map_err(told)?;
    work.run(
        sqlx::query("DELETE FROM kv WHERE application = ?1 AND key = ?2").bind(id.to_string()).bind(key.to_owned()),
    )
    .await
    .map_err(told)?;
    work.commit().await.map_err(told)
}

pub(super) async fn add(
    db: &Sqlite,
    id: ApplicationId,
    key: &str,
    by: i64,
    now: Wall,
    limits: &Limits,
) -> Result<i64, KvError> {
    check_key(key, limits)?;
    let mut work = db.begin("add to a key").await.map_err(told)?;
    let kept = Kept::read(&mut work, id, key, now).await?;
    let count = match &kept {
        None => 0,
        Some(kept) => std::str::from_utf8(&kept.value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| KvError::Argument(format!("the value of `{key}` is no whole number")))?,
    };
    let count = count
        .checked_add(by)
        .ok_or_else(|| KvError::Argument(format!("`{key}` would leave the range of a signed 64-bit number")))?;
    let expires = kept.as_ref().and_then(|kept| kept.expires);
    write(work, id, key, count.to_string().as_bytes(), expires, kept, now, limits).await?;
    Ok(count)
}

pub(super) async fn keys(
    db: &Sqlite,
    id: ApplicationId,
    prefix: &str,
    page: Page<&str>,
    now: Wall,
) -> Result<Vec<String>, KvError> {
    let attempted = "list keys";
    let mut reader = db.reader(attempted).await.map_err(told)?;
    let found = sqlx::query(
        "SELECT key AS id FROM kv
         WHERE application = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4)
           AND (expires IS NULL OR expires > ?5)
         ORDER BY key LIMIT ?6",
    )
    .bind(id.to_string())
    .bind(prefix.to_owned())
    .bind(behind(prefix))
    .bind(page.after.map(str::to_owned))
    .bind(now.as_micros())
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(|error| told(away(attempted)(error)))?;
    found.iter().map(|row| Columns::of(row, "key").get("id")).collect::<Result<_, _>>().map_err(told)
}

pub(super) async fn purge(db: &Sqlite, now: Wall) -> Result<u64, Error> {
    let mut work = db.begin("remove keys that have run out").await?;
    let purged = work
        .run(
            sqlx::query("DELETE FROM kv WHERE rowid IN (SELECT rowid FROM kv WHERE expires <= ?1 LIMIT 1000)")
                .bind(now.as_micros()),
        )
        .await?;
    work.commit().await?;
    Ok(purged)
}

/// A key that is there and has not run out.
struct Kept {
    value: Vec<u8>,
    revision: u32,
    expires: Option<i64>,
}

impl Kept {
    async fn read(work: &mut Work, id: ApplicationId, key: &str, now: Wall) -> Result<Option<Self>, KvError> {
        let found = work
            .one(
                sqlx::query(
                    "SELECT key AS id, value, revision, expires FROM kv
                     WHERE application = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
                )
                .bind(id.to_string())
                .bind(key.to_owned())
                .bind(now.as_micros()),
            )
            .await
            .map_err(told)?;
        found
            .map(|row| {
                let columns = Columns::of(&row, "key");
                Ok(Self {
                    value: columns.get("value")?,
                    revision: columns.count("revision")?,
                    expires: columns.get("expires")?,
                })
            })
            .transpose()
            .map_err(told)
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row, and the two callers above")]
async fn write(
    mut work: Work,
    id: ApplicationId,
    key: &str,
    value: &[u8],
    expires: Option<i64>,
    kept: Option<Kept>,
    now: Wall,
    limits: &Limits,
) -> Result<u32, KvError> {
    let revision = kept.as_ref().map_or(0, |kept| kept.revision) % u32::MAX + 1;
    let written = work
        .run(
            sqlx::query(
                "INSERT INTO kv (application, key, tenant, value, revision, expires)
                 SELECT id, ?2, tenant, ?3, ?4, ?5 FROM applications WHERE id = ?1
                 ON CONFLICT (application, key) DO UPDATE SET
                     value = excluded.value, revision = excluded.revision, expires = excluded.expires",
            )
            .bind(id.to_string())
            .bind(key.to_owned())
            .bind(value.to_vec())
            .bind(i64::from(revision))
            .bind(expires),
        )
        .await
        .map_err(told)?;
    if written == 0 {
        return Err(KvError::Unavailable(format!("there is no application `{id}` any more")));
    }
    // What does not grow is let through: a limit may have been lowered under it.
    let grew = kept.is_none_or(|kept| kept.value.len() < value.len());
    if grew && over(&mut work, id, limits).await?.is_some() {
        // What has run out is not there, so it does not count.
        work.run(
            sqlx::query(
                "DELETE FROM kv WHERE expires <= ?2 AND tenant = (SELECT tenant FROM applications WHERE id = ?1)",
            )
            .bind(id.to_string())
            .bind(now.as_micros()),
        )
        .await
        .map_err(told)?;
        if let Some(limit) = over(&mut work, id, limits).await? {
            return Err(KvError::Quota(limit));
        }
    }
    work.commit().await.map_err(told)?;
    Ok(revision)
}

/// The limit that the application or its tenant is over.
async fn over(work: &mut Work, id: ApplicationId, limits: &Limits) -> Result<Option<String>, KvError> {
    let found = work
        .one(
            sqlx::query(
                "SELECT applications.id, coalesce(keys, 0) AS keys, coalesce(bytes, 0) AS bytes
                 FROM applications
                 LEFT JOIN kv_keys ON kv_keys.application = applications.id
                 LEFT JOIN kv_bytes ON kv_bytes.tenant = applications.tenant
                 WHERE applications.id = ?1",
            )
            .bind(id.to_string()),
        )
        .await
        .map_err(told)?;
    let Some(row) = found else { return Ok(None) };
    let columns = Columns::of(&row, "kv");
    let (keys, bytes) = (columns.count::<u64>("keys").map_err(told)?, columns.count::<u64>("bytes").map_err(told)?);
    Ok(if keys > u64::from(limits.kv_keys) {
        Some(format!("the application would have more keys than kv_keys ({})", limits.kv_keys))
    } else if bytes > limits.kv_tenant_bytes {
        Some(format!("the tenant would keep more than kv_tenant_bytes ({})", limits.kv_tenant_bytes))
    } else {
        None
    })
}

fn check_key(key: &str, limits: &Limits) -> Result<(), KvError> {
    if key.is_empty() {
        return Err(KvError::Argument("a key must not be empty".to_owned()));
    }
    if key.len() > limits.kv_key_bytes as usize {
        let (is, most) = (key.len(), limits.kv_key_bytes);
        return Err(KvError::Quota(format!("a key of {is} bytes is over kv_key_bytes ({most})")));
    }
    Ok(())
}

/// The first text that sorts behind everything that begins with `prefix`. SQLite compares bytes,
/// which in UTF-8 is the order of characters.
fn behind(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// A guest is not shown the database's own words.
fn told(error: Error) -> KvError {
    tracing::warn!(error = &error as &dyn std::error::Error, "kv");
    KvError::Unavailable("the store is away".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_begins_with_a_prefix_is_before_its_end(prefix in ".{0,8}", rest in ".{0,8}", other in ".{0,8}") {
            let with = format!("{prefix}{rest}");
            let end = behind(&prefix);
            prop_assert!(end.as_ref().is_none_or(|end| with < *end));
            let inside = other >= prefix && end.is_none_or(|end| other < end);
            prop_assert_eq!(inside, other.starts_with(&prefix));
        }
    }
}
