//! Many rows in one statement. A statement for each row costs ten times as much: every one goes
//! over to SQLite's thread and back.

use std::sync::OnceLock;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Sqlite, Type};

use super::row::away;
use super::work::Work;
use crate::Error;

/// A statement over a list of rows: `head`, `(VALUES (?, …), …)`, `tail`.
///
/// It exists in a few lengths only, so that each is prepared once and kept; what a batch does not
/// fill is NULL, and `tail` must leave out the rows whose `column1` is NULL.
pub(super) struct Bulk {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<String>; LENGTHS.len()],
}

impl Bulk {
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [const { OnceLock::new() }; LENGTHS.len()] }
    }

    /// `bind` binds as many values as there are columns, for each row. The number of the newest
    /// row, when there is one and it has one.
    pub(super) async fn run<T>(
        &'static self,
        work: &mut Work,
        mut rows: Vec<T>,
        bind: impl Fn(T, &mut Row),
    ) -> Result<Option<i64>, Error> {
        let mut newest = None;
        while !rows.is_empty() {
            let length = fitting(rows.len());
            let filled = rows.len().min(LENGTHS[length]);
            let later = rows.split_off(filled);
            let mut row = Row::with_room_for(LENGTHS[length] * self.columns);
            for values in rows {
                bind(values, &mut row);
            }
            debug_assert_eq!(row.bound, filled * self.columns, "each row binds its {} columns", self.columns);
            for _ in row.bound..LENGTHS[length] * self.columns {
                row.add(None::<i64>);
            }
            let arguments = row.finish().map_err(away("bind a row"))?;
            let done = work.execute(sqlx::query_with(self.text(length), arguments)).await?;
            if done.rows_affected() > 0 {
                newest = Some(done.last_insert_rowid());
            }
            rows = later;
        }
        Ok(newest)
    }

    fn text(&'static self, length: usize) -> &'static str {
        self.texts[length].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            format!("{} (VALUES {}) {}", self.head, vec![row; LENGTHS[length]].join(", "), self.tail)
        })
    }
}

/// Takes the values of the rows, one after the other.
pub(super) struct Row {
    arguments: SqliteArguments,
    bound: usize,
    refused: Option<sqlx::error::BoxDynError>,
}

impl Row {
    fn with_room_for(values: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(values, 0);
        Self { arguments, bound: 0, refused: None }
    }

    pub(super) fn add<T: Encode<'static, Sqlite> + Type<Sqlite> + Send + 'static>(&mut self, value: T) {
        if let Err(refused) = self.arguments.add(value) {
            self.refused.get_or_insert(refused);
        }
        self.bound += 1;
    }

    fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        self.refused.map_or(Ok(self.arguments), |refused| Err(sqlx::Error::Encode(refused)))
    }
}

/// The next length. What stays empty costs less than a second statement would.
fn fitting(rows: usize) -> usize {
    LENGTHS.iter().position(|&length| length >= rows).unwrap_or(LENGTHS.len() - 1)
}

/// With 23 columns, the longest binds 5,888 of the 32,766 values that SQLite takes.
const LENGTHS: [usize; 8] = [2, 4, 8, 16, 32, 64, 128, 256];
