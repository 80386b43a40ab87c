//! What a process that died left open.
//!
//! One file has one process, so what is open before the first call belongs to a process that is
//! gone. Runs are closed as they were last marked: nothing is charged beyond the evidence. A call
//! ends where its Runs end, so that they add up to it.

use std::collections::BTreeMap;

use callbox_model::{CallId, Change, EndCause, EndReason, RecordingId, RunId, RunKind, Subject, TenantId, Wall};

use super::Sqlite;
use super::batch;
use super::row::{Columns, json};
use super::work::Work;
use crate::{Error, Lost, Note};

pub(super) async fn close_lost(db: &Sqlite, now: Wall) -> Result<Lost, Error> {
    let mut work = db.begin("close what was left open").await?;
    let mut ends = Ends::default();
    let lost = Lost {
        recordings: close_recordings(&mut work, &mut ends).await?,
        runs: close_runs(&mut work, &mut ends).await?,
        calls: close_calls(&mut work, &mut ends).await?,
    };
    batch::tell(&mut work, ends.into_notes(now)).await?;
    work.commit().await?;
    Ok(lost)
}

/// What there is to say about each call, in order.
#[derive(Default)]
struct Ends {
    of: BTreeMap<CallId, (Option<TenantId>, Vec<Change>)>,
}

impl Ends {
    fn add(&mut self, call: CallId, tenant: TenantId, change: Change) {
        let (whose, changes) = self.of.entry(call).or_default();
        *whose = Some(tenant);
        changes.push(change);
    }

    fn into_notes(self, at: Wall) -> Vec<Note> {
        let of_call = |(call, (tenant, changes)): (CallId, (Option<TenantId>, Vec<Change>))| {
            let note = move |change| Note { subject: Subject::Call(call), tenant, at, change };
            changes.into_iter().map(note)
        };
        self.of.into_iter().flat_map(of_call).collect()
    }
}

async fn close_recordings(work: &mut Work, ends: &mut Ends) -> Result<u64, Error> {
    let found = work
        .all(
            sqlx::query(
                "UPDATE recordings SET length_ms = 0, failed = ?1 WHERE length_ms IS NULL RETURNING id, call, tenant",
            )
            .bind(NODE_DIED),
        )
        .await?;
    for row in &found {
        let columns = Columns::of(row, "recording");
        let recording = columns.parse::<RecordingId>("id")?;
        let failed = Some(NODE_DIED.to_owned());
        ends.add(
            columns.parse("call")?,
            columns.parse("tenant")?,
            Change::RecordingEnded { recording, length_ms: 0, bytes: 0, failed },
        );
    }
    Ok(found.len() as u64)
}

async fn close_runs(work: &mut Work, ends: &mut Ends) -> Result<u64, Error> {
    let found = work
        .all(sqlx::query(
            "UPDATE runs SET reason = 'node-lost' WHERE reason IS NULL
             RETURNING id, kind, call, tenant, EXISTS (
                 SELECT 1 FROM events
                 WHERE subject = runs.call AND type = 'control.ended' AND json_extract(data, '$.run') = runs.id
             ) AS told",
        ))
        .await?;
    for row in &found {
        let columns = Columns::of(row, "run");
        // The event stands when a Control ended and only its figures were still under way.
        if columns.word::<RunKind>("kind")? != RunKind::Control || columns.get::<bool>("told")? {
            continue;
        }
        let run = columns.parse::<RunId>("id")?;
        let reason = EndReason::NodeLost;
        ends.add(columns.parse("call")?, columns.parse("tenant")?, Change::ControlEnded { run, reason });
    }
    Ok(found.len() as u64)
}

async fn close_calls(work: &mut Work, ends: &mut Ends) -> Result<u64, Error> {
    let cause = EndCause { status: 0, reason: NODE_DIED.to_owned(), remote: false };
    let found = work
        .all(
            sqlx::query(
                "UPDATE calls SET
                     status = 'node-lost',
                     cause = ?1,
                     ended = started + (SELECT coalesce(sum(holding_us), 0) FROM runs WHERE call = calls.id),
                     connected_us = (SELECT coalesce(sum(connected_us), 0) FROM runs WHERE call = calls.id)
                 WHERE ended IS NULL
                 RETURNING id, tenant, answered IS NOT NULL AS answered, ended - started AS duration_us, connected_us",
            )
            .bind(json(&cause)),
        )
        .await?;
    for row in &found {
        let columns = Columns::of(row, "call");
        let change = Change::CallEnded {
            cause: cause.clone(),
            answered: columns.get("answered")?,
            duration_us: columns.count("duration_us")?,
            connected_us: columns.count("connected_us")?,
        };
        ends.add(columns.parse("id")?, columns.parse("tenant")?, change);
    }
    Ok(found.len() as u64)
}

const NODE_DIED: &str = "the node died";
