//! PostgreSQL: one database, which several replicas may share.
//!
//! A transaction that writes holds one lock of the database from its first statement to its commit,
//! so that transactions that write run one after the other, as they do in SQLite, whichever replica
//! they come from. What a closure has read cannot change before it writes.

mod database;
mod statements;

use std::cell::{Cell, RefCell};
use std::error::Error;

use bytes::BytesMut;
use postgres::Client;
use postgres::error::SqlState;

use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::Value;
use super::session::{Row, other};
use crate::StoreError;
use statements::Statements;

pub(super) use database::PostgresDatabase;
pub use database::PostgresUrl;

/// Longest wait for the lock of the owner: the database notices after a moment that a process which
/// was killed is gone. Milliseconds.
const OWNER_WAIT_MS_MAX: u32 = 10_000;

/// The locks of an installation, which is a schema of a database.
#[derive(Clone, Copy)]
pub(super) enum Lock {
    /// Held by a transaction while it writes.
    Write = 1,
    /// Held while the schema is migrated.
    Migration = 2,
    /// Held by the process that uses the installation.
    Owner = 3,
}

impl Lock {
    /// The lock's key, as SQL.
    fn key(self) -> String {
        format!("hashtextextended(current_schema(), {})", self as i64)
    }
}

/// A connection to the database, which is made anew when it was lost.
pub(super) struct PostgresSession {
    database: PostgresDatabase,
    /// Whether this session keeps other processes from the installation.
    is_owner: bool,
    /// None while it is dropped.
    client: RefCell<Option<Client>>,
    statements: RefCell<Statements>,
    /// Whether the open transaction takes no more statements, or is gone with its connection.
    is_lost: Cell<bool>,
    is_open: Cell<bool>,
    rows_changed: Cell<u64>,
    /// Whether commits return before they are on disk.
    defers_sync: Cell<bool>,
}

impl PostgresSession {
    /// Connects, to read only.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses the user.
    pub(super) fn reading(database: &PostgresDatabase) -> Result<Self, StoreError> {
        Self::connect(database, false)
    }

    /// Connects, and keeps other processes from the installation until the session is dropped.
    ///
    /// # Errors
    /// The database cannot be reached; [`StoreError::InUse`] if another process uses it.
    pub(super) fn writing(database: &PostgresDatabase) -> Result<Self, StoreError> {
        Self::connect(database, true)
    }

    fn connect(database: &PostgresDatabase, is_owner: bool) -> Result<Self, StoreError> {
        let session = Self {
            database: database.clone(),
            is_owner,
            client: RefCell::new(None),
            statements: RefCell::default(),
            is_lost: Cell::new(false),
            is_open: Cell::new(false),
            rows_changed: Cell::new(0),
            defers_sync: Cell::new(false),
        };
        session.connect_again()?;
        Ok(session)
    }

    fn connect_again(&self) -> Result<(), StoreError> {
        *self.statements.borrow_mut() = Statements::default();
        let mut client = self.database.connect()?;
        if self.is_owner {
            let lock = format!(
                "SET lock_timeout = {OWNER_WAIT_MS_MAX}; SELECT pg_advisory_lock({}); RESET lock_timeout",
                Lock::Owner.key()
            );
            client.batch_execute(&lock).map_err(|error| match error.code() {
                Some(&SqlState::LOCK_NOT_AVAILABLE) => StoreError::InUse,
                _ => failed(error),
            })?;
        }
        self.client.replace(Some(client));
        Ok(())
    }

    /// Has commits return before they are on disk, or no longer. Returns after everything that was
    /// committed before is on disk, unless commits are deferred.
    pub(super) fn defer_sync(&self, defer: bool) -> Result<(), StoreError> {
        if self.defers_sync.replace(defer) && !defer {
            // A commit with a transaction id is synced, and with it all before.
            self.begin("BEGIN; SELECT pg_current_xact_id()")?;
            self.commit()?;
        }
        Ok(())
    }

    pub(super) fn begin_reading(&self) -> Result<(), StoreError> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    pub(super) fn begin_writing(&self) -> Result<(), StoreError> {
        let synchronous = if self.defers_sync.get() { "; SET LOCAL synchronous_commit = off" } else { "" };
        self.begin(&format!("BEGIN; SELECT pg_advisory_xact_lock({}){synchronous}", Lock::Write.key()))
    }

    /// Has the commit of the open transaction return only when it is on disk.
    pub(super) fn sync_commit(&self) -> Result<(), StoreError> {
        if self.defers_sync.get() { self.control("SET LOCAL synchronous_commit = on") } else { Ok(()) }
    }

    pub(super) fn commit(&self) -> Result<(), StoreError> {
        let committed = self.control("COMMIT");
        self.is_open.set(false);
        committed
    }

    pub(super) fn roll_back(&self) {
        if self.is_open.replace(false) {
            // This fails only if the connection is gone, and the transaction with it.
            let _ = self.control("ROLLBACK");
        }
        self.is_lost.set(false);
    }

    pub(super) fn begin_part(&self) -> Result<(), StoreError> {
        self.control("SAVEPOINT part")
    }

