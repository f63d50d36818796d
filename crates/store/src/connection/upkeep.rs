//! What the writer does for its database beside running closures: how a commit gets to the disk,
//! and what is due between two batches.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::session::Session;
use super::sqlite::checkpoint::{Checkpointer, LOG_PAGES};
use super::sqlite::{LogSync, SqliteSession, database};
use super::sync::SyncDeferral;
use crate::StoreError;

/// The upkeep of one writer.
pub(super) enum Upkeep {
    Sqlite { checkpointer: Checkpointer, log_sync: LogSync },
    Postgres { deferral: Arc<SyncDeferral> },
}

impl Upkeep {
    /// Returns the upkeep of a file, and the flag that requests emptying its log.
    pub(super) fn of_file(
        directory: &Path,
        writer: &mut SqliteSession,
        deferral: Arc<SyncDeferral>,
    ) -> Result<(Self, Arc<AtomicBool>), StoreError> {
        let checkpointer = Checkpointer::start(database::open_for_checkpoints(directory)?, LOG_PAGES)?;
        checkpointer.watch(&mut writer.connection);
        let empty_log = checkpointer.empty_flag();
        Ok((Self::Sqlite { checkpointer, log_sync: LogSync::new(directory, deferral) }, empty_log))
    }

    /// Has later commits synced, or no longer, as it is wanted by now.
    pub(super) fn follow(&mut self, session: &Session) -> Result<(), StoreError> {
        match (self, session) {
            (Self::Sqlite { log_sync, .. }, Session::Sqlite(session)) => log_sync.follow(&session.connection),
            (Self::Postgres { deferral }, Session::Postgres(session)) => session.defer_sync(deferral.is_active()),
            _ => Ok(()),
        }
    }

    /// Prepares the commit of a transaction with writes that were promised to survive a power
    /// failure, or without.
    pub(super) fn prepare_commit(&self, session: &Session, needs_sync: bool) -> Result<(), StoreError> {
        match session {
            Session::Postgres(session) if needs_sync => session.sync_commit(),
            _ => Ok(()),
        }
    }

    /// Syncs a commit that was not synced by itself.
    pub(super) fn sync_commit(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { log_sync, .. } => log_sync.sync_commit(),
            Self::Postgres { .. } => Ok(()),
        }
    }

    /// Does what is due between two batches, after all replies.
    pub(super) fn finish_between_batches(&self, session: &Session) {
        if let (Self::Sqlite { checkpointer, .. }, Session::Sqlite(session)) = (self, session) {
            checkpointer.finish_between_batches(&session.connection);
        }
    }

    /// Ends after the last batch.
    pub(super) fn stop(self, session: &Session) {
        let (Self::Sqlite { checkpointer, .. }, Session::Sqlite(session)) = (self, session) else { return };
        checkpointer.stop();
        if let Err(error) = session.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            // The log stays and is read at the next start; nothing is lost.
            tracing::warn!(%error, "the last checkpoint failed");
        }
    }
}
