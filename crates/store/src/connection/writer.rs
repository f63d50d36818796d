//! The writer thread: everything queued goes into one transaction and one sync.

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::error::{DatabaseError, DatabaseErrorKind};
use super::jobs::{JobOutcome, WriteJob};
use super::sync::LogSync;
use super::{Shared, Tx, WRITE_BATCH_MAX, execute};
use crate::StoreError;
use crate::changes::NotedChanges;

/// Writes until the queue is closed and empty.
pub(super) fn run(
    mut connection: Connection,
    queue: &async_channel::Receiver<Box<dyn WriteJob>>,
    checkpointer: Checkpointer,
    shared: &Shared,
    mut log_sync: LogSync,
) {
    checkpointer.watch(&mut connection);
    while let Ok(first) = queue.recv_blocking() {
        // Other threads on this core run first, so that what they queue shares the sync.
        std::thread::yield_now();
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        let jobs = std::iter::once(first).chain(more).take(WRITE_BATCH_MAX).collect();
        write_batch(&connection, shared, &mut log_sync, jobs);
        checkpointer.finish_between_batches(&connection);
    }
    checkpointer.stop();
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        // The log stays and is read at the next start; nothing is lost.
        tracing::warn!(%error, "the last checkpoint failed");
    }
}

/// What the open transaction holds so far.
#[derive(Default)]
struct Batch {
    jobs: Vec<Box<dyn WriteJob>>,
    changes: NotedChanges,
    needs_sync: bool,
}

impl Batch {
    fn push(&mut self, job: Box<dyn WriteJob>, outcome: JobOutcome) {
        if let JobOutcome::Done(noted) = outcome {
            self.changes.append(noted);
            self.needs_sync |= job.needs_sync();
        }
        self.jobs.push(job);
    }

    /// Replies to the callers of jobs whose transaction is gone.
    fn lose(&mut self) {
        let lost = std::mem::take(self);
        lost.jobs.into_iter().for_each(|job| job.reply(Err(StoreError::NotCommitted(rolled_back()))));
    }
}

fn write_batch(connection: &Connection, shared: &Shared, log_sync: &mut LogSync, jobs: Vec<Box<dyn WriteJob>>) {
    if let Err(error) = log_sync.follow(connection) {
        tracing::error!(%error, "syncing the write-ahead log failed; retrying at the next write");
    }
    let Batch { jobs, changes, needs_sync } =
        run_together(connection, jobs).unwrap_or_else(|jobs| run_apart(connection, jobs));
    let mut committed =
        if connection.is_autocommit() { Err(rolled_back()) } else { commit(connection, shared, &changes) };
    if committed.is_ok() && needs_sync {
        committed = log_sync.sync_commit().map_err(sync_failed);
    }
    for job in jobs {
        job.reply(committed.clone().map_err(StoreError::NotCommitted));
    }
}

/// Runs jobs in one transaction without savepoints, for which SQLite would copy every page that a
/// job changes. If one fails after it has written something, nothing remains, and all jobs are
/// returned, to be run apart.
fn run_together(connection: &Connection, mut jobs: Vec<Box<dyn WriteJob>>) -> Result<Batch, Vec<Box<dyn WriteJob>>> {
    if execute(connection, "BEGIN IMMEDIATE").is_err() {
        return Err(jobs);
    }
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in &mut jobs {
        let outcome = job.run(Ok(connection));
        // SQLite ends the whole transaction by itself on some errors, such as a full disk.
        if connection.is_autocommit() || matches!(outcome, JobOutcome::FailedAfterWriting) {
            roll_back(connection);
            return Err(jobs);
        }
        outcomes.push(outcome);
    }
    let mut batch = Batch::default();
    jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| batch.push(job, outcome));
    Ok(batch)
}

/// Runs each job in a savepoint of its own, so that a failure loses its own writes only.
fn run_apart(connection: &Connection, jobs: Vec<Box<dyn WriteJob>>) -> Batch {
    let mut batch = Batch::default();
    for mut job in jobs {
        let begun = begin(connection, &mut batch).and_then(|()| execute(connection, "SAVEPOINT job"));
        let outcome = match begun {
            Ok(()) => run_in_savepoint(connection, &mut *job),
            Err(error) => job.run(Err(error.into())),
        };
        batch.push(job, outcome);
    }
    batch
}

/// Opens a transaction unless one is open. If SQLite has ended the one before, its jobs are lost;
/// later ones get a new transaction.
fn begin(connection: &Connection, batch: &mut Batch) -> rusqlite::Result<()> {
    if connection.is_autocommit() {
        batch.lose();
        execute(connection, "BEGIN IMMEDIATE")?;
    }
    Ok(())
}

fn run_in_savepoint(connection: &Connection, job: &mut dyn WriteJob) -> JobOutcome {
    let outcome = job.run(Ok(connection));
    let ended = match outcome {
        // Not if SQLite has rolled back everything by itself.
        _ if connection.is_autocommit() => Ok(()),
        JobOutcome::FailedAfterWriting => {
            execute(connection, "ROLLBACK TO job").and_then(|()| execute(connection, "RELEASE job"))
        }
        JobOutcome::Done(_) | JobOutcome::Failed => execute(connection, "RELEASE job"),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "ending a savepoint failed; rolling back the transaction");
        roll_back(connection);
    }
    outcome
}

/// Writes the changes into the feed as the last thing, commits, and tells those who wait for
/// changes.
fn commit(connection: &Connection, shared: &Shared, changes: &NotedChanges) -> Result<(), DatabaseError> {
    let flushed = Tx::new(connection, shared).changes_flush(changes, &shared.feed);
    let committed = flushed.map_err(feed_failed).and_then(|heads| {
        execute(connection, "COMMIT")?;
        Ok(heads)
    });
    match committed {
        Ok(heads) => shared.feed.signal(heads),
        Err(error) => {
            roll_back(connection);
            return Err(error);
        }
    }
    Ok(())
}

fn sync_failed(error: StoreError) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Other, format!("syncing the write-ahead log failed: {error}"))
}

fn feed_failed(error: StoreError) -> DatabaseError {
    match error {
        StoreError::Database(error) => error,
        other => DatabaseError::new(DatabaseErrorKind::Other, format!("writing the change feed failed: {other}")),
    }
}

fn roll_back(connection: &Connection) {
    // This fails only if SQLite has rolled back already.
    let _ = execute(connection, "ROLLBACK");
}

fn rolled_back() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Other, "another write of the same transaction failed")
}
