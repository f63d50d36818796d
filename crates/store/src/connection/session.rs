//! A session with a database, SQLite's or PostgreSQL's: transactions, and statements with
//! parameters in and rows out. This module refuses to know what is stored.

use super::error::{DatabaseError, DatabaseErrorKind};
use super::postgres::PostgresSession;
use super::sqlite::SqliteSession;
use super::{FromValue, Reader, Tx, Value};
use crate::StoreError;

/// One connection. It runs one transaction at a time.
pub(super) enum Session {
    Sqlite(SqliteSession),
    Postgres(Box<PostgresSession>),
}

/// Calls a method of the session of either database.
macro_rules! of_either {
    ($session:expr, $method:ident($($argument:expr),*)) => {
        match $session {
            Session::Sqlite(session) => session.$method($($argument),*),
            Session::Postgres(session) => session.$method($($argument),*),
        }
    };
}

impl Session {
    /// Begins a transaction that reads one snapshot.
    pub(super) fn begin_reading(&self) -> Result<(), StoreError> {
        of_either!(self, begin_reading())
    }

    /// Begins a transaction that writes. No other transaction of the installation writes until it
    /// ends.
    pub(super) fn begin_writing(&self) -> Result<(), StoreError> {
        of_either!(self, begin_writing())
    }

    /// Ends the transaction. What it wrote is in the database.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        of_either!(self, commit())
    }

    /// Ends the transaction, if there is one, and drops what it wrote.
    pub(super) fn roll_back(&self) {
        of_either!(self, roll_back())
    }

    /// Begins a part of the transaction that can be rolled back alone.
    pub(super) fn begin_part(&self) -> Result<(), StoreError> {
        of_either!(self, begin_part())
    }

    /// Ends the part of the transaction, and keeps or drops what it wrote.
    pub(super) fn end_part(&self, keep: bool) -> Result<(), StoreError> {
        of_either!(self, end_part(keep))
    }

    /// Whether the transaction was lost: the database has rolled it back by itself, or takes no
    /// more statements in it.
    pub(super) fn has_lost_transaction(&self) -> bool {
        of_either!(self, has_lost_transaction())
    }

    /// Number of rows that were ever changed in this session.
    pub(super) fn rows_changed(&self) -> u64 {
        of_either!(self, rows_changed())
    }
}

/// A row of a result.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a postgres::Row),
}

impl<'a> Row<'a> {
    /// Returns the value of a column, counted from zero.
    ///
    /// # Errors
    /// It is missing, or not of this type.
    pub(crate) fn get<T: FromValue>(self, column: usize) -> Result<T, StoreError> {
        let value = self.value(column)?;
        T::from_value(value).ok_or_else(|| {
            let expected = std::any::type_name::<T>();
            other(format!("column {column} holds {}, which is not of the type {expected}", value.kind()))
        })
    }

    /// Returns the value of a column as the database has it.
    ///
    /// # Errors
    /// It is missing, not UTF-8, or of a type that the store never writes.
    pub(crate) fn value(self, column: usize) -> Result<Value<'a>, StoreError> {
        match self {
            Self::Sqlite(row) => super::sqlite::value(row, column),
            Self::Postgres(row) => super::postgres::value(row, column),
        }
    }
}

impl Reader<'_> {
    /// Returns the rows of a query, mapped.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        tracing::trace!(sql, "statement");
        self.damage.watch(of_either!(self.session, rows(sql, params, map)))
    }

    /// Returns the rows of a query that is too rare to keep prepared, mapped.
    pub(crate) fn rows_once<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        tracing::trace!(sql, "statement");
        self.damage.watch(of_either!(self.session, rows_once(sql, params, map)))
    }

    /// Returns the first row of a query, mapped.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnOnce(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        tracing::trace!(sql, "statement");
        self.damage.watch(of_either!(self.session, row(sql, params, map)))
    }

    /// Returns the only value of a query that has one row.
    pub(crate) fn value<T: FromValue>(&self, sql: &str, params: &[Value<'_>]) -> Result<T, StoreError> {
        self.row(sql, params, |row| row.get(0))?.ok_or_else(|| other(format!("no row for {sql}")))
    }

    /// Returns the count that is the only value of a query.
    pub(crate) fn count(&self, sql: &str, params: &[Value<'_>]) -> Result<u64, StoreError> {
        let count: i64 = self.value(sql, params)?;
        u64::try_from(count).map_err(|_| StoreError::Corrupt { table: "counts", what: format!("the count {count}") })
    }
}

impl Tx<'_> {
    /// Runs a statement that changes rows; returns their number.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<usize, StoreError> {
        tracing::trace!(sql, "statement");
        self.damage.watch(of_either!(self.session, execute(sql, params)))
    }

    /// Inserts a row into a table that numbers its rows; returns the number, or none if a conflict
    /// left the row out.
    pub(crate) fn insert(&mut self, sql: &str, params: &[Value<'_>]) -> Result<Option<i64>, StoreError> {
        tracing::trace!(sql, "statement");
        self.damage.watch(of_either!(self.session, insert(sql, params)))
    }
}

/// An error that no caller distinguishes.
pub(super) fn other(message: String) -> StoreError {
    StoreError::Database(DatabaseError::new(DatabaseErrorKind::Other, message))
}
