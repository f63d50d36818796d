//! The writer thread: everything queued goes into one transaction and one sync.

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::error::{DatabaseError, DatabaseErrorKind};
use super::{Shared, Tx, WRITE_BATCH_MAX, execute};
use crate::StoreError;
use crate::changes::NotedChanges;

/// Runs a closure in the open transaction, or fails with the reason why there is none.
pub(super) type WriteJob = Box<dyn FnOnce(Result<&Connection, StoreError>) -> JobEnd + Send>;

/// How a closure has ended.
pub(super) struct JobEnd {
    /// The changes that it noted; none if it failed, so that its writes must be rolled back.
    pub(super) changes: Option<NotedChanges>,
    /// Replies to its caller once the transaction has ended.
    pub(super) reply: Reply,
}

/// Replies to a caller with the result of the commit, unless the closure itself failed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Writes until the queue is closed and empty.
pub(super) fn run(
    mut connection: Connection,
    queue: &async_channel::Receiver<WriteJob>,
    checkpointer: Checkpointer,
    shared: &Shared,
) {
    checkpointer.watch(&mut connection);
    while let Ok(first) = queue.recv_blocking() {
        // Other threads on this core run first, so that what they queue shares the sync.
        std::thread::yield_now();
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        write_batch(&connection, shared, std::iter::once(first).chain(more).take(WRITE_BATCH_MAX));
        checkpointer.finish_between_batches(&connection);
    }
    checkpointer.stop();
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        // The log stays and is read at the next start; nothing is lost.
        tracing::warn!(%error, "the last checkpoint failed");
    }
}

fn write_batch(connection: &Connection, shared: &Shared, jobs: impl Iterator<Item = WriteJob>) {
    let (mut replies, mut changes) = (Vec::new(), NotedChanges::default());
    for job in jobs {
        // SQLite ends the whole transaction by itself on some errors, such as a full disk. Earlier
        // closures are lost then; later ones get a new transaction.
        if connection.is_autocommit() {
            reply_all(&mut replies, &Err(rolled_back()));
            changes = NotedChanges::default();
            if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
                let end = job(Err(error.into()));
                (end.reply)(Ok(()));
                continue;
            }
        }
        // The first closure needs no savepoint: a rollback loses nothing else.
        let end = if replies.is_empty() { write_first(connection, job) } else { write_next(connection, job) };
        if let Some(noted) = end.changes {
            changes.append(noted);
        }
        replies.push(end.reply);
    }
    let committed = if connection.is_autocommit() { Err(rolled_back()) } else { commit(connection, shared, &changes) };
    reply_all(&mut replies, &committed);
}

fn write_first(connection: &Connection, job: WriteJob) -> JobEnd {
    let end = job(Ok(connection));
    if end.changes.is_none() {
        roll_back(connection);
    }
    end
}

/// Runs one closure in a savepoint, so that a failure loses its own writes only.
fn write_next(connection: &Connection, job: WriteJob) -> JobEnd {
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
