//! Call records, recordings and Runs, read.

use callbox_model::{CallId, CallRecord, EndCause, Fault, FaultCode, Recording, RecordingId, Run, RunEnd, RunUsage};
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use super::row::{Columns, away, read_word, rows, word};
use crate::{CallFilter, Error, Page, Scope};

pub(super) async fn get(db: &Sqlite, scope: Scope, id: CallId) -> Result<CallRecord, Error> {
    let attempted = "read a call";
    let mut reader = db.reader(attempted).await?;
    sqlx::query("SELECT * FROM calls WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("call", id)), |row| call(&row))
}

pub(super) async fn list(db: &Sqlite, filter: CallFilter, page: Page<CallId>) -> Result<Vec<CallRecord>, Error> {
    // Which index is walked depends on what is given, so there are three statements.
    let query = match (filter.application, filter.scope.tenant()) {
        (Some(application), tenant) => sqlx::query(
            "SELECT * FROM calls WHERE application = ?1 AND (?2 IS NULL OR tenant = ?2) AND id < ?3
             AND (?4 IS NULL OR status = ?4) AND (?5 IS NULL OR started >= ?5) AND (?6 IS NULL OR started < ?6)
             AND (?7 IS NULL OR number = ?7) ORDER BY id DESC LIMIT ?8",
        )
        .bind(Some(application.to_string()))
        .bind(tenant.map(|id| id.to_string())),
        (None, Some(tenant)) => sqlx::query(
            "SELECT * FROM calls WHERE ?1 IS NULL AND tenant = ?2 AND id < ?3
             AND (?4 IS NULL OR status = ?4) AND (?5 IS NULL OR started >= ?5) AND (?6 IS NULL OR started < ?6)
             AND (?7 IS NULL OR number = ?7) ORDER BY id DESC LIMIT ?8",
        )
        .bind(None::<String>)
        .bind(Some(tenant.to_string())),
        (None, None) => sqlx::query(
            "SELECT * FROM calls WHERE ?1 IS NULL AND ?2 IS NULL AND id < ?3
             AND (?4 IS NULL OR status = ?4) AND (?5 IS NULL OR started >= ?5) AND (?6 IS NULL OR started < ?6)
             AND (?7 IS NULL OR number = ?7) ORDER BY id DESC LIMIT ?8",
        )
        .bind(None::<String>)
        .bind(None::<String>),
    };
    let attempted = "list calls";
    let mut reader = db.reader(attempted).await?;
    let found = query
        .bind(page.after.map_or_else(|| BEHIND_ALL.to_owned(), |id| id.to_string()))
        .bind(filter.status.map(|status| word(&status)))
        .bind(filter.since.map(|wall| wall.as_micros()))
        .bind(filter.until.map(|wall| wall.as_micros()))
        .bind(filter.number)
        .bind(rows(page.limit))
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found.iter().map(call).collect()
}

pub(super) async fn recording(db: &Sqlite, scope: Scope, id: RecordingId) -> Result<Recording, Error> {
    let attempted = "read a recording";
    let mut reader = db.reader(attempted).await?;
    sqlx::query("SELECT * FROM recordings WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")
        .bind(id.to_string())
        .bind(scope.tenant().map(|id| id.to_string()))
        .fetch_optional(&mut *reader)
        .await
        .map_err(away(attempted))?
        .map_or_else(|| Err(Error::not_found("recording", id)), |row| recorded(&row))
}

pub(super) async fn recordings(
    db: &Sqlite,
    scope: Scope,
    call: Option<CallId>,
    page: Page<RecordingId>,
) -> Result<Vec<Recording>, Error> {
    let query = match (call, scope.tenant()) {
        (Some(call), tenant) => sqlx::query(
            "SELECT * FROM recordings WHERE call = ?1 AND (?2 IS NULL OR tenant = ?2) AND id < ?3
             ORDER BY id DESC LIMIT ?4",
        )
        .bind(Some(call.to_string()))
        .bind(tenant.map(|id| id.to_string())),
        (None, Some(tenant)) => sqlx::query(
            "SELECT * FROM recordings WHERE ?1 IS NULL AND tenant = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
        )
        .bind(None::<String>)
        .bind(Some(tenant.to_string())),
        (None, None) => sqlx::query(
            "SELECT * FROM recordings WHERE ?1 IS NULL AND ?2 IS NULL AND id < ?3 ORDER BY id DESC LIMIT ?4",
        )
        .bind(None::<String>)
        .bind(None::<String>),
    };
    let attempted = "list recordings";
    let mut reader = db.reader(attempted).await?;
    let found = query
        .bind(page.after.map_or_else(|| BEHIND_ALL.to_owned(), |id| id.to_string()))
        .bind(rows(page.limit))
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found.iter().map(recorded).collect()
}

pub(super) async fn runs(db: &Sqlite, scope: Scope, call: CallId) -> Result<Vec<Run>, Error> {
    let attempted = "list the runs of a call";
    let mut reader = db.reader(attempted).await?;
    let found =
        sqlx::query("SELECT * FROM runs WHERE call = ?1 AND (?2 IS NULL OR tenant = ?2) ORDER BY id LIMIT 10000")
            .bind(call.to_string())
            .bind(scope.tenant().map(|id| id.to_string()))
            .fetch_all(&mut *reader)
            .await
            .map_err(away(attempted))?;
    found.iter().map(run).collect()
}

fn call(row: &SqliteRow) -> Result<CallRecord, Error> {
    let columns = Columns::of(row, "call");
    Ok(CallRecord {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        application: columns.parse("application")?,
        direction: columns.word("direction")?,
        caller: columns.get("caller")?,
        called: columns.get("called")?,
        number: columns.get("number")?,
        status: columns.word("status")?,
        started: columns.wall("started")?,
        answered: columns.wall_some("answered")?,
        ended: columns.wall_some("ended")?,
        cause: match columns.get::<Option<&str>>("cause")? {
            None => None,
            Some(_) => Some(columns.json::<EndCause>("cause")?),
        },
        connected_us: columns.count("connected_us")?,
        faults: columns.count("faults")?,
    })
}

fn recorded(row: &SqliteRow) -> Result<Recording, Error> {
    let columns = Columns::of(row, "recording");
    Ok(Recording {
        id: columns.parse("id")?,
        tenant: columns.parse("tenant")?,
        call: columns.parse("call")?,
        started: columns.wall("started")?,
        length_ms: columns.get("length_ms")?,
        bytes: columns.count("bytes")?,
        failed: columns.get("failed")?,
    })
}

fn run(row: &SqliteRow) -> Result<Run, Error> {
    let columns = Columns::of(row, "run");
    let reason = columns.get::<Option<&str>>("reason")?;
    let fault = match columns.get::<Option<&str>>("fault_code")? {
        None => None,
        Some(_) => Some(Fault {
            code: columns.word::<FaultCode>("fault_code")?,
            message: columns.get::<Option<String>>("fault_message")?.unwrap_or_default(),
        }),
    };
    Ok(Run {
        id: columns.parse("id")?,
        kind: columns.word("kind")?,
        call: columns.parse("call")?,
        tenant: columns.parse("tenant")?,
        application: columns.parse("application")?,
        module: columns.parse_some("module")?,
        module_name: columns.get("module_name")?,
        module_version: columns.count("module_version")?,
        handler: columns.count("handler")?,
        began: columns.wall("began")?,
        marked: columns.wall("marked")?,
        usage: measured(&columns)?,
        end: match reason {
            None => None,
            Some(reason) => {
                Some(RunEnd { reason: read_word(reason).map_err(|why| columns.corrupt("reason", why))?, fault })
            }
        },
    })
}

/// All of a Run's figures, or of several Runs' together; `host_calls` is JSON.
pub(super) fn measured(columns: &Columns<'_>) -> Result<RunUsage, Error> {
    Ok(RunUsage {
        holding_us: columns.count("holding_us")?,
        parked_us: columns.count("parked_us")?,
        connected_us: columns.count("connected_us")?,
        cpu_ns: columns.count("cpu_ns")?,
        peak_memory_bytes: columns.count("peak_memory_bytes")?,
        memory_byte_seconds: columns.count("memory_byte_seconds")?,
        host_calls: columns.json("host_calls")?,
        frames_sent: columns.count("frames_sent")?,
        frames_received: columns.count("frames_received")?,
    })
}

/// Sorts behind every id.
const BEHIND_ALL: &str = "~";
