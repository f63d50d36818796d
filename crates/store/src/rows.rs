//! Columns into model types and back, and what the statements of every noun share.

use std::str::FromStr;

use cloudpc_model::Timestamp;
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{Reader, StoreError, Tx};

/// Whether no remote action is open on the machine whose line a row of this table names.
macro_rules! at_rest {
    ($table:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM actions WHERE actions.line_id = ",
            $table,
            ".line_id AND nullif(remote, 0) = 1 AND open = 1)"
        )
    };
}
pub(crate) use at_rest;

/// Reads the columns of a row from left to right. Struct fields are filled in the order in which
/// they are written, so a mapping reads like its SELECT list.
pub(crate) struct Columns<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(row: &'a Row<'a>, table: &'static str) -> Self {
        Self { row, table, next: 0 }
    }

    /// The next column as it is.
    pub(crate) fn get<T: FromSql>(&mut self) -> Result<T, StoreError> {
        let column = self.next;
        self.next += 1;
        Ok(self.row.get(column)?)
    }

    /// A time.
    pub(crate) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.get().map(Timestamp)
    }

    /// A time that may be missing.
    pub(crate) fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp))
    }

    /// A word of the domain, stored by its name.
    pub(crate) fn word<T: FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.corrupt(format!("the word {text:?}")))
    }

    /// A word that may be missing.
    pub(crate) fn word_opt<T: FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        if self.skip_null()? { Ok(None) } else { self.word().map(Some) }
    }

    /// A JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        serde_json::from_str(text).map_err(|error| self.corrupt(error.to_string()))
    }

    /// A JSON text that may be missing.
    pub(crate) fn json_opt<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        if self.skip_null()? { Ok(None) } else { self.json().map(Some) }
    }

    /// Skips the next column if nothing is in it.
    fn skip_null(&mut self) -> Result<bool, StoreError> {
        let is_null = self.row.get_ref(self.next)? == ValueRef::Null;
        self.next += usize::from(is_null);
        Ok(is_null)
    }

    /// A text, not copied.
    fn text(&mut self) -> Result<&'a str, StoreError> {
        let column = self.next;
        self.next += 1;
        self.row.get_ref(column)?.as_str().map_err(|error| self.corrupt(error.to_string()))
    }

    fn corrupt(&self, what: String) -> StoreError {
        StoreError::Corrupt { table: self.table, what: format!("column {}: {what}", self.next - 1) }
    }
}

impl Reader<'_> {
    /// The rows of a query.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let look = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(map(row)?);
            }
            Ok(found)
        };
        self.damage.watch(look())
    }

    /// The first row of a query.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let look = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            rows.next()?.map(map).transpose()
        };
        self.damage.watch(look())
    }

    /// The one value of a query that always has a row.
    pub(crate) fn value<T: FromSql>(&self, sql: &str, params: impl Params) -> Result<T, StoreError> {
        let look = || Ok(self.connection.prepare_cached(sql)?.query_row(params, |row| row.get(0))?);
        self.damage.watch(look())
    }

    /// What a query counts.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<u64, StoreError> {
        let count: i64 = self.value(sql, params)?;
        u64::try_from(count).map_err(|_| StoreError::Corrupt { table: "counts", what: format!("the count {count}") })
    }
}

impl Tx<'_> {
    /// Runs a statement; returns the number of rows that it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        let change = || Ok(self.connection.prepare_cached(sql)?.execute(params)?);
        self.damage.watch(change())
    }

    /// Adds one row; returns its number. `RETURNING` would tell it as well, at the cost of a table
    /// of its own and a journal of the statement.
    pub(crate) fn insert(&mut self, sql: &str, params: impl Params) -> Result<i64, StoreError> {
        let change = || Ok(self.connection.prepare_cached(sql)?.insert(params)?);
        self.damage.watch(change())
    }
}

/// Reads a broken unique index as [`StoreError::Exists`]: `what` is there already.
pub(crate) fn or_exists(what: &'static str) -> impl FnOnce(StoreError) -> StoreError {
    move |error| match error {
        StoreError::Sqlite(error) if is_duplicate(&error) => StoreError::Exists(what),
        other => other,
    }
}

/// A value as JSON text.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the model's types have string keys and no failing serializer")
}

/// A value as JSON text, or NULL.
pub(crate) fn json_opt(value: Option<&impl Serialize>) -> Option<String> {
    value.map(json)
}

/// A time that may be missing, as a column.
pub(crate) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.0)
}

/// A word of the domain, as a column.
pub(crate) fn word(value: impl Into<&'static str>) -> &'static str {
    value.into()
}

/// A number of rows as SQL takes it.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Where a list in the order of GUIDs goes on: after `last`, or before them all, so that the first
/// page is the same range scan as the others.
pub(crate) fn guid_after(last: Option<Uuid>) -> Vec<u8> {
    last.map_or_else(Vec::new, |last| last.into_bytes().to_vec())
}

fn is_duplicate(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    error
        .sqlite_error()
        .is_some_and(|error| matches!(error.extended_code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY))
}
