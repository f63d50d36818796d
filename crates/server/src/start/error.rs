//! Errors of a server's start, with what to do about them.

use cloudpc_model::{Error, Timestamp};
use cloudpc_store::StoreError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{DriverKind, YEAR_MAX};
use crate::edge::TlsError;

/// Why a server did not start. The messages are complete clauses without a final period.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host's clock is outside the range of certificates.
    #[error("invalid host clock: {now}; expected a year from 1970 to {}; set the clock and start again", YEAR_MAX)]
    Clock {
        /// The time of the host's clock.
        now: Timestamp,
    },
    /// The data directory cannot be used, e.g. because another server uses it.
    #[error("the data directory {path}: {source}{}", remedy(.source))]
    Store {
        /// Path of the data directory.
        path: PathBuf,
        /// The store's error.
        source: StoreError,
    },
    /// The configuration of the database is wrong.
    #[error("[store] {0}")]
    StoreUrl(String),
    /// The PostgreSQL database cannot be used.
    #[error("the PostgreSQL database: {source}{}", remedy(.source))]
    Postgres {
        /// The store's error.
        source: StoreError,
    },
    /// The data directory has a database, and the configuration names another.
    #[error(
        "{path} is a database of SQLite, and [store] url names another; choose another data directory with --data, or remove url"
    )]
    TwoDatabases {
        /// The file.
        path: PathBuf,
    },
    /// The data directory holds machines of another driver.
    #[error("the data directory {path} has {found} machines; start with --driver {}, or choose another data directory with --data", .found.option())]
    Driver {
        /// Path of the data directory.
        path: PathBuf,
        /// The driver of its machines.
        found: DriverKind,
    },
    /// A file of the data directory cannot be used.
    #[error("{path} cannot be used: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The certificate could not be created.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The listen address.
        address: SocketAddr,
        /// The I/O error.
        source: io::Error,
    },
    /// The database could not be read or initialized, or the scenario is invalid.
    #[error("{}", cause(.0))]
    Domain(#[from] Error),
}

/// Returns the full cause of an error, internal details included: the person who starts the service
/// may read them.
fn cause(error: &Error) -> String {
    match &error.source {
        Some(source) => format!("{source}{}", source.downcast_ref().map_or("", remedy)),
        None => error.message.clone(),
    }
}

/// Returns what to do about an error of the store, as the end of a sentence.
fn remedy(error: &StoreError) -> &'static str {
    error.remedy().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_error_has_its_cause_and_remedy() {
        let source = StoreError::Corrupt { table: "actions", what: "the word \"x\"".into() };
        let message = StartError::from(Error::from(source)).to_string();
        insta::assert_snapshot!(message, @r#"the database holds an impossible value in the table actions: the word "x"; it is damaged; restore the last backup"#);
        let message = StartError::from(Error::internal(io::Error::from(io::ErrorKind::OutOfMemory))).to_string();
        insta::assert_snapshot!(message, @"out of memory");
    }
}
