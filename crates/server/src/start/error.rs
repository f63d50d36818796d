//! Why a server did not start, and what to do about it.

use cloudpc_model::{Error, Timestamp};
use cloudpc_store::StoreError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{DriverKind, YEAR_MAX};
use crate::edge::TlsError;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host's clock cannot be right.
    #[error("the host's clock shows {now}; years from 1970 to {} are allowed; set the clock and start again", YEAR_MAX)]
    Clock {
        /// What it shows.
        now: Timestamp,
    },
    /// The data directory cannot be used, e.g. because another server does.
    #[error("the data directory {path}: {source}{}", remedy(.source))]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The data directory belongs to machines of the other kind.
    #[error("the data directory {path} has {found} machines; serve it with --driver {}, or choose another one with --data", .found.option())]
    Driver {
        /// Which.
        path: PathBuf,
        /// Of which kind its machines are.
        found: DriverKind,
    },
    /// A file of the data directory cannot be used.
    #[error("{path} cannot be used: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Something that a first start makes could not be made, or the scenario is wrong.
    #[error("{}", cause(.0))]
    Domain(#[from] Error),
}

/// The cause of an error that a start met. It is told whole: whoever starts the service may read
/// what strangers may not.
fn cause(error: &Error) -> String {
    match &error.source {
        Some(source) => format!("{source}{}", source.downcast_ref().map_or("", remedy)),
        None => error.message.clone(),
    }
}

/// What to do about an error of the store, as the end of a sentence.
fn remedy(error: &StoreError) -> &'static str {
    error.remedy().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_start_tells_its_cause_and_what_to_do() {
        let source = StoreError::Corrupt { table: "actions", what: "the word \"x\"".into() };
        let told = StartError::from(Error::from(source)).to_string();
        insta::assert_snapshot!(told, @r#"the database holds an impossible value in the table actions: the word "x"; it is damaged; restore the last backup"#);
        let told = StartError::from(Error::internal(io::Error::from(io::ErrorKind::OutOfMemory))).to_string();
        insta::assert_snapshot!(told, @"out of memory");
    }
}
