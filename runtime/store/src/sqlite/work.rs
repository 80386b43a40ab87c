//! One transaction that writes.

use callbox_model::{Change, Subject, TenantId, Wall};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteQueryResult, SqliteRow};
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
    /// Of the newest event that this transaction has appended.
    newest: i64,
}

impl Work {
    pub(super) fn new(
        transaction: Transaction<'static, Sqlite>,
        attempted: &'static str,
        position: watch::Sender<i64>,
    ) -> Self {
        Self { transaction, attempted, position, newest: 0 }
    }

    /// Events were appended, the last one at this position. Who waits for them is told after the
    /// commit.
    pub(super) fn appended(&mut self, position: Option<i64>) {
        self.newest = self.newest.max(position.unwrap_or(0));
    }

    /// How many rows it changed.
    pub(super) async fn run(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, Error> {
        Ok(self.execute(query).await?.rows_affected())
    }

    pub(super) async fn execute(
        &mut self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<SqliteQueryResult, Error> {
        query.execute(&mut *self.transaction).await.map_err(away(self.attempted))
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
        let subject = subject.to_string();
        let done = self
            .execute(
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
        self.appended(Some(done.last_insert_rowid()));
        Ok(())
    }

    /// What routing goes by has changed.
    pub(super) async fn reroute(&mut self) -> Result<(), Error> {
        self.run(sqlx::query("UPDATE directory SET revision = revision + 1")).await?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await.map_err(away(self.attempted))?;
        self.position.send_if_modified(|position| {
            let is_newer = self.newest > *position;
            *position = self.newest.max(*position);
            is_newer
        });
        Ok(())
    }
}

/// Position of the newest event; 0 before the first.
pub(super) async fn newest(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM events").fetch_one(connection).await
}