    pub(super) fn end_part(&self, keep: bool) -> Result<(), StoreError> {
        if keep && self.is_lost.get() {
            return Err(other("a statement failed, and its error was ignored".into()));
        }
        if !keep {
            // After a statement has failed, only this makes the transaction take others.
            self.control("ROLLBACK TO SAVEPOINT part")?;
            self.is_lost.set(false);
        }
        self.control("RELEASE SAVEPOINT part")
    }

    pub(super) fn has_lost_transaction(&self) -> bool {
        !self.is_open.get() || self.is_lost.get()
    }

    pub(super) fn rows_changed(&self) -> u64 {
        self.rows_changed.get()
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        mut map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.run(|client| {
            let statement = self.statements.borrow_mut().prepared(client, sql, params)?;
            client.query(&statement, &bound(params))
        })?;
        rows.iter().map(|row| map(Row::Postgres(row))).collect()
    }

    pub(super) fn rows_once<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        mut map: impl FnMut(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.run(|client| {
            let statement = statements::prepare(client, sql, params)?;
            client.query(&statement, &bound(params))
        })?;
        rows.iter().map(|row| map(Row::Postgres(row))).collect()
    }

    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: &[Value<'_>],
        map: impl FnOnce(Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let rows = self.run(|client| {
            let statement = self.statements.borrow_mut().prepared(client, sql, params)?;
            client.query(&statement, &bound(params))
        })?;
        rows.first().map(|row| map(Row::Postgres(row))).transpose()
    }

    pub(super) fn execute(&self, sql: &str, params: &[Value<'_>]) -> Result<usize, StoreError> {
        let changed = self.run(|client| {
            let statement = self.statements.borrow_mut().prepared(client, sql, params)?;
            client.execute(&statement, &bound(params))
        })?;
        self.rows_changed.set(self.rows_changed.get() + changed);
        usize::try_from(changed).map_err(|_| other(format!("{changed} rows were changed")))
    }

    pub(super) fn insert(&self, sql: &str, params: &[Value<'_>]) -> Result<Option<i64>, StoreError> {
        let number = self.row(&format!("{sql} RETURNING id"), params, |row| row.get(0))?;
        self.rows_changed.set(self.rows_changed.get() + u64::from(number.is_some()));
        Ok(number)
    }

    /// Begins a transaction, after connecting anew if the connection was lost.
    fn begin(&self, statements: &str) -> Result<(), StoreError> {
        let began_connected = self.is_connected();
        if !began_connected {
            self.connect_again()?;
        }
        let begun = self.begin_once(statements);
        // The end of a connection is noticed when it is used.
        if begun.is_err() && began_connected && !self.is_connected() {
            self.connect_again()?;
            return self.begin_once(statements);
        }
        begun
    }

    fn begin_once(&self, statements: &str) -> Result<(), StoreError> {
        self.is_lost.set(false);
        self.is_open.set(true);
        let begun = self.control(statements);
        if begun.is_err() {
            self.roll_back();
        }
        begun
    }

    fn is_connected(&self) -> bool {
        self.client.borrow().as_ref().is_some_and(|client| !client.is_closed())
    }

    fn control(&self, statements: &str) -> Result<(), StoreError> {
        self.run(|client| client.batch_execute(statements))
    }

    /// After an error, the transaction takes no more statements.
    fn run<T>(&self, work: impl FnOnce(&mut Client) -> Result<T, postgres::Error>) -> Result<T, StoreError> {
        let mut client = self.client.borrow_mut();
        work(client.as_mut().ok_or(StoreError::Closed)?).map_err(|error| {
            self.is_lost.set(true);
            failed(error)
        })
    }
}

impl Drop for PostgresSession {
    /// The client waits for its end by a runtime, which a task of another one may not do.
    fn drop(&mut self) {
        let client = self.client.take();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(client));
        });
    }
}

fn failed(error: postgres::Error) -> StoreError {
    StoreError::Database(error.into())
}

fn bound<'a>(params: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// Returns the value of a column of a row.
pub(super) fn value(row: &postgres::Row, column: usize) -> Result<Value<'_>, StoreError> {
    let of_type = row.columns().get(column).map(|column| column.type_().clone());
    let integer = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
    match of_type {
        Some(Type::INT8) => row.try_get(column).map(integer).map_err(failed),
        Some(Type::INT4) => {
            row.try_get(column).map(|number: Option<i32>| integer(number.map(i64::from))).map_err(failed)
        }
        Some(Type::BOOL) => row.try_get(column).map(|is: Option<bool>| integer(is.map(i64::from))).map_err(failed),
        Some(Type::TEXT) => {
            row.try_get(column).map(|text: Option<_>| text.map_or(Value::Null, Value::Text)).map_err(failed)
        }
        Some(Type::BYTEA) => {
            row.try_get(column).map(|bytes: Option<_>| bytes.map_or(Value::Null, Value::Bytes)).map_err(failed)
        }
        Some(unknown) => Err(other(format!("column {column} has the type {unknown}"))),
        None => Err(other(format!("there is no column {column}"))),
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, of_type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => number.to_sql(of_type, out),
            Value::Text(text) => text.to_sql(of_type, out),
            Value::Bytes(bytes) => bytes.to_sql(of_type, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
