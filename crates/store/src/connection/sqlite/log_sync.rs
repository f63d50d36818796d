//! The writer's side of deferred syncs: the mode of its connection, and the log file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::super::sync::SyncDeferral;
use super::database::DATABASE;
use crate::StoreError;

/// The writer's side: the mode of its connection, and the log file.
pub(in super::super) struct LogSync {
    deferral: Arc<SyncDeferral>,
    log: PathBuf,
    is_deferring: bool,
}

impl LogSync {
    /// Returns the side of a writer whose connection syncs every commit.
    pub(in super::super) fn new(directory: &Path, deferral: Arc<SyncDeferral>) -> Self {
        Self { deferral, log: directory.join(format!("{DATABASE}-wal")), is_deferring: false }
    }

    /// Switches the mode between two transactions, if it has changed.
    ///
    /// # Errors
    /// The disk fails, or the database; the mode stays.
    pub(in super::super) fn follow(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let defer = self.deferral.is_active();
        if defer != self.is_deferring {
            if !defer {
                self.sync()?;
            }
            // In write-ahead mode, NORMAL syncs at checkpoints alone.
            connection.execute_batch(if defer {
                "PRAGMA synchronous = NORMAL"
            } else {
                "PRAGMA synchronous = FULL"
            })?;
            self.is_deferring = defer;
        }
        Ok(())
    }

    /// Syncs a commit that was not synced by itself.
    ///
    /// # Errors
    /// The disk fails. The commit stays, and may not survive a power failure.
    pub(in super::super) fn sync_commit(&self) -> Result<(), StoreError> {
        if self.is_deferring { self.sync() } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(File::open(&self.log)?.sync_data()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::{Durability, open_for_writing};
    use super::*;
    use crate::{Store, WriteMode};

    #[test]
    fn the_writer_syncs_each_commit_unless_syncs_are_deferred() {
        const NORMAL: i64 = 1;
        const FULL: i64 = 2;
        let directory = tempfile::tempdir().unwrap();
        let connection = open_for_writing(directory.path(), Durability::Disk).unwrap();
        let deferral = Arc::new(SyncDeferral::default());
        let mut log_sync = LogSync::new(directory.path(), Arc::clone(&deferral));
        let mut mode = |deferrals: usize| -> i64 {
            deferral.set(deferrals);
            log_sync.follow(&connection).unwrap();
            connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
        };
        assert_eq!([0, 1, 2, 1, 0].map(&mut mode), [FULL, NORMAL, NORMAL, NORMAL, FULL]);
    }

    /// A log that cannot be synced is noticed by who is promised that, and by nobody else.
    #[tokio::test]
    async fn a_deferred_commit_is_not_synced_unless_it_holds_a_callers_write() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
        let background = store.in_background();
        let put = |store: &Store, name: &'static str| {
            let store = store.clone();
            async move { store.write("test.write", move |tx| tx.setting_put(name, b"1")).await }
        };
        let deferred = store.defer_sync();
        put(&background, "first").await.unwrap();
        let (log, hidden) = (directory.path().join("cloudpc.db-wal"), directory.path().join("hidden"));
        std::fs::rename(&log, &hidden).unwrap();
        put(&background, "background").await.unwrap();
        let failed = put(&store, "caller").await.unwrap_err();
        assert!(failed.to_string().contains("syncing the write-ahead log failed"), "{failed}");
        std::fs::rename(&hidden, &log).unwrap();
        put(&store, "caller").await.unwrap();
        std::fs::rename(&log, &hidden).unwrap();
        put(&background, "background").await.unwrap();
        std::fs::rename(&hidden, &log).unwrap();
        deferred.end().await.unwrap();
        // Every commit is synced by SQLite itself again.
        std::fs::rename(&log, &hidden).unwrap();
        put(&store, "caller").await.unwrap();
        std::fs::rename(&hidden, &log).unwrap();
    }
}
