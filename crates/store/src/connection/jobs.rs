//! The jobs of the writer, and how a job or a read runs on a connection.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::damage::Damage;
use super::{Effect, OpenJob, Reader, Shared, Tx, execute};
use crate::changes::NotedChanges;
use crate::{Advance, StoreError};

/// The name of the transactions that advance actions.
pub(super) const ADVANCE: &str = "action.advance";

/// A job of the writer.
pub(super) enum WriteJob {
    Closure(ClosureJob),
    Advance(AdvanceJob),
}

/// Runs a closure in the open transaction, or fails with the reason why there is none.
pub(super) type ClosureJob = Box<dyn FnOnce(Result<&Connection, StoreError>) -> JobEnd + Send>;

/// How a job has ended.
pub(super) struct JobEnd {
    /// The changes that it noted; none if it failed, so that its writes must be rolled back.
    pub(super) changes: Option<NotedChanges>,
    /// Replies to its caller once the transaction has ended.
    pub(super) reply: Reply,
    /// Whether the caller was promised that its writes survive a power failure.
    pub(super) needs_sync: bool,
}

/// Replies to a caller with the result of the commit, unless the job itself failed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What every job carries to the writer.
pub(super) struct WriteContext {
    pub shared: Shared,
    /// Counts the job until its result has been sent.
    pub open_job: OpenJob,
    /// See [`Store::in_background`](super::Store::in_background).
    pub is_background: bool,
}

/// An advance of an action. Unlike a closure, it runs without a savepoint of its own.
pub(super) struct AdvanceJob {
    pub advance: Advance,
    pub context: WriteContext,
    pub answer: oneshot::Sender<Result<(), StoreError>>,
}

impl AdvanceJob {
    /// Stores the advance in the open transaction.
    pub(super) fn run(&self, connection: &Connection) -> Result<Written<()>, StoreError> {
        let work = |tx: &mut Tx<'_>| tx.action_advance(&self.advance);
        run_write(connection, &self.context.shared, ADVANCE, work)
    }

    /// Ends the job with the result of [`AdvanceJob::run`].
    pub(super) fn end(self, result: Result<Written<()>, StoreError>) -> JobEnd {
        end(self.context, ADVANCE, result, self.answer, true)
    }

    /// Returns the same advance as a closure, which runs in a savepoint of its own.
    pub(super) fn into_closure(self) -> ClosureJob {
        let Self { advance, context, answer } = self;
        closure(context, ADVANCE, move |tx: &mut Tx<'_>| tx.action_advance(&advance), answer)
    }
}

/// Whether an advance that failed so has written nothing.
pub(super) fn is_guard(error: &StoreError) -> bool {
    matches!(error, StoreError::LeaseLost | StoreError::Overtaken)
}

/// Returns the job that runs `work` and sends its result to `answer`.
pub(super) fn closure<T, E, F>(
    context: WriteContext,
    name: &'static str,
    work: F,
    answer: oneshot::Sender<Result<T, E>>,
) -> ClosureJob
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |connection| {
        let connection = context.shared.damage.watch(connection).map_err(E::from);
        let open = connection.as_ref().ok().copied();
        let changes_before = open.map(Connection::total_changes);
        let result = connection.and_then(|connection| run_write(connection, &context.shared, name, &work));
        let has_changed = open.map(Connection::total_changes) != changes_before;
        end(context, name, result, answer, has_changed)
    })
}

fn end<T, E>(
    context: WriteContext,
    name: &'static str,
    result: Result<Written<T>, E>,
    answer: oneshot::Sender<Result<T, E>>,
    has_changed: bool,
) -> JobEnd
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (result, changes) = match result {
        Ok(Written { value, effects, changes }) => (Ok((value, effects)), Some(changes)),
        Err(error) => (Err(error), None),
    };
    let needs_sync = !context.is_background;
    let reply: Reply = Box::new(move |commit| {
        let WriteContext { shared, open_job, .. } = context;
        let result = result.and_then(|(value, effects)| {
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
    });
    JobEnd { changes, reply, needs_sync }
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
