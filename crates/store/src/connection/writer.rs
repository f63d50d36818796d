//! The writer: whatever is queued goes into one transaction and one sync.

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::error::{DatabaseError, DatabaseErrorKind};
use super::{WRITE_BATCH_MAX, execute};
use crate::StoreError;

/// Runs a closure in the open transaction, or fails with why there is none. Says whether to keep
/// what it wrote, and how to answer its caller once the fate of the transaction is known.
pub(super) type WriteJob = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (bool, Reply) + Send>;
/// Answers a caller, who hears of a failed commit unless the closure itself failed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Writes until the queue is closed and empty.
pub(super) fn run(mut connection: Connection, queue: &async_channel::Receiver<WriteJob>, checkpointer: Checkpointer) {
    checkpointer.watch(&mut connection);
    while let Ok(first) = queue.recv_blocking() {
        // Whoever waits for this core is let through, for what they queue is synced with the first.
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
    let mut answers = Vec::new();
    for job in jobs {
        // SQLite ends the whole transaction by itself on some errors, e.g. a full disk. What ran
        // before is lost then; what comes gets a new one.
        if connection.is_autocommit() {
            answer_all(&mut answers, &Err(rolled_back()));
            if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
                let (_, answer) = job(Err(error.into()));
                answer(Ok(()));
                continue;
            }
        }
        // The first of a transaction needs no savepoint: nothing else would go with it.
        let answer = if answers.is_empty() { write_first(connection, job) } else { write_next(connection, job) };
        answers.push(answer);
    }
    let committed = if connection.is_autocommit() { Err(rolled_back()) } else { commit(connection) };
    answer_all(&mut answers, &committed);
}

fn write_first(connection: &Connection, job: WriteJob) -> Reply {
    let (keep, answer) = job(Ok(connection));
    if !keep {
        roll_back(connection);
    }
    answer
}

/// Runs one job in a savepoint, so that if it fails only its own writes go.
fn write_next(connection: &Connection, job: WriteJob) -> Reply {
    if let Err(error) = execute(connection, "SAVEPOINT job") {
        return job(Err(error.into())).1;
    }
    let (keep, answer) = job(Ok(connection));
    let ended = match keep {
        true => execute(connection, "RELEASE job"),
        // Not if SQLite has taken back everything already.
        false if connection.is_autocommit() => Ok(()),
        false => execute(connection, "ROLLBACK TO job").and_then(|()| execute(connection, "RELEASE job")),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "a savepoint could not be ended; the transaction is rolled back");
        roll_back(connection);
    }
    answer
}

fn commit(connection: &Connection) -> Result<(), DatabaseError> {
    execute(connection, "COMMIT").map_err(|error| {
        roll_back(connection);
        error.into()
    })
}

fn answer_all(answers: &mut Vec<Reply>, committed: &Result<(), DatabaseError>) {
    for answer in answers.drain(..) {
        answer(committed.clone().map_err(StoreError::NotCommitted));
    }
}

fn roll_back(connection: &Connection) {
    // It fails only when SQLite has rolled back already.
    let _ = execute(connection, "ROLLBACK");
}

fn rolled_back() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Other, "another write of the same transaction failed")
}
