//! When commits are synced: at once, before their replies, unless syncs are deferred.
//!
//! While syncs are deferred, a commit that holds nothing but background writes is not synced. A
//! commit with another write syncs the log, and with it all commits before.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

use super::Store;
use super::database::DATABASE;
use crate::StoreError;

/// How many defer syncs now.
#[derive(Debug, Default)]
pub(super) struct SyncDeferral(AtomicUsize);

impl SyncDeferral {
    fn is_active(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Defers syncs until it ends or is dropped. What was deferred is synced by the next write after
/// that at the latest.
#[must_use]
pub struct DeferredSync(Store);

impl DeferredSync {
    /// Ends the deferral. Returns after everything committed before is on disk.
    ///
    /// # Errors
    /// The store is closed or the disk fails.
    pub async fn end(self) -> Result<(), StoreError> {
        let store = self.0.clone();
        drop(self);
        // Wakes the writer.
        store.write("log.sync", |_| Ok(())).await
    }
}

impl Drop for DeferredSync {
    fn drop(&mut self) {
        self.0.shared.deferral.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Store {
    /// Returns the same store, whose writes are background writes: nobody was promised that they
    /// survive a power failure.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { is_background: true, ..self.clone() }
    }

    /// Defers the syncs of commits with background writes alone. A power failure meanwhile undoes
    /// the latest of them, but none from before a commit that was synced. Stores that run inline
    /// never sync.
    pub fn defer_sync(&self) -> DeferredSync {
        self.shared.deferral.0.fetch_add(1, Ordering::AcqRel);
        DeferredSync(Self { is_background: false, ..self.clone() })
    }
}

/// The writer's side: the mode of its connection, and the log file.
pub(super) struct LogSync {
    deferral: Arc<SyncDeferral>,
    log: PathBuf,
    is_deferring: bool,
}

impl LogSync {
    /// Returns the side of a writer whose connection syncs every commit.
    pub(super) fn new(directory: &Path, deferral: Arc<SyncDeferral>) -> Self {
        Self { deferral, log: directory.join(format!("{DATABASE}-wal")), is_deferring: false }
    }

    /// Switches the mode between two transactions, if it has changed.
    ///
    /// # Errors
    /// The disk fails, or the database; the mode stays.
    pub(super) fn follow(&mut self, connection: &Connection) -> Result<(), StoreError> {
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
    pub(super) fn sync_commit(&self) -> Result<(), StoreError> {
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
    use crate::WriteMode;

    #[test]
    fn the_writer_syncs_each_commit_unless_syncs_are_deferred() {
        const NORMAL: i64 = 1;
        const FULL: i64 = 2;
        let directory = tempfile::tempdir().unwrap();
        let connection = open_for_writing(directory.path(), Durability::Disk).unwrap();
        let deferral = Arc::new(SyncDeferral::default());
        let mut log_sync = LogSync::new(directory.path(), Arc::clone(&deferral));
        let mut mode = |deferrals: usize| -> i64 {
            deferral.0.store(deferrals, Ordering::Release);
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
