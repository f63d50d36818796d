//! Running statements in SQLite: parameters in, rows out.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Statement, ToSql, params_from_iter};

use super::error::{DatabaseError, DatabaseErrorKind};
use super::{FromValue, Reader, Tx, Value};
use crate::StoreError;

/// A row of a query.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a>(&'a rusqlite::Row<'a>);

impl<'a> Row<'a> {
    /// Returns the column `column`, counted from 0.
    pub(crate) fn get<T: FromValue>(self, column: usize) -> Result<T, StoreError> {
        let value = self.value(column)?;
        T::from_value(value).ok_or_else(|| {
            let expected = std::any::type_name::<T>();
            other(format!("column {column} holds {}, which is not of the type {expected}", value.kind()))
        })
    }

    /// Returns the column `column` without copying it.
    pub(crate) fn value(self, column: usize) -> Result<Value<'a>, StoreError> {
        Ok(match self.0.get_ref(column)? {
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

impl Reader<'_> {
    /// Returns the rows of a query.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        tracing::trace!(sql, "statement");
        let query = || all_rows(&mut *self.connection.prepare_cached(sql)?, params, map);
        self.damage.watch(query())
    }

    /// Returns the rows of a query whose text is rarely the same again, so that it takes no place
    /// among the prepared statements.
    pub(crate) fn rows_once<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        tracing::trace!(sql, "statement");
        let query = || all_rows(&mut self.connection.prepare(sql)?, params, map);
        self.damage.watch(query())
    }

    /// Returns the first row of a query.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnOnce(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        tracing::trace!(sql, "statement");
        let query = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params_from_iter(params))?;
            rows.next()?.map(|row| map(Row(row))).transpose()
        };
        self.damage.watch(query())
    }

    /// Returns the one value of a query that always has a row.
    pub(crate) fn value<T: FromValue>(&self, sql: &str, params: &[Value<'_>]) -> Result<T, StoreError> {
        self.row(sql, params, |row| row.get(0))?.ok_or_else(|| other(format!("no row for {sql}")))
    }

    /// Returns what a query counts.
    pub(crate) fn count(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, StoreError> {
        let count: i64 = self.value(sql, params)?;
        u64::try_from(count).map_err(|_| StoreError::Corrupt { table: "counts", what: format!("the count {count}") })
    }
}

impl Tx<'_> {
    /// Runs a statement; returns the number of rows that it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<usize, StoreError> {
        tracing::trace!(sql, "statement");
        let change = || Ok(self.connection.prepare_cached(sql)?.execute(params_from_iter(params))?);
        self.damage.watch(change())
    }

    /// Adds one row and returns its number; none if the statement says `ON CONFLICT DO NOTHING` and
    /// a row with the same unique key exists. `RETURNING` would give the number as well, at the
    /// cost of a temporary table and a journal of the statement.
    pub(crate) fn insert(&mut self, sql: &str, params: &[Value<'_>]) -> Result<Option<i64>, StoreError> {
        let changed = self.execute(sql, params)?;
        Ok((changed == 1).then(|| self.connection.last_insert_rowid()))
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
        found.push(map(Row(row))?);
    }
    Ok(found)
}

fn other(message: String) -> StoreError {
    StoreError::Database(DatabaseError::new(DatabaseErrorKind::Other, message))
}
