//! The outbox: events as rows, and as they were.

use callbox_model::{Change, Event, Subject};
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use super::row::{self, away, int, rows};
use crate::{Error, EventFilter, Note, Page, Reading, Scope, Stored};

/// A change as its two columns. Serialised once: the JSON is cut where its type ends.
pub(super) struct Columns {
    pub(super) kind: String,
    /// JSON, `null` when the kind has no data.
    pub(super) data: String,
}

impl Columns {
    pub(super) fn of(change: &Change) -> Result<Self, Error> {
        let json = serde_json::to_string(change).map_err(|why| unwritable(&why.to_string()))?;
        let (kind, rest) =
            json.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split_once('"')).ok_or_else(|| unwritable(&json))?;
        let data = match rest.strip_prefix(r#","data":"#).and_then(|data| data.strip_suffix('}')) {
            Some(data) => data,
            None if rest == "}" => "null",
            None => return Err(unwritable(&json)),
        };
        Ok(Self { kind: kind.to_owned(), data: data.to_owned() })
    }

    fn read(kind: &str, data: &str) -> Result<Change, serde_json::Error> {
        if data == "null" {
            serde_json::from_str(&format!(r#"{{"type":"{kind}"}}"#))
        } else {
            serde_json::from_str(&format!(r#"{{"type":"{kind}","data":{data}}}"#))
        }
    }
}

fn unwritable(why: &str) -> Error {
    Error::Refused { what: "an event", id: String::new(), why: why.to_owned() }
}

pub(super) async fn list(db: &Sqlite, filter: EventFilter, page: Page<i64>) -> Result<Reading, Error> {
    // Which index is walked depends on what is given, so there are three statements.
    let query = match (filter.subject, filter.scope.tenant()) {
        (Some(subject), tenant) => sqlx::query(
            "SELECT subject AS id, * FROM events
             WHERE subject = ?1 AND (?2 IS NULL OR tenant = ?2) AND position > ?3
               AND (?4 = '[]' OR type IN (SELECT value FROM json_each(?4)))
             ORDER BY position LIMIT ?5",
        )
        .bind(Some(subject.to_string()))
        .bind(tenant.map(|id| id.to_string())),
        (None, Some(tenant)) => sqlx::query(
            "SELECT subject AS id, * FROM events
             WHERE tenant = ?1 AND ?2 IS NULL AND position > ?3
               AND (?4 = '[]' OR type IN (SELECT value FROM json_each(?4)))
             ORDER BY position LIMIT ?5",
        )
        .bind(Some(tenant.to_string()))
        .bind(None::<String>),
        (None, None) => sqlx::query(
            "SELECT subject AS id, * FROM events
             WHERE ?1 IS NULL AND ?2 IS NULL AND position > ?3
               AND (?4 = '[]' OR type IN (SELECT value FROM json_each(?4)))
             ORDER BY position LIMIT ?5",
        )
        .bind(None::<String>)
        .bind(None::<String>),
    };
    let after = page.after.unwrap_or(0);
    // Before the question: what is written in between has a higher position.
    let newest = *db.position.borrow();
    let attempted = "list events";
    let mut reader = db.reader(attempted).await?;
    let found = query
        .bind(after)
        .bind(row::json(&filter.types))
        .bind(rows(page.limit))
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    let events = found.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let last = events.last().map_or(after, |stored| stored.position);
    let end = if events.len() as i64 >= rows(page.limit) { last } else { last.max(newest) };
    Ok(Reading { events, end })
}

pub(super) async fn history(
    db: &Sqlite,
    scope: Scope,
    subject: Subject,
    page: Page<u64>,
) -> Result<Vec<Stored>, Error> {
    let attempted = "list the events of a subject";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query(
        "SELECT subject AS id, * FROM events
         WHERE subject = ?1 AND sequence > ?2 AND (?3 IS NULL OR tenant = ?3) ORDER BY sequence LIMIT ?4",
    )
    .bind(subject.to_string())
    .bind(int(page.after.unwrap_or(0)))
    .bind(scope.tenant().map(|id| id.to_string()))
    .bind(rows(page.limit))
    .fetch_all(&mut *reader)
    .await
    .map_err(away(attempted))?;
    found.iter().map(read).collect()
}

fn read(found: &SqliteRow) -> Result<Stored, Error> {
    let columns = row::Columns::of(found, "event");
    let change =
        Columns::read(columns.get("type")?, columns.get("data")?).map_err(|why| columns.corrupt("data", why))?;
    Ok(Stored {
        position: columns.get("position")?,
        event: Event {
            subject: columns.parse("subject")?,
            sequence: columns.count("sequence")?,
            tenant: columns.parse_some("tenant")?,
            at: columns.wall("at")?,
            change,
        },
    })
}

pub(super) async fn last_sequence(db: &Sqlite, subject: Subject) -> Result<u64, Error> {
    let attempted = "find the newest event of a subject";
    let mut reader = db.reader(attempted).await?;
    let found = sqlx::query("SELECT coalesce(max(sequence), 0) AS sequence FROM events WHERE subject = ?1")
        .bind(subject.to_string())
        .fetch_one(&mut *reader)
        .await
        .map_err(away(attempted))?;
    row::Columns::of(&found, "events").count("sequence")
}

pub(super) async fn note(db: &Sqlite, note: Note) -> Result<(), Error> {
    let mut work = db.begin("write an event down").await?;
    work.note(note.subject, note.tenant, note.at, &note.change).await?;
    work.commit().await
}

#[cfg(test)]
mod tests {
    use callbox_model::{EndCause, KeyId};

    use super::*;

    #[test]
    fn a_change_is_two_columns_and_reads_back() {
        let cause = EndCause { status: 486, reason: r#"he said "}," and hung up"#.to_owned(), remote: true };
        for change in [
            Change::CallAnswered,
            Change::CallRinging { status: 183 },
            Change::CallEnded { cause, answered: true, duration_us: 5, connected_us: 4 },
            Change::KeyCreated { key: KeyId::from_u128(1), name: r#""","data":{"#.to_owned() },
        ] {
            let columns = Columns::of(&change).unwrap();
            assert!(columns.kind.contains('.'), "{}", columns.kind);
            assert_eq!(Columns::read(&columns.kind, &columns.data).unwrap(), change);
        }
    }
}
