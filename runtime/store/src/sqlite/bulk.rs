//! Many rows in one statement. A statement for each row costs ten times as much: every one goes
//! over to SQLite's thread and back.

use std::sync::OnceLock;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Encode, Sqlite, Type};

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

    /// `bind` binds as many values as there are columns, for each row.
    pub(super) async fn run<T>(
        &'static self,
        work: &mut Work,
        mut rows: Vec<T>,
        bind: impl Fn(T, &mut Row),
    ) -> Result<(), Error> {
        while !rows.is_empty() {
            let longest = LENGTHS.len() - 1;
            let length = LENGTHS.iter().position(|&length| rows.len() <= length).unwrap_or(longest);
            let later = rows.split_off(rows.len().min(LENGTHS[length]));
            let mut row = Row { query: sqlx::query(self.text(length)), bound: 0 };
            for values in rows {
                bind(values, &mut row);
            }
            for _ in row.bound..LENGTHS[length] * self.columns {
                row.add(None::<i64>);
            }
            debug_assert_eq!(row.bound, LENGTHS[length] * self.columns, "each row binds its {} columns", self.columns);
            work.run(row.query).await?;
            rows = later;
        }
        Ok(())
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
    query: Query<'static, Sqlite, SqliteArguments>,
    bound: usize,
}

impl Row {
    pub(super) fn add<T: Encode<'static, Sqlite> + Type<Sqlite> + Send + 'static>(&mut self, value: T) {
        let query = std::mem::replace(&mut self.query, sqlx::query(""));
        self.query = query.bind(value);
        self.bound += 1;
    }
}

/// With nine columns, the longest binds 2,304 of the 32,766 values that SQLite takes.
const LENGTHS: [usize; 3] = [8, 64, 256];
