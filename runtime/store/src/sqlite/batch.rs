//! A batch of the ledger: events, what they say about calls and recordings, Runs, and what was
//! bought of trunks.
//!
//! Everything here may be applied twice: events are kept by subject and sequence, a call takes
//! its answer and its end once, a closed Run does not change, of two figures of a leg the larger
//! stands.

use std::collections::{BTreeMap, BTreeSet};

use callbox_model::{
    ApplicationId, CallId, CallStatus, Change, Direction, EndCause, Event, LegNumber, RecordingId, Run, RunId, Subject,
    TenantId, Wall,
};

use super::Sqlite;
use super::bulk::Bulk;
use super::events::Columns;
use super::row::{self, int, json, word};
use super::work::Work;
use crate::{Entry, Error, Note, OutboundLeg};

pub(super) async fn commit(db: &Sqlite, batch: &[Entry]) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let plan = Plan::of(batch)?;
    let mut work = db.begin("write a batch down").await?;
    plan.carry_out(&mut work).await?;
    work.commit().await
}

/// A batch, sorted by table.
#[derive(Default)]
struct Plan<'b> {
    events: Vec<(&'b Event, Columns)>,
    notes: Vec<Note>,
    started: Vec<Started<'b>>,
    moved: BTreeMap<CallId, Moved<'b>>,
    faulted: Vec<CallId>,
    recordings: Vec<(RecordingId, TenantId, CallId, Wall)>,
    recorded: Vec<(RecordingId, u32, u64, &'b Option<String>)>,
    runs: BTreeMap<RunId, &'b Run>,
    outbound: BTreeMap<(CallId, LegNumber), OutboundLeg>,
}

struct Started<'b> {
    call: CallId,
    tenant: TenantId,
    at: Wall,
    application: ApplicationId,
    direction: Direction,
    caller: &'b str,
    called: &'b str,
    number: &'b str,
    sip_call_id: &'b str,
}

/// What happened to a call after its start.
#[derive(Default)]
struct Moved<'b> {
    answered: Option<Wall>,
    ended: Option<Ended<'b>>,
}

struct Ended<'b> {
    status: CallStatus,
    cause: &'b EndCause,
    duration_us: u64,
    connected_us: u64,
}

impl<'b> Plan<'b> {
    fn of(batch: &'b [Entry]) -> Result<Self, Error> {
        let mut plan = Self::default();
        for entry in batch {
            match entry {
                Entry::Event(event) => {
                    plan.events.push((event, Columns::of(&event.change)?));
                    if let Subject::Call(call) = event.subject {
                        plan.project(call, event);
                    }
                }
                Entry::Run(run) => plan.keep_newest(run),
                Entry::Note(note) => plan.notes.push(note.clone()),
                Entry::Outbound(leg) => plan.keep_larger(leg),
            }
        }
        Ok(plan)
    }

    fn project(&mut self, call: CallId, event: &'b Event) {
        match &event.change {
            Change::CallStarted { application, direction, caller, called, number, sip_call_id } => {
                let Some(tenant) = event.tenant else {
                    tracing::error!(call.id = %call, "a call without a tenant: its event is kept, its record is not");
                    return;
                };
                self.started.push(Started {
                    call,
                    tenant,
                    at: event.at,
                    application: *application,
                    direction: *direction,
                    caller,
                    called,
                    number,
                    sip_call_id,
                });
            }
            Change::CallAnswered => {
                self.moved.entry(call).or_default().answered.get_or_insert(event.at);
            }
            Change::CallEnded { cause, answered, duration_us, connected_us } => {
                self.moved.entry(call).or_default().ended.get_or_insert(Ended {
                    status: if *answered { CallStatus::Completed } else { CallStatus::NotAnswered },
                    cause,
                    duration_us: *duration_us,
                    connected_us: *connected_us,
                });
            }
            Change::ControlFault { .. } => self.faulted.push(call),
            Change::RecordingStarted { recording, .. } => {
                if let Some(tenant) = event.tenant {
                    self.recordings.push((*recording, tenant, call, event.at));
                }
            }
            Change::RecordingEnded { recording, length_ms, bytes, failed } => {
                self.recorded.push((*recording, *length_ms, *bytes, failed));
            }
            // The rest is history: it changes no record.
            _ => {}
        }
    }

    fn keep_newest(&mut self, run: &'b Run) {
        self.runs
            .entry(run.id)
            .and_modify(|kept| {
                if kept.end.is_none() && (run.end.is_some() || run.marked >= kept.marked) {
                    *kept = run;
                }
            })
            .or_insert(run);
    }

