//! One transaction that writes.

use callbox_model::{Change, Subject, TenantId, Wall};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

use super::events::Columns;
use super::row::away;
use crate::Error;

/// Dropped before its commit, it has done nothing.
pub(super) struct Work {
    transaction: Transaction<'static, Sqlite>,
    attempted: &'static str,
    position: watch::Sender<i64>,
    has_events: bool,
}

impl Work {
    pub(super) fn new(
        transaction: Transaction<'static, Sqlite>,
        attempted: &'static str,
        position: watch::Sender<i64>,
    ) -> Self {
        Self { transaction, attempted, position, has_events: false }
    }

    /// Events were appended: who waits for them is told after the commit.
    pub(super) fn has_events(&mut self) {
        self.has_events = true;
    }

    /// How many rows it changed.
    pub(super) async fn run(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, Error> {
        let done = query.execute(&mut *self.transaction).await.map_err(away(self.attempted))?;
        Ok(done.rows_affected())
    }

    pub(super) async fn one(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<Option<SqliteRow>, Error> {
        query.fetch_optional(&mut *self.transaction).await.map_err(away(self.attempted))
    }

    pub(super) async fn all(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<Vec<SqliteRow>, Error> {
        query.fetch_all(&mut *self.transaction).await.map_err(away(self.attempted))
    }

    /// Appends an event with the next sequence of its subject.
    pub(super) async fn note(
        &mut self,
        subject: Subject,
        tenant: Option<TenantId>,
        at: Wall,
        change: &Change,
    ) -> Result<(), Error> {
        let columns = Columns::of(change)?;
        self.has_events();
        let subject = subject.to_string();
        self.run(
            sqlx::query(
                "INSERT INTO events (subject, sequence, tenant, type, at, data)
                 SELECT ?1, coalesce(max(sequence), 0) + 1, ?2, ?3, ?4, ?5 FROM events WHERE subject = ?1",
            )
            .bind(subject)
            .bind(tenant.map(|id| id.to_string()))
            .bind(columns.kind)
            .bind(at.as_micros())
            .bind(columns.data),
        )
        .await?;
        Ok(())
    }

    /// What routing goes by has changed.
    pub(super) async fn reroute(&mut self) -> Result<(), Error> {
        self.run(sqlx::query("UPDATE directory SET revision = revision + 1")).await?;
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), Error> {
        let newest = match self.has_events {
            true => newest(&mut self.transaction).await.map_err(away(self.attempted))?,
            false => 0,
        };
        self.transaction.commit().await.map_err(away(self.attempted))?;
        self.position.send_if_modified(|position| {
            let is_newer = newest > *position;
            *position = newest.max(*position);
            is_newer
        });
        Ok(())
    }
}

/// Position of the newest event; 0 before the first.
pub(super) async fn newest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM events").fetch_one(connection).await
}
