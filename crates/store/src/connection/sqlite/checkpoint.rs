//! Copies the write-ahead log into the database, off the reply path.
//!
//! A thread of its own copies the bulk while the writer goes on. The writer copies the short tail
//! that was written meanwhile, between two batches: SQLite restarts only a log that was copied to
//! its end, so without this the log would grow as long as writes arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::super::thread;
use crate::StoreError;

/// Length of the log, in pages of 4 KiB, from which it is copied: 64 MiB.
pub(in super::super) const LOG_PAGES: i32 = 16_000;

/// Longest wait of the writer for a lock of the database; only a checkpoint ever holds one.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);

/// The checkpoint thread, and the state that it shares with the writer.
pub(in super::super) struct Checkpointer {
    log_pages_max: i32,
    wake: async_channel::Sender<()>,
    log_pages: Arc<AtomicI32>,
    copied: Arc<AtomicBool>,
    /// Whether to empty the log between two batches.
    empty: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl Checkpointer {
    pub(in super::super) fn start(connection: Connection, log_pages_max: i32) -> Result<Self, StoreError> {
        let (wake, woken) = async_channel::bounded::<()>(1);
        let copied = Arc::new(AtomicBool::new(false));
        let handle = thread("store-checkpoint", {
            let copied = Arc::clone(&copied);
            move || {
                while woken.recv_blocking().is_ok() {
                    copy(&connection);
                    copied.store(true, Ordering::Release);
                }
            }
        })?;
        Ok(Self { log_pages_max, wake, log_pages: Arc::default(), copied, empty: Arc::default(), handle })
    }

    /// Returns the flag that requests emptying the log after the next batch.
    pub(in super::super) fn empty_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.empty)
    }

    /// Tracks the length of the log through the writer's connection.
    pub(in super::super) fn watch(&self, writer: &mut Connection) {
        let log_pages = Arc::clone(&self.log_pages);
        let watched = writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            log_pages.store(pages, Ordering::Relaxed);
            Ok(())
        }));
        if let Err(error) = watched {
            tracing::error!(%error, "tracking the length of the write-ahead log failed; it is emptied only at shutdown");
        }
    }

    /// Runs what is due between two batches, after all replies.
    pub(in super::super) fn finish_between_batches(&self, writer: &Connection) {
        // A reader that still needs the log postpones this until after the next batch.
        if self.empty.swap(false, Ordering::Acquire) && !empty(writer) {
            self.empty.store(true, Ordering::Release);
        }
        if self.copied.swap(false, Ordering::Acquire) {
            copy(writer);
            self.log_pages.store(0, Ordering::Relaxed);
        } else if self.log_pages.load(Ordering::Relaxed) >= self.log_pages_max {
            // A full queue means that the thread is awake.
            let _ = self.wake.try_send(());
        }
    }

    pub(in super::super) fn stop(self) {
        self.wake.close();
        if self.handle.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn copy(connection: &Connection) {
    // Passive: waits for nobody and stops at pages that a reader still needs; the next round
    // continues there.
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "checkpoint failed; retrying at the next one");
    }
}

/// Copies the whole log into the database and truncates it, without waiting for anyone; returns
/// false if a reader still needs it.
pub(in super::super) fn empty(writer: &Connection) -> bool {
    let truncated = writer.busy_timeout(Duration::ZERO).and_then(|()| {
        let busy: i64 = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        writer.busy_timeout(BUSY_TIME_MAX)?;
        Ok(busy == 0)
    });
    truncated.unwrap_or_else(|error| {
        tracing::warn!(%error, "emptying the write-ahead log failed; retrying after the next write");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::super::database::{Durability, open_for_checkpoints, open_for_reading, open_for_writing};
    use super::*;

    #[test]
    fn the_log_is_begun_anew_while_writes_go_on() {
        const LOG_PAGES: i32 = 50;
        const COMMITS_MAX: usize = 200_000;
        let directory = tempfile::tempdir().unwrap();
        let mut writer = open_for_writing(directory.path(), Durability::Process).unwrap();
        writer.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        let checkpointer = Checkpointer::start(open_for_checkpoints(directory.path()).unwrap(), LOG_PAGES).unwrap();
        checkpointer.watch(&mut writer);
        let reader = open_for_reading(directory.path()).unwrap();
        let put = "INSERT INTO settings (name, value) VALUES ('n', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
        let mut longest = 0;
        let begun_anew = (0..COMMITS_MAX).find(|number| {
            writer.execute(put, [number.to_string().as_bytes()]).unwrap();
            checkpointer.finish_between_batches(&writer);
            let read: Vec<u8> = reader.query_row("SELECT value FROM settings", [], |row| row.get(0)).unwrap();
            assert_eq!(read, number.to_string().as_bytes());
            let pages = checkpointer.log_pages.load(Ordering::Relaxed);
            longest = longest.max(pages);
            longest > LOG_PAGES && (1..LOG_PAGES).contains(&pages)
        });
        assert!(begun_anew.is_some(), "the log has grown to {longest} pages");
        checkpointer.stop();
    }
}
