//! The writer thread: everything queued goes into one transaction and one sync.

use super::error::{DatabaseError, DatabaseErrorKind};
use super::jobs::{JobOutcome, WriteJob};
use super::session::Session;
use super::upkeep::Upkeep;
use super::{Shared, Tx, WRITE_BATCH_MAX};
use crate::StoreError;
use crate::changes::NotedChanges;

/// Writes until the queue is closed and empty.
pub(super) fn run(
    session: Session,
    queue: &async_channel::Receiver<Box<dyn WriteJob>>,
    mut upkeep: Upkeep,
    shared: &Shared,
) {
    while let Ok(first) = queue.recv_blocking() {
        // Other threads on this core run first, so that what they queue shares the sync.
        std::thread::yield_now();
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        let jobs = std::iter::once(first).chain(more).take(WRITE_BATCH_MAX).collect();
        write_batch(&session, shared, &mut upkeep, jobs);
        upkeep.finish_between_batches(&session);
    }
    upkeep.stop(&session);
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

fn write_batch(session: &Session, shared: &Shared, upkeep: &mut Upkeep, jobs: Vec<Box<dyn WriteJob>>) {
    if let Err(error) = upkeep.follow(session) {
        tracing::error!(%error, "syncing the write-ahead log failed; retrying at the next write");
    }
    let Batch { jobs, changes, needs_sync } =
        run_together(session, jobs).unwrap_or_else(|jobs| run_apart(session, jobs));
    let mut committed = match session.has_lost_transaction() {
        true => Err(rolled_back()),
        false => commit(session, shared, upkeep, &changes, needs_sync),
    };
    if committed.is_ok() && needs_sync {
        committed = upkeep.sync_commit().map_err(sync_failed);
    }
    for job in jobs {
        job.reply(committed.clone().map_err(StoreError::NotCommitted));
    }
}

/// Runs jobs in one transaction without savepoints, for which SQLite would copy every page that a
/// job changes. If one fails after it has written something, nothing remains, and all jobs are
/// returned, to be run apart.
fn run_together(session: &Session, mut jobs: Vec<Box<dyn WriteJob>>) -> Result<Batch, Vec<Box<dyn WriteJob>>> {
    if session.begin_writing().is_err() {
        return Err(jobs);
    }
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in &mut jobs {
        let outcome = job.run(Ok(session));
        if session.has_lost_transaction() || matches!(outcome, JobOutcome::FailedAfterWriting) {
            session.roll_back();
            return Err(jobs);
        }
        outcomes.push(outcome);
    }
    let mut batch = Batch::default();
    jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| batch.push(job, outcome));
    Ok(batch)
}

/// Runs each job in a part of its own, so that a failure loses its own writes only.
fn run_apart(session: &Session, jobs: Vec<Box<dyn WriteJob>>) -> Batch {
    let mut batch = Batch::default();
    for mut job in jobs {
        let begun = begin(session, &mut batch).and_then(|()| session.begin_part());
        let outcome = match begun {
            Ok(()) => run_in_part(session, &mut *job),
            Err(error) => job.run(Err(error)),
        };
        batch.push(job, outcome);
    }
    batch
}

/// Opens a transaction unless one is open. If the database has ended the one before, its jobs are
/// lost; later ones get a new transaction.
fn begin(session: &Session, batch: &mut Batch) -> Result<(), StoreError> {
    if session.has_lost_transaction() {
        batch.lose();
        session.roll_back();
        session.begin_writing()?;
    }
    Ok(())
}

fn run_in_part(session: &Session, job: &mut dyn WriteJob) -> JobOutcome {
    let outcome = job.run(Ok(session));
    if let Err(error) = session.end_part(matches!(outcome, JobOutcome::Done(_))) {
        tracing::error!(%error, "ending a part of a transaction failed; rolling back all of it");
        session.roll_back();
    }
    outcome
}

/// Writes the change feed and commits, or rolls back and tells why.
fn commit(
    session: &Session,
    shared: &Shared,
    upkeep: &Upkeep,
    changes: &NotedChanges,
    needs_sync: bool,
) -> Result<(), DatabaseError> {
    let flushed = Tx::new(session, shared).changes_flush(changes, &shared.feed);
    let committed = flushed.and_then(|heads| {
        upkeep.prepare_commit(session, needs_sync)?;
        session.commit()?;
        Ok(heads)
    });
    match committed {
        Ok(heads) => shared.feed.signal(heads),
        Err(error) => {
            session.roll_back();
            return Err(commit_failed(error));
        }
    }
    Ok(())
}

fn sync_failed(error: StoreError) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Other, format!("syncing the write-ahead log failed: {error}"))
}

fn commit_failed(error: StoreError) -> DatabaseError {
    match error {
        StoreError::Database(error) => error,
        other => DatabaseError::new(DatabaseErrorKind::Other, other.to_string()),
    }
}

fn rolled_back() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Other, "another write of the same transaction failed")
}
