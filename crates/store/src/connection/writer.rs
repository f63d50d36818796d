//! The writer thread: everything queued goes into one transaction and one sync.

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::error::{DatabaseError, DatabaseErrorKind};
use super::jobs::{AdvanceJob, ClosureJob, JobEnd, Reply, WriteJob, is_guard};
use super::sync::LogSync;
use super::{Shared, Tx, WRITE_BATCH_MAX, execute};
use crate::StoreError;
use crate::changes::NotedChanges;

/// Writes until the queue is closed and empty.
pub(super) fn run(
    mut connection: Connection,
    queue: &async_channel::Receiver<WriteJob>,
    checkpointer: Checkpointer,
    shared: &Shared,
    mut log_sync: LogSync,
) {
    checkpointer.watch(&mut connection);
    while let Ok(first) = queue.recv_blocking() {
        // Other threads on this core run first, so that what they queue shares the sync.
        std::thread::yield_now();
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        write_batch(&connection, shared, &mut log_sync, std::iter::once(first).chain(more).take(WRITE_BATCH_MAX));
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
    replies: Vec<Reply>,
    changes: NotedChanges,
    needs_sync: bool,
}

impl Batch {
    fn push(&mut self, end: JobEnd) {
        if let Some(noted) = end.changes {
            self.changes.append(noted);
            self.needs_sync |= end.needs_sync;
        }
        self.replies.push(end.reply);
    }
}

fn write_batch(connection: &Connection, shared: &Shared, log_sync: &mut LogSync, jobs: impl Iterator<Item = WriteJob>) {
    if let Err(error) = log_sync.follow(connection) {
        tracing::error!(%error, "syncing the write-ahead log failed; retrying at the next write");
    }
    let mut batch = Batch::default();
    let mut jobs = jobs.peekable();
    while let Some(job) = jobs.next() {
        match job {
            WriteJob::Closure(job) => write_closure(connection, job, &mut batch),
            WriteJob::Advance(first) => {
                let mut run = vec![first];
                while let Some(WriteJob::Advance(next)) = jobs.next_if(|job| matches!(job, WriteJob::Advance(_))) {
                    run.push(next);
                }
                write_advances(connection, run, &mut batch);
            }
        }
    }
    let Batch { mut replies, changes, needs_sync } = batch;
    let mut committed =
        if connection.is_autocommit() { Err(rolled_back()) } else { commit(connection, shared, &changes) };
    if committed.is_ok() && needs_sync {
        committed = log_sync.sync_commit().map_err(sync_failed);
    }
    reply_all(&mut replies, &committed);
}

fn write_closure(connection: &Connection, job: ClosureJob, batch: &mut Batch) {
    match begin(connection, batch) {
        Err(error) => (job(Err(error.into())).reply)(Ok(())),
        // The first job needs no savepoint: a rollback loses nothing else.
        Ok(()) if batch.replies.is_empty() => batch.push(write_first(connection, job)),
        Ok(()) => batch.push(write_next(connection, job)),
    }
}

/// Stores a run of advances in one savepoint. If one of them fails after it may have written
/// something, each runs again in a savepoint of its own.
fn write_advances(connection: &Connection, jobs: Vec<AdvanceJob>, batch: &mut Batch) {
    let begun = begin(connection, batch).and_then(|()| execute(connection, "SAVEPOINT run"));
    let results = begun.map(|()| jobs.iter().map(|job| job.run(connection)).collect::<Vec<_>>());
    let is_sound = |result: &Result<_, StoreError>| result.as_ref().err().is_none_or(is_guard);
    match results {
        Ok(results) if results.iter().all(is_sound) && execute(connection, "RELEASE run").is_ok() => {
            jobs.into_iter().zip(results).for_each(|(job, result)| batch.push(job.end(result)));
        }
        _ => {
            if !connection.is_autocommit() {
                // This fails if there is no savepoint; then nothing was written.
                let _ = execute(connection, "ROLLBACK TO run").and_then(|()| execute(connection, "RELEASE run"));
            }
            jobs.into_iter().for_each(|job| write_closure(connection, job.into_closure(), batch));
        }
    }
}

/// Opens a transaction unless one is open. SQLite ends the whole transaction by itself on some
/// errors, such as a full disk. Earlier jobs are lost then; later ones get a new transaction.
fn begin(connection: &Connection, batch: &mut Batch) -> rusqlite::Result<()> {
    if connection.is_autocommit() {
        reply_all(&mut batch.replies, &Err(rolled_back()));
        batch.changes = NotedChanges::default();
        batch.needs_sync = false;
        execute(connection, "BEGIN IMMEDIATE")?;
    }
    Ok(())
}

fn write_first(connection: &Connection, job: ClosureJob) -> JobEnd {
    let end = job(Ok(connection));
    if end.changes.is_none() {
        roll_back(connection);
    }
    end
}

/// Runs one closure in a savepoint, so that a failure loses its own writes only.
fn write_next(connection: &Connection, job: ClosureJob) -> JobEnd {
    if let Err(error) = execute(connection, "SAVEPOINT job") {
        return job(Err(error.into()));
    }
    let end = job(Ok(connection));
    let ended = match end.changes.is_some() {
        true => execute(connection, "RELEASE job"),
        // Not if SQLite has rolled back everything by itself.
        false if connection.is_autocommit() => Ok(()),
        false => execute(connection, "ROLLBACK TO job").and_then(|()| execute(connection, "RELEASE job")),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "ending a savepoint failed; rolling back the transaction");
        roll_back(connection);
    }
    end
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

fn reply_all(replies: &mut Vec<Reply>, committed: &Result<(), DatabaseError>) {
    for reply in replies.drain(..) {
        reply(committed.clone().map_err(StoreError::NotCommitted));
    }
}

fn roll_back(connection: &Connection) {
    // This fails only if SQLite has rolled back already.
    let _ = execute(connection, "ROLLBACK");
}

fn rolled_back() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Other, "another write of the same transaction failed")
}
