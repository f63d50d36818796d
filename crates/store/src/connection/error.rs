//! Errors of the database, whichever it is.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use postgres::error::SqlState;
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};

use crate::StoreError;

/// An error of the database.
#[derive(Clone, Debug)]
pub struct DatabaseError {
    kind: DatabaseErrorKind,
    source: Arc<dyn Error + Send + Sync>,
}

/// What failed, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The disk is full.
    Full,
    /// The process has too little memory.
    OutOfMemory,
    /// The database file is damaged.
    Corrupt,
    /// A row with the same unique key exists.
    UniqueViolation,
    /// Another transaction holds a lock or has changed the same rows. The transaction may succeed
    /// if it runs again.
    Busy,
    /// The statement was stopped on request.
    Interrupted,
    /// It cannot be reached, or it is starting or shutting down.
    Unreachable,
    /// Anything else.
    Other,
}

impl DatabaseError {
    pub(crate) fn new(kind: DatabaseErrorKind, message: impl Into<String>) -> Self {
        let source: Box<dyn Error + Send + Sync> = message.into().into();
        Self { kind, source: source.into() }
    }

    /// What failed.
    pub fn kind(&self) -> DatabaseErrorKind {
        self.kind
    }
}

impl Display for DatabaseError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.source.fmt(formatter)
    }
}

impl Error for DatabaseError {
    /// The cause of the underlying error, whose own text is the text of this one.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let kind = match (error.sqlite_error_code(), error.sqlite_error().map(|error| error.extended_code)) {
            (_, Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY)) => DatabaseErrorKind::UniqueViolation,
            (Some(ErrorCode::DiskFull), _) => DatabaseErrorKind::Full,
            (Some(ErrorCode::OutOfMemory), _) => DatabaseErrorKind::OutOfMemory,
            (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _) => DatabaseErrorKind::Corrupt,
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => DatabaseErrorKind::Busy,
            (Some(ErrorCode::OperationInterrupted), _) => DatabaseErrorKind::Interrupted,
            _ => DatabaseErrorKind::Other,
        };
        Self { kind, source: Arc::new(error) }
    }
}

impl From<postgres::Error> for DatabaseError {
    fn from(error: postgres::Error) -> Self {
        let kind = match error.code() {
            Some(&SqlState::UNIQUE_VIOLATION) => DatabaseErrorKind::UniqueViolation,
            Some(&SqlState::DISK_FULL) => DatabaseErrorKind::Full,
            Some(&SqlState::OUT_OF_MEMORY) => DatabaseErrorKind::OutOfMemory,
            Some(&(SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED)) => DatabaseErrorKind::Corrupt,
            Some(&(SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED)) => DatabaseErrorKind::Busy,
            Some(&SqlState::QUERY_CANCELED) => DatabaseErrorKind::Interrupted,
            Some(
                &(SqlState::ADMIN_SHUTDOWN
                | SqlState::CRASH_SHUTDOWN
                | SqlState::CANNOT_CONNECT_NOW
                | SqlState::TOO_MANY_CONNECTIONS
                | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT),
            ) => DatabaseErrorKind::Unreachable,
            None if error.is_closed() || is_of_network(&error) => DatabaseErrorKind::Unreachable,
            _ => DatabaseErrorKind::Other,
        };
        // The client's own text is a category, such as `db error`.
        let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Self { kind, source: Arc::from(Box::<dyn Error + Send + Sync>::from(text)) }
    }
}

fn is_of_network(error: &postgres::Error) -> bool {
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn errors_of_sqlite_have_their_kind_and_their_text() {
        for (code, kind) in [
            (ffi::SQLITE_FULL, DatabaseErrorKind::Full),
            (ffi::SQLITE_NOMEM, DatabaseErrorKind::OutOfMemory),
            (ffi::SQLITE_CORRUPT, DatabaseErrorKind::Corrupt),
            (ffi::SQLITE_NOTADB, DatabaseErrorKind::Corrupt),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, DatabaseErrorKind::UniqueViolation),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, DatabaseErrorKind::UniqueViolation),
            (ffi::SQLITE_CONSTRAINT_CHECK, DatabaseErrorKind::Other),
            (ffi::SQLITE_BUSY, DatabaseErrorKind::Busy),
            (ffi::SQLITE_LOCKED, DatabaseErrorKind::Busy),
            (ffi::SQLITE_INTERRUPT, DatabaseErrorKind::Interrupted),
            (ffi::SQLITE_IOERR, DatabaseErrorKind::Other),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("its text".into()));
            let error = DatabaseError::from(error);
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, "its text"), "{code}");
        }
    }
}
