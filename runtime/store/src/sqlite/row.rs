//! Between rows and words: columns that are ids, times, counts and lower-case names.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Type};

use callbox_model::Wall;

use crate::Error;

/// Reads the columns of one row. `what` names the thing for an error.
pub(super) struct Columns<'r> {
    row: &'r SqliteRow,
    what: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r SqliteRow, what: &'static str) -> Self {
        Self { row, what }
    }

    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, Error>
    where
        T: Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite>,
    {
        self.row.try_get(column).map_err(|why| self.corrupt(column, why))
    }

    /// An id, or anything else that is read from text.
    pub(super) fn parse<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<T, Error> {
        self.get::<&str>(column)?.parse().map_err(|why| self.corrupt(column, why))
    }

    pub(super) fn parse_some<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<Option<T>, Error> {
        self.get::<Option<&str>>(column)?.map(str::parse).transpose().map_err(|why| self.corrupt(column, why))
    }

    /// One case of an enum without data.
    pub(super) fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Error> {
        read_word(self.get(column)?).map_err(|why| self.corrupt(column, why))
    }

    pub(super) fn json<T: Deserialize<'r>>(&self, column: &'static str) -> Result<T, Error> {
        serde_json::from_str(self.get(column)?).map_err(|why| self.corrupt(column, why))
    }

    pub(super) fn count<T: TryFrom<i64, Error: Display>>(&self, column: &'static str) -> Result<T, Error> {
        T::try_from(self.get::<i64>(column)?).map_err(|why| self.corrupt(column, why))
    }

    pub(super) fn wall(&self, column: &'static str) -> Result<Wall, Error> {
        self.get(column).map(Wall)
    }

    pub(super) fn wall_some(&self, column: &'static str) -> Result<Option<Wall>, Error> {
        Ok(self.get::<Option<i64>>(column)?.map(Wall))
    }

    pub(super) fn corrupt(&self, column: &'static str, why: impl Display) -> Error {
        Error::Corrupt {
            what: self.what,
            id: self.row.try_get_unchecked::<String, _>("id").unwrap_or_default(),
            why: format!("{column}: {why}"),
        }
    }
}

/// A case of an enum without data, as it is called in JSON.
pub(super) fn word(case: &impl Serialize) -> String {
    match serde_json::to_value(case) {
        Ok(serde_json::Value::String(name)) => name,
        // Reads back as damage, not as another case.
        _ => String::new(),
    }
}

pub(super) fn read_word<T: DeserializeOwned>(name: &str) -> Result<T, WordError> {
    let deserializer: StrDeserializer<'_, WordError> = name.into_deserializer();
    T::deserialize(deserializer)
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// SQLite counts in 63 bits, JSON's readers in 53. Nothing that is counted here comes near.
pub(super) fn int(count: u64) -> i64 {
    count.min(1 << 53) as i64
}

/// How many rows a page may have.
pub(super) fn rows(limit: u32) -> i64 {
    limit.min(1_000).into()
}

/// What came back from the database when it was asked to do `attempted`.
pub(super) fn away(attempted: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| match error {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => Error::Conflict {
            what: "a row",
            id: refusal.message().to_owned(),
            why: format!("is there already: cannot {attempted}"),
            owner: None,
        },
        sqlx::Error::Database(refusal) if refusal.is_foreign_key_violation() || refusal.is_check_violation() => {
            Error::Refused { what: "a row", id: attempted.to_owned(), why: refusal.message().to_owned() }
        }
        error => Error::Unavailable { attempted, source: Box::new(error) },
    }
}
