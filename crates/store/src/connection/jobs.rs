//! The jobs of the writer, and how a job or a read runs on a connection.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::damage::Damage;
use super::{Effect, OpenJob, Reader, Shared, Tx, execute};
use crate::StoreError;
use crate::changes::NotedChanges;

/// A job of the writer.
pub(super) trait WriteJob: Send {
    /// Runs in the open transaction, or fails with the reason why there is none. It may run again;
    /// the last run counts.
    fn run(&mut self, connection: Result<&Connection, StoreError>) -> JobOutcome;

    /// Whether the caller was promised that its writes survive a power failure.
    fn needs_sync(&self) -> bool;

    /// Replies to the caller with the result of the commit, unless the job itself failed.
    fn reply(self: Box<Self>, commit: Result<(), StoreError>);
}

/// How a run of a job has ended.
pub(super) enum JobOutcome {
    /// With these changes noted.
    Done(NotedChanges),
    /// Without having written anything.
    Failed,
    /// Its writes must be rolled back.
    FailedAfterWriting,
}

/// What every job carries to the writer.
pub(super) struct WriteContext {
    pub shared: Shared,
    /// Counts the job until its result has been sent.
    pub open_job: OpenJob,
    /// See [`Store::in_background`](super::Store::in_background).
    pub is_background: bool,
}

/// A closure with the way back to its caller.
pub(super) struct ClosureJob<T, E, F> {
    pub context: WriteContext,
    pub name: &'static str,
    pub work: F,
    pub answer: oneshot::Sender<Result<T, E>>,
    /// The result of the last run.
    pub result: Option<Result<Finished<T>, E>>,
}

/// What a closure returned, and what it leaves to do after the commit.
pub(super) struct Finished<T> {
    value: T,
    effects: Vec<Effect>,
    has_changed: bool,
}

impl<T, E, F> WriteJob for ClosureJob<T, E, F>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn run(&mut self, connection: Result<&Connection, StoreError>) -> JobOutcome {
        let Self { context, name, work, .. } = &*self;
        let connection = match context.shared.damage.watch(connection) {
            Ok(connection) => connection,
            Err(error) => {
                self.result = Some(Err(error.into()));
                return JobOutcome::Failed;
            }
        };
        let changes_before = connection.total_changes();
        let written = run_write(connection, &context.shared, name, work);
        let has_changed = connection.total_changes() != changes_before;
        let (result, outcome) = match written {
            Ok(Written { value, effects, changes }) => {
                (Ok(Finished { value, effects, has_changed }), JobOutcome::Done(changes))
            }
            Err(error) if has_changed => (Err(error), JobOutcome::FailedAfterWriting),
            Err(error) => (Err(error), JobOutcome::Failed),
        };
        self.result = Some(result);
        outcome
    }

    fn needs_sync(&self) -> bool {
        !self.context.is_background
    }

    fn reply(self: Box<Self>, commit: Result<(), StoreError>) {
        let Self { context: WriteContext { shared, open_job, .. }, name, answer, result, .. } = *self;
        let result = result.unwrap_or_else(|| Err(StoreError::Closed.into()));
        let result = result.and_then(|Finished { value, effects, has_changed }| {
            shared.damage.watch(commit).map_err(E::from)?;
            // A transaction without changes needs no disk.
            if has_changed {
                shared.damage.note_change();
            }
            run_effects(name, effects);
            Ok(value)
        });
        // The caller may be gone; then nobody needs the result.
        let _ = answer.send(result);
        drop(open_job);
    }
}

pub(super) fn run_read<T, E: From<StoreError>>(
    connection: &Connection,
    damage: &Damage,
    work: impl FnOnce(&Reader<'_>) -> Result<T, E>,
) -> Result<T, E> {
    execute(connection, "BEGIN").map_err(StoreError::from)?;
    let result = guarded("read", || work(&Reader { connection, damage }));
    execute(connection, "COMMIT").map_err(StoreError::from)?;
    result
}

/// What a closure leaves to do after its writes.
pub(super) struct Written<T> {
    value: T,
    effects: Vec<Effect>,
    changes: NotedChanges,
}

fn run_write<T, E: From<StoreError>>(
    connection: &Connection,
    shared: &Shared,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<Written<T>, E> {
    let _span = tracing::debug_span!("transaction", name).entered();
    guarded(name, || {
        let mut tx = Tx::new(connection, shared);
        let value = work(&mut tx)?;
        Ok(Written { value, effects: tx.effects, changes: tx.changes })
    })
}

/// Runs one closure in a transaction of its own. The effects run without the connection, so that
/// they may use the store.
pub(super) fn run_alone<T, E: From<StoreError>>(
    connection: MutexGuard<'_, Connection>,
    shared: &Shared,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    execute(&connection, "BEGIN IMMEDIATE").map_err(StoreError::from)?;
    let result = run_write(&connection, shared, name, work).and_then(|written| {
        let heads = Tx::new(&connection, shared).changes_flush(&written.changes, &shared.feed)?;
        execute(&connection, "COMMIT").map_err(|error| StoreError::NotCommitted(error.into()))?;
        shared.feed.signal(heads);
        Ok((written.value, written.effects))
    });
    if !connection.is_autocommit() {
        execute(&connection, "ROLLBACK").map_err(StoreError::from)?;
    }
    drop(connection);
    let (value, effects) = result?;
    run_effects(name, effects);
    Ok(value)
}

/// Runs one closure and rolls back what it wrote, whatever it returns.
pub(super) fn run_and_forget<T, E: From<StoreError>>(
    connection: &Connection,
    shared: &Shared,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    drop(run_write(connection, shared, name, work));
    // SQLite rolls back by itself when the disk is full.
    if !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    Ok(())
}

/// Runs the effects of a committed transaction. A panic in one fails neither the caller, whose work
/// is committed, nor the other effects.
fn run_effects(name: &'static str, effects: Vec<Effect>) {
    for effect in effects {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(effect)) {
            let message = panic_message(&*panic);
            tracing::error!(transaction = name, message, "an effect of a committed transaction panicked");
        }
    }
}

/// A panic in a closure fails its call. The closure is dropped and its writes are rolled back, so
/// nothing half-done is visible.
fn guarded<T, E: From<StoreError>>(name: &'static str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        tracing::error!(transaction = name, message, "a transaction panicked");
        Err(StoreError::Panicked(message.to_owned()).into())
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    panic.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("no message")
}
