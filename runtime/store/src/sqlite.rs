//! The store over one SQLite file: one connection that writes, a few that read beside it (WAL).
//!
//! A transaction that writes begins with `BEGIN IMMEDIATE` on the only writing connection, so
//! that what it reads stays true until it commits: checks need no locks, versions and sequences
//! are counted with `max() + 1`.

mod applications;
mod assets;
mod batch;
mod bulk;
mod calls;
mod directory;
mod domains;
mod events;
mod keys;
mod kv;
mod modules;
mod numbers;
mod operations;
mod outbound;
mod recovery;
mod registrations;
mod row;
mod tenants;
mod trunks;
mod usage;
mod users;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Pool};
use tokio::sync::watch;

use crate::Error;
use row::away;
use work::Work;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: Pool<sqlx::Sqlite>,
    readers: Pool<sqlx::Sqlite>,
    /// Of the newest event.
    position: watch::Sender<i64>,
    /// What the file may grow to, in pages; each new connection is told.
    most_pages: Arc<AtomicU32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Made when it is not there. Two more files stand beside it (`-wal`, `-shm`).
    pub file: PathBuf,
    /// Default `Normal`: a commit costs no wait for the disk.
    pub synchronous: Synchronous,
    /// Connections that read. Default 4: each is a thread, and reads are short.
    pub readers: u32,
    /// How long a request waits for a connection. Default 5,000: longer than a stalled disk, and
    /// shorter than a client's patience.
    pub acquire_timeout_ms: u32,
    /// How long SQLite waits for the lock of another process, a backup for example. Default 5,000.
    pub busy_timeout_ms: u32,
    /// What the file may grow to. Default none: the disk is the limit.
    pub most_bytes: Option<u64>,
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// A killed process.
    Normal,
    /// A power loss too. Each batch waits for the disk.
    Full,
}

impl Config {
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            synchronous: Synchronous::Normal,
            readers: 4,
            acquire_timeout_ms: 5_000,
            busy_timeout_ms: 5_000,
            most_bytes: None,
        }
    }
}

impl Sqlite {
    /// Opens the file, makes it when it is not there, and brings its tables up to date.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let most_pages = Arc::new(AtomicU32::new(pages(config.most_bytes)));
        let options = SqliteConnectOptions::new()
            .filename(&config.file)
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(config.busy_timeout_ms.into()))
            .statement_cache_capacity(256)
            .page_size(PAGE_BYTES);
        let limits = |connections| {
            SqlitePoolOptions::new()
                .min_connections(1)
                .max_connections(connections)
                .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms.into()))
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let told = Arc::clone(&most_pages);
        let writer = limits(1)
            .after_connect(move |connection, _| {
                let most = told.load(Ordering::Relaxed);
                Box::pin(async move {
                    // A pragma takes no parameters.
                    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {most}")))
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .after_release(|connection, _| Box::pin(is_clean(connection)))
            .connect_with(
                options
                    .clone()
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(match config.synchronous {
                        Synchronous::Normal => SqliteSynchronous::Normal,
                        Synchronous::Full => SqliteSynchronous::Full,
                    })
                    .thread_name(|_| "store-writer".to_owned()),
            )
            .await
            .map_err(away("open its file"))?;
        sqlx::migrate!().run(&writer).await.map_err(|error| Error::Unavailable {
            attempted: "bring its tables up to date",
            source: Box::new(error),
        })?;
        let mut connection = writer.acquire().await.map_err(away("find its newest event"))?;
        let newest = work::newest(&mut connection).await.map_err(away("find its newest event"))?;
        drop(connection);
        let readers = limits(config.readers.max(1))
            .after_release(|connection, _| Box::pin(is_clean(connection)))
            .connect_with(options.read_only(true).thread_name(|number| format!("store-reader-{number}")))
            .await
            .map_err(away("open its file for reading"))?;
        Ok(Self { writer, readers, position: watch::Sender::new(newest), most_pages })
    }

    /// Changes what the file may grow to, at once. It does not shrink.
    pub async fn set_most_bytes(&self, most_bytes: Option<u64>) -> Result<(), Error> {
        let most = pages(most_bytes);
        self.most_pages.store(most, Ordering::Relaxed);
        let mut connection = self.writer.acquire().await.map_err(away("take its writing connection"))?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {most}")))
            .execute(&mut *connection)
            .await
            .map_err(away("change its limit"))?;
        Ok(())
    }

    /// Waits for what is under way, empties the WAL into the file, and closes both.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A transaction that writes.
    async fn begin(&self, attempted: &'static str) -> Result<Work, Error> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(away(attempted))?;
        Ok(Work::new(transaction, attempted, self.position.clone()))
    }

    async fn reader(&self, attempted: &'static str) -> Result<PoolConnection<sqlx::Sqlite>, Error> {
        self.readers.acquire().await.map_err(away(attempted))
    }
}

/// SQLite ends a transaction by itself when the disk is full; sqlx still believes in it, and would
/// never begin another. Such a connection is closed, and the next request opens a new one.
async fn is_clean(connection: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // The rollback of a dropped transaction is still on its way to SQLite's thread.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

fn pages(most_bytes: Option<u64>) -> u32 {
    match most_bytes {
        None => MOST_PAGES,
        Some(bytes) => u32::try_from(bytes / u64::from(PAGE_BYTES)).unwrap_or(MOST_PAGES).clamp(1, MOST_PAGES),
    }
}

const PAGE_BYTES: u32 = 4_096;
/// SQLite's own end, which is also its default.
const MOST_PAGES: u32 = 0xffff_fffe;
