//! The store: what is durable, in SQL.
//!
//! Work is handed in as a closure: [`Store::read`] runs it on one of a few reader threads,
//! [`Store::write`] on the one writer, which takes whatever is queued into one transaction and one
//! sync and answers each caller after the commit. Methods are named noun first, one file per noun;
//! those of [`Reader`] look, those of [`Tx`] change. Every query names the tenant, and every page
//! is a range scan on a key.
//!
//! This crate refuses to know HTTP, OData and drivers, and decides nothing: which event may follow
//! is the model's business, when is the engine's.

mod actions;
mod apps;
mod audit;
mod catalog;
mod cloud_pcs;
mod connection;
mod counters;
mod deployments;
mod desktop_tickets;
mod device_codes;
mod documents;
mod health;
mod lists;
mod pages;
mod partners;
mod reports;
mod rows;
mod settings;
mod sign_in_counters;
mod snapshots;
mod undo;
mod users;
mod watermark;

pub use actions::{ActionFilter, NewAction, QueuePlace};
pub use apps::Application;
pub use audit::{AUDIT, audit_columns};
pub use catalog::ImageUses;
pub use cloud_pcs::{CLOUD_PCS, cloud_pc_columns};
pub use connection::{
    DatabaseError, DatabaseErrorKind, READERS, READERS_PER_CALLER_MAX, READS_PER_CALLER_MAX, ReadCaller, Reader,
    SCANNERS_MAX, Store, Tx, WRITE_BATCH_MAX, WRITE_QUEUE_MAX, WriteMode,
};
pub use deployments::{Deployment, DeploymentFilter};
pub use desktop_tickets::{DesktopKey, DesktopTicket, SecretHash};
pub use device_codes::{DeviceCode, DeviceCodeShare};
pub use documents::{DocumentConflict, DocumentIndex, DocumentName};
pub use health::HEALTH_EVENTS_MAX;
pub use lists::{
    KeyRanges, ListColumn, ListCondition, ListCount, ListOrder, ListPlan, ListPosition, ListRows, ListTable, ListValue,
};
pub use pages::{FinishedPage, PAGE_DEPLOYMENTS};
pub use reports::{Report, ReportType};
pub use sign_in_counters::{SIGN_IN_COUNTERS_MAX, SignInCounter};
pub use users::User;
pub use watermark::Watermark;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] DatabaseError),
    /// A row holds what no version of this program writes.
    #[error("the database holds something impossible in {table}: {what}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What.
        what: String,
    },
    /// Another claim owns the action now; the writer must stop quietly.
    #[error("another worker has taken the action over")]
    LeaseLost,
    /// The event does not fit the action's state.
    #[error(transparent)]
    IllegalEvent(#[from] cloudpc_model::IllegalEvent),
    /// The row is there already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// Another process has the data directory open.
    #[error("another process uses it; stop that one, or choose another directory")]
    InUse,
    /// The work did what it should, but the disk did not take it: nothing of it remains.
    #[error("the database could not commit: {0}")]
    NotCommitted(#[source] DatabaseError),
    /// A defect: the work panicked, and what it wrote was taken back.
    #[error("the work on the database panicked: {0}")]
    Panicked(String),
    /// The data directory cannot be used.
    #[error("it cannot be used: {0}")]
    Directory(#[from] std::io::Error),
    /// The database was written by a newer version of this program.
    #[error("the database has schema version {found}, this program knows {known}; use the newer program")]
    TooNew {
        /// In the file.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What the owner of the host can do about it, as the end of a sentence about the error.
    pub fn remedy(&self) -> Option<&'static str> {
        let kind = match self {
            Self::Database(error) | Self::NotCommitted(error) => error.kind(),
            Self::Corrupt { .. } => DatabaseErrorKind::Corrupt,
            _ => return None,
        };
        match kind {
            DatabaseErrorKind::Full => Some("; free space on the disk of the data directory, then start again"),
            DatabaseErrorKind::OutOfMemory => {
                Some("; give the process more memory (ulimit -v, the limit of its container), then start again")
            }
            DatabaseErrorKind::Corrupt => Some("; it is damaged; restore the last backup"),
            _ => None,
        }
    }

    /// What a caller is told if it is the disk or the hour, and not us: nothing has changed, and
    /// the same may work later.
    fn excuse(&self) -> Option<&'static str> {
        match self {
            Self::Closed => Some("The service is shutting down; try again later."),
            Self::Database(error) if error.kind() == DatabaseErrorKind::Full => {
                Some("The disk of the service is full, so nothing was changed; try again later.")
            }
            Self::NotCommitted(_) => {
                Some("The disk of the service did not take the change, so nothing was changed; try again later.")
            }
            _ => None,
        }
    }
}

/// So that work handed to the store can answer with the domain's own error; the cause goes to the
/// log.
impl From<StoreError> for cloudpc_model::Error {
    fn from(error: StoreError) -> Self {
        match error.excuse() {
            Some(excuse) => Self {
                kind: cloudpc_model::ErrorKind::Unavailable,
                code: "ServiceUnavailable",
                message: excuse.into(),
                source: Some(error.into()),
            },
            None => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DatabaseErrorKind::{Corrupt, Full, Other, OutOfMemory};
    use cloudpc_model::{Error, ErrorKind};

    fn failed(kind: DatabaseErrorKind) -> StoreError {
        StoreError::Database(DatabaseError::new(kind, "failed"))
    }

    fn not_committed(kind: DatabaseErrorKind) -> StoreError {
        StoreError::NotCommitted(DatabaseError::new(kind, "failed"))
    }

    #[test]
    fn the_owner_of_the_host_learns_what_to_do() {
        let remedy = |error: StoreError| error.remedy().unwrap_or_default();
        assert!(remedy(failed(Full)).contains("free space"));
        assert!(remedy(not_committed(Full)).contains("free space"));
        assert!(remedy(failed(OutOfMemory)).contains("memory"));
        assert!(remedy(failed(Corrupt)).contains("backup"));
        assert_eq!(StoreError::InUse.remedy(), None);
    }

    #[test]
    fn what_may_work_later_is_said_to() {
        let kind = |error: StoreError| Error::from(error).kind;
        assert_eq!(kind(StoreError::Closed), ErrorKind::Unavailable);
        assert_eq!(kind(failed(Full)), ErrorKind::Unavailable);
        assert_eq!(kind(not_committed(Other)), ErrorKind::Unavailable);
        assert_eq!(kind(failed(Other)), ErrorKind::Internal);
        assert_eq!(kind(StoreError::Panicked("no".into())), ErrorKind::Internal);
    }
}