    fn keep_larger(&mut self, leg: &OutboundLeg) {
        self.outbound
            .entry((leg.call, leg.leg))
            .and_modify(|kept| {
                kept.minutes = kept.minutes.max(leg.minutes);
                kept.spend_micros = kept.spend_micros.max(leg.spend_micros);
            })
            .or_insert_with(|| leg.clone());
    }

    async fn carry_out(self, work: &mut Work) -> Result<(), Error> {
        let newest = EVENTS
            .run(work, self.events, |(event, columns), row| {
                row.add(event.subject.to_string());
                row.add(int(event.sequence));
                row.add(event.tenant.map(|id| id.to_string()));
                row.add(columns.kind);
                row.add(event.at.as_micros());
                row.add(columns.data);
            })
            .await?;
        work.appended(newest);
        tell(work, self.notes).await?;
        STARTED
            .run(work, self.started, |call, row| {
                row.add(call.call.to_string());
                row.add(call.tenant.to_string());
                row.add(call.application.to_string());
                row.add(word(&call.direction));
                row.add(call.caller.to_owned());
                row.add(call.called.to_owned());
                row.add(call.number.to_owned());
                row.add(call.sip_call_id.to_owned());
                row.add(call.at.as_micros());
            })
            .await?;
        MOVED
            .run(work, self.moved.into_iter().collect(), |(call, moved), row| {
                row.add(call.to_string());
                row.add(moved.answered.map(Wall::as_micros));
                row.add(moved.ended.as_ref().map(|ended| word(&ended.status)));
                row.add(moved.ended.as_ref().map(|ended| int(ended.duration_us)));
                row.add(moved.ended.as_ref().map(|ended| json(ended.cause)));
                row.add(moved.ended.as_ref().map(|ended| int(ended.connected_us)));
            })
            .await?;
        if !self.faulted.is_empty() {
            // Counted again rather than added to, so that a replay counts nothing twice.
            work.run(
                sqlx::query(
                    "UPDATE calls SET faults =
                         (SELECT count(*) FROM events WHERE subject = calls.id AND type = 'control.fault')
                     WHERE id IN (SELECT value FROM json_each(?1))",
                )
                .bind(json(&self.faulted)),
            )
            .await?;
        }
        RECORDINGS
            .run(work, self.recordings, |(recording, tenant, call, at), row| {
                row.add(recording.to_string());
                row.add(tenant.to_string());
                row.add(call.to_string());
                row.add(at.as_micros());
            })
            .await?;
        RECORDED
            .run(work, self.recorded, |(recording, length_ms, bytes, failed), row| {
                row.add(recording.to_string());
                row.add(i64::from(length_ms));
                row.add(int(bytes));
                row.add(failed.clone());
            })
            .await?;
        OUTBOUND
            .run(work, self.outbound.into_values().collect(), |leg, row| {
                row.add(leg.call.to_string());
                row.add(i64::from(leg.leg));
                row.add(leg.tenant.to_string());
                row.add(leg.trunk.to_string());
                row.add(leg.code);
                row.add(leg.began.as_micros());
                row.add(i64::from(leg.minutes));
                row.add(int(leg.spend_micros));
            })
            .await?;
        write_runs(work, self.runs.into_values().collect()).await
    }
}

async fn write_runs(work: &mut Work, runs: Vec<&Run>) -> Result<(), Error> {
    RUNS.run(work, runs, |run, row| {
        let fault = run.end.as_ref().and_then(|end| end.fault.as_ref());
        row.add(run.id.to_string());
        row.add(word(&run.kind));
        row.add(run.call.to_string());
        row.add(run.tenant.to_string());
        row.add(run.application.to_string());
        row.add(run.module.map(|id| id.to_string()));
        row.add(run.module_name.clone());
        row.add(i64::from(run.module_version));
        row.add(i64::from(run.handler));
        row.add(run.began.as_micros());
        row.add(run.marked.as_micros());
        row.add(int(run.usage.holding_us));
        row.add(int(run.usage.parked_us));
        row.add(int(run.usage.connected_us));
        row.add(int(run.usage.cpu_ns));
        row.add(int(run.usage.peak_memory_bytes));
        row.add(int(run.usage.memory_byte_seconds));
        row.add(json(&run.usage.host_calls));
        row.add(int(run.usage.frames_sent));
        row.add(int(run.usage.frames_received));
        row.add(run.end.as_ref().map(|end| word(&end.reason)));
        row.add(fault.map(|fault| fault.code.code()));
        row.add(fault.map(|fault| fault.message.clone()));
    })
    .await?;
    Ok(())
}

