//! The store: all durable data, in SQL.
//!
//! Callers pass a closure: [`Store::read`] runs it on one of a few reader threads, [`Store::write`]
//! on the one writer, which runs everything queued in one transaction with one sync and replies to
//! each caller after the commit. Methods are named noun first, one file per noun; those of
//! [`Reader`] read, those of [`Tx`] write. Every query names the tenant, and every page is a range
//! scan on a key.
//!
//! This crate refuses to know HTTP, OData and drivers, and decides nothing: the model says which
//! event may follow, the engine says when.

mod accepted_requests;
mod actions;
mod alerts;
mod apps;
mod audit;
mod authorization_codes;
mod bulk_actions;
mod catalog;
mod changes;
mod cloud_pcs;
mod connection;
mod counters;
mod deployments;
mod desktop_tickets;
mod device_codes;
mod documents;
mod entitlements;
mod export_jobs;
mod frontline;
mod groups;
mod health;
mod licenses;
mod lists;
mod pages;
mod partners;
mod policy_schedules;
mod provisioning_queue;
mod remote_sessions;
mod reports;
mod restore_points;
mod reviews;
mod rollouts;
mod rows;
mod settings;
mod shared_assignments;
mod sign_in_counters;
mod snapshots;
#[cfg(feature = "testing")]
pub mod testing;
mod undo;
mod users;
mod watermark;
mod webhooks;
mod workers;

