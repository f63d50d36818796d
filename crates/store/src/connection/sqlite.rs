//! SQLite: one file in the data directory, in write-ahead mode.

mod check;
pub(super) mod checkpoint;
pub(super) mod database;
mod log_sync;

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql, params_from_iter};

use super::Value;
use super::dialect::Dialect;
use super::session::{Row, other};
use crate::StoreError;
use database::Durability;

pub(super) use check::check_pages;
pub(super) use log_sync::LogSync;

/// A connection to the file.
pub(super) struct SqliteSession {
    pub(super) connection: Connection,
}

impl SqliteSession {
    /// Opens or creates the file in a directory, and migrates it.
    pub(super) fn writing(directory: &Path, durability: Durability) -> Result<Self, StoreError> {
        Ok(Self::new(database::open_for_writing(directory, durability)?))
    }

    /// Opens the migrated file read-only.
    pub(super) fn reading(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(database::open_for_reading(directory)?))
    }

    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    pub(super) fn begin_reading(&self) -> Result<(), StoreError> {
        self.control("BEGIN")
    }

    pub(super) fn begin_writing(&self) -> Result<(), StoreError> {
        self.control("BEGIN IMMEDIATE")
    }

    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.control("COMMIT")
    }

    pub(super) fn roll_back(&self) {
        // This fails only if SQLite has rolled back already.
        let _ = self.control("ROLLBACK");
    }

    pub(super) fn begin_part(&self) -> Result<(), StoreError> {
        self.control("SAVEPOINT part")
    }

    pub(super) fn end_part(&self, keep: bool) -> Result<(), StoreError> {
        // SQLite may have rolled back everything.
        if self.has_lost_transaction() {
            return Ok(());
        }
        if !keep {
            self.control("ROLLBACK TO part")?;
        }
        self.control("RELEASE part")
    }

    /// SQLite ends the whole transaction by itself on some errors, such as a full disk.
    pub(super) fn has_lost_transaction(&self) -> bool {
        self.connection.is_autocommit()
    }

    pub(super) fn rows_changed(&self) -> u64 {
        self.connection.total_changes()
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        all_rows(&mut *self.connection.prepare_cached(&Dialect::Sqlite.text(sql))?, params, map)
    }

    pub(super) fn rows_once<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        all_rows(&mut self.connection.prepare(&Dialect::Sqlite.text(sql))?, params, map)
    }

    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnOnce(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(&Dialect::Sqlite.text(sql))?;
        let mut rows = statement.query(params_from_iter(params))?;
        rows.next()?.map(|row| map(Row::Sqlite(row))).transpose()
    }

    pub(super) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<usize, StoreError> {
        Ok(self.connection.prepare_cached(&Dialect::Sqlite.text(sql))?.execute(params_from_iter(params))?)
    }

    pub(super) fn insert(&self, sql: &str, params: &[Value<'_>]) -> Result<Option<i64>, StoreError> {
        let changed = self.execute(sql, params)?;
        Ok((changed == 1).then(|| self.connection.last_insert_rowid()))
    }

    fn control(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

fn all_rows<T>(
    statement: &mut Statement<'_>,
    params: &[Value<'_>],
    mut map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = statement.query(params_from_iter(params))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(map(Row::Sqlite(row))?);
    }
    Ok(found)
}

/// Returns the value of a column of a row.
pub(super) fn value<'a>(row: &'a rusqlite::Row<'a>, column: usize) -> Result<Value<'a>, StoreError> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text);
            Value::Text(text.map_err(|error| other(format!("column {column} is not UTF-8: {error}")))?)
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes),
        ValueRef::Real(_) => return Err(other(format!("column {column} holds a floating-point number"))),
    })
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