/// Appends events, each with the next sequence of its subject.
pub(super) async fn tell(work: &mut Work, notes: Vec<Note>) -> Result<(), Error> {
    if notes.is_empty() {
        return Ok(());
    }
    let subjects: BTreeSet<String> = notes.iter().map(|note| note.subject.to_string()).collect();
    let found = work
        .all(
            sqlx::query(
                "SELECT value AS id, coalesce((SELECT max(sequence) FROM events WHERE subject = value), 0) AS last
                 FROM json_each(?1)",
            )
            .bind(json(&subjects)),
        )
        .await?;
    let mut last = BTreeMap::new();
    for row in &found {
        let columns = row::Columns::of(row, "subject");
        last.insert(columns.get::<String>("id")?, columns.get::<i64>("last")?);
    }
    let mut rows = Vec::with_capacity(notes.len());
    for note in notes {
        let subject = note.subject.to_string();
        let sequence = last.entry(subject.clone()).or_default();
        *sequence += 1;
        rows.push((subject, *sequence, note.tenant, note.at, Columns::of(&note.change)?));
    }
    let newest = EVENTS
        .run(work, rows, |(subject, sequence, tenant, at, columns), row| {
            row.add(subject);
            row.add(sequence);
            row.add(tenant.map(|id| id.to_string()));
            row.add(columns.kind);
            row.add(at.as_micros());
            row.add(columns.data);
        })
        .await?;
    work.appended(newest);
    Ok(())
}

static EVENTS: Bulk = Bulk::new(
    "INSERT INTO events (subject, sequence, tenant, type, at, data) SELECT * FROM",
    6,
    "WHERE column1 IS NOT NULL ON CONFLICT (subject, sequence) DO NOTHING",
);

static STARTED: Bulk = Bulk::new(
    "INSERT INTO calls (id, tenant, application, direction, caller, called, number, sip_call_id, started, status)
     SELECT *, 'ringing' FROM",
    9,
    "WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING",
);

/// A call's end is its start and its length, by the clock that does not jump; so its Runs add up
/// to what is between the two.
static MOVED: Bulk = Bulk::new(
    "UPDATE calls SET
         answered = coalesce(answered, column2),
         status = coalesce(column3, 'in-progress'),
         ended = started + column4,
         cause = column5,
         connected_us = coalesce(column6, connected_us)
     FROM",
    6,
    "WHERE column1 IS NOT NULL AND calls.id = column1 AND ended IS NULL",
);

static RECORDINGS: Bulk = Bulk::new(
    "INSERT INTO recordings (id, tenant, call, started) SELECT * FROM",
    4,
    "WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING",
);

static RECORDED: Bulk = Bulk::new(
    "UPDATE recordings SET length_ms = column2, bytes = column3, failed = column4 FROM",
    4,
    "WHERE column1 IS NOT NULL AND recordings.id = column1 AND length_ms IS NULL",
);

static RUNS: Bulk = Bulk::new(
    "INSERT INTO runs (id, kind, call, tenant, application, module, module_name, module_version, handler, began,
         marked, holding_us, parked_us, connected_us, cpu_ns, peak_memory_bytes, memory_byte_seconds, host_calls,
         frames_sent, frames_received, reason, fault_code, fault_message)
     SELECT * FROM",
    23,
    "WHERE column1 IS NOT NULL ON CONFLICT (id) DO UPDATE SET
         marked = excluded.marked,
         holding_us = excluded.holding_us,
         parked_us = excluded.parked_us,
         connected_us = excluded.connected_us,
         cpu_ns = excluded.cpu_ns,
         peak_memory_bytes = excluded.peak_memory_bytes,
         memory_byte_seconds = excluded.memory_byte_seconds,
         host_calls = excluded.host_calls,
         frames_sent = excluded.frames_sent,
         frames_received = excluded.frames_received,
         reason = excluded.reason,
         fault_code = excluded.fault_code,
         fault_message = excluded.fault_message
     WHERE runs.reason IS NULL AND (excluded.reason IS NOT NULL OR excluded.marked >= runs.marked)",
);

static OUTBOUND: Bulk = Bulk::new(
    "INSERT INTO outbound_legs (call, leg, tenant, trunk, code, began, minutes, spend_micros) SELECT * FROM",
    8,
    "WHERE column1 IS NOT NULL ON CONFLICT (call, leg) DO UPDATE SET
         minutes = max(minutes, excluded.minutes),
         spend_micros = max(spend_micros, excluded.spend_micros)",
);
