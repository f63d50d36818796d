//! The writer thread: everything queued goes into one transaction and one sync.

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::error::{DatabaseError, DatabaseErrorKind};
use super::{WRITE_BATCH_MAX, execute};
use crate::StoreError;

/// Runs a closure in the open transaction, or fails with the reason why there is none. Returns
/// whether to keep its writes, and how to reply to its caller once the transaction has ended.
pub(super) type WriteJob = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (bool, Reply) + Send>;
/// Replies to a caller with the result of the commit, unless the closure itself failed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Writes until the queue is closed and empty.
pub(super) fn run(mut connection: Connection, queue: &async_channel::Receiver<WriteJob>, checkpointer: Checkpointer) {
    checkpointer.watch(&mut connection);
    while let Ok(first) = queue.recv_blocking() {
        // Other threads on this core run first, so that what they queue shares the sync.
        std::thread::yield_now();
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        write_batch(&connection, std::iter::once(first).chain(more).take(WRITE_BATCH_MAX));
        checkpointer.finish_between_batches(&connection);
    }
    checkpointer.stop();
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        // The log stays and is read at the next start; nothing is lost.
        tracing::warn!(%error, "the last checkpoint failed");
    }
}

fn write_batch(connection: &Connection, jobs: impl Iterator<Item = WriteJob>) {
    let mut replies = Vec::new();
    for job in jobs {
        // SQLite ends the whole transaction by itself on some errors, such as a full disk. Earlier
        // closures are lost then; later ones get a new transaction.
        if connection.is_autocommit() {
            reply_all(&mut replies, &Err(rolled_back()));
            if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
                let (_, reply) = job(Err(error.into()));
                reply(Ok(()));
                continue;
            }
        }
        // The first closure needs no savepoint: a rollback loses nothing else.
        let reply = if replies.is_empty() { write_first(connection, job) } else { write_next(connection, job) };
        replies.push(reply);
    }
    let committed = if connection.is_autocommit() { Err(rolled_back()) } else { commit(connection) };
    reply_all(&mut replies, &committed);
}

fn write_first(connection: &Connection, job: WriteJob) -> Reply {
    let (keep, reply) = job(Ok(connection));
    if !keep {
        roll_back(connection);
    }
    reply
}

/// Runs one closure in a savepoint, so that a failure loses its own writes only.
fn write_next(connection: &Connection, job: WriteJob) -> Reply {
    if let Err(error) = execute(connection, "SAVEPOINT job") {
        return job(Err(error.into())).1;
    }
    let (keep, reply) = job(Ok(connection));
    let ended = match keep {
        true => execute(connection, "RELEASE job"),
        // Not if SQLite has rolled back everything by itself.
        false if connection.is_autocommit() => Ok(()),
        false => execute(connection, "ROLLBACK TO job").and_then(|()| execute(connection, "RELEASE job")),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "ending a savepoint failed; rolling back the transaction");
        roll_back(connection);
    }
    reply
}

fn commit(connection: &Connection) -> Result<(), DatabaseError> {
    execute(connection, "COMMIT").map_err(|error| {
        roll_back(connection);
        error.into()
    })
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