pub use accepted_requests::{ACCEPTED_REQUEST_WINDOW, ACCEPTED_REQUESTS_PER_CALLER_MAX, AcceptedRequest};
pub use actions::{ActionFilter, ActionPlace, Advance, NewAction, QueuePlace};
pub use apps::Application;
pub use audit::{AUDIT, audit_columns};
pub use authorization_codes::AuthorizationCode;
pub use bulk_actions::{BULK_ACTIONS, BulkItemChange, bulk_action_columns};
pub use catalog::ImageUses;
pub use changes::{FeedEntry, FeedPosition, InvalidFeedPosition, ResyncRequired};
pub use cloud_pcs::{CLOUD_PCS, cloud_pc_columns};
pub use connection::{
    DatabaseError, DatabaseErrorKind, DeferredSync, OpenJobs, PostgresUrl, READERS, READERS_PER_CALLER_MAX,
    READS_PER_CALLER_MAX, ReadCaller, Reader, SCANNERS_MAX, SQLITE_FILE, Store, Tx, WRITE_BATCH_MAX, WRITE_QUEUE_MAX,
    WriteMode,
};
pub use deployments::{DEPLOYMENTS, Deployment, DeploymentFilter, deployment_columns};
pub use desktop_tickets::{DesktopKey, DesktopTicket, SecretHash};
pub use device_codes::{DeviceCode, DeviceCodeShare};
pub use documents::{DocumentConflict, DocumentIndex, DocumentName};
pub use entitlements::Entitlement;
pub use export_jobs::{ExportFile, PendingExport};
pub use frontline::FrontlineActivation;
pub use groups::{GROUPS, Group, group_columns};
pub use health::HEALTH_EVENTS_MAX;
pub use licenses::{LicenseHolder, NoUnitsLeft, Subscription, UserLicense};
pub use lists::{
    KeyRanges, ListColumn, ListCondition, ListCount, ListOrder, ListPlan, ListPosition, ListRows, ListTable, ListTop,
    ListValue,
};
pub use pages::{FinishedPage, PAGE_DEPLOYMENTS};
pub use policy_schedules::PolicySchedule;
pub use provisioning_queue::QueuedUser;
pub use remote_sessions::REMOTE_SESSIONS_MAX;
pub use reports::{Report, ReportType};
pub use rollouts::{PolicyValues, RolloutCloudPc};
pub use shared_assignments::QueuedAssignment;
pub use sign_in_counters::{SIGN_IN_COUNTERS_MAX, SignInCounter};
pub use snapshots::{SNAPSHOTS, snapshot_columns};
pub use users::{USERS, User, UserProfile, user_columns};
pub use watermark::Watermark;
pub use webhooks::WebhookDelivery;
pub use workers::WorkerId;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] DatabaseError),
    /// A row holds what no version of this program writes.
    #[error("the database holds an impossible value in the table {table}: {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The impossible value.
        what: String,
    },
    /// Another claim owns the action now; the worker must stop quietly.
    #[error("another worker has taken the action over")]
    LeaseLost,
    /// The log of the action has grown since the worker read it, for example by a cancel request;
    /// the worker must read the action again.
    #[error("the action was changed meanwhile")]
    Overtaken,
    /// The event does not fit the action's state.
    #[error(transparent)]
    IllegalEvent(#[from] cloudpc_model::IllegalEvent),
    /// The row exists.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// Another process has the data directory open.
    #[error("another process uses it; stop that one, or choose another directory")]
    InUse,
    /// The closure succeeded but its transaction was not committed: none of its writes remain.
    #[error("the database could not commit: {0}")]
    NotCommitted(#[source] DatabaseError),
    /// The closure panicked, which is a defect; its writes were rolled back.
    #[error("a database transaction panicked: {0}")]
    Panicked(String),
    /// The data directory cannot be used.
    #[error("it cannot be used: {0}")]
    Directory(#[from] std::io::Error),
    /// The database was written by a newer version of this program.
    #[error("the database has schema version {found}, this program knows {known}; use the newer program")]
    TooNew {
        /// Schema version of the database.
        found: i64,
        /// Newest schema version that this program knows.
        known: i64,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What the owner of the host can do about the error, as the end of a sentence.
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

    /// Whether the disk took no change, for example because it is full. The store logs when that
    /// begins and when it ends, so its callers need not.
    pub fn is_disk_refusal(&self) -> bool {
        match self {
            Self::Database(error) => error.kind() == DatabaseErrorKind::Full,
            Self::NotCommitted(error) => error.kind() != DatabaseErrorKind::Unreachable,
            _ => false,
        }
    }

    /// The message to a caller whose request failed because of the disk or a shutdown, and not
    /// because of a defect: nothing has changed, and a retry may succeed.
    fn explanation(&self) -> Option<&'static str> {
        match self {
            Self::Closed => Some("The service is shutting down; try again later."),
            Self::Database(error) if error.kind() == DatabaseErrorKind::Full => {
                Some("The disk of the service is full, so nothing was changed; try again later.")
            }
            Self::Database(error) | Self::NotCommitted(error) if error.kind() == DatabaseErrorKind::Unreachable => {
                Some("The database of the service cannot be reached; try again later.")
            }
            Self::NotCommitted(_) => {
                Some("The disk of the service did not take the change, so nothing was changed; try again later.")
            }
            _ => None,
        }
    }
}

/// Lets closures return errors of the domain. The cause goes to the log.
impl From<StoreError> for cloudpc_model::Error {
    fn from(error: StoreError) -> Self {
        match error.explanation() {
            Some(explanation) => Self {
                kind: cloudpc_model::ErrorKind::Unavailable,
                code: "ServiceUnavailable",
                message: explanation.into(),
                source: Some(error.into()),
            },
            None => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DatabaseErrorKind::{Corrupt, Full, Other, OutOfMemory, Unreachable};
    use cloudpc_model::{Error, ErrorKind};

    fn failed(kind: DatabaseErrorKind) -> StoreError {
        StoreError::Database(DatabaseError::new(kind, "failed"))
    }

    fn not_committed(kind: DatabaseErrorKind) -> StoreError {
        StoreError::NotCommitted(DatabaseError::new(kind, "failed"))
    }

    #[test]
    fn errors_tell_the_owner_of_the_host_what_to_do() {
        let remedy = |error: StoreError| error.remedy().unwrap_or_default();
        assert!(remedy(failed(Full)).contains("free space"));
        assert!(remedy(not_committed(Full)).contains("free space"));
        assert!(remedy(failed(OutOfMemory)).contains("memory"));
        assert!(remedy(failed(Corrupt)).contains("backup"));
        assert_eq!(StoreError::InUse.remedy(), None);
    }

    #[test]
    fn errors_that_a_retry_may_solve_are_unavailable() {
        let kind = |error: StoreError| Error::from(error).kind;
        assert_eq!(kind(StoreError::Closed), ErrorKind::Unavailable);
        assert_eq!(kind(failed(Full)), ErrorKind::Unavailable);
        assert_eq!(kind(failed(Unreachable)), ErrorKind::Unavailable);
        assert_eq!(kind(not_committed(Other)), ErrorKind::Unavailable);
        assert_eq!(kind(failed(Other)), ErrorKind::Internal);
        assert_eq!(kind(StoreError::Panicked("no".into())), ErrorKind::Internal);
    }
}
