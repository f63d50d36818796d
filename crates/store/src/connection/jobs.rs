//! The jobs of the writer, and how a job or a read runs on a connection.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::damage::Damage;
use super::session::Session;
use super::{Effect, OpenJob, Reader, Shared, Tx};
use crate::StoreError;
use crate::changes::NotedChanges;

/// A job of the writer.
pub(super) trait WriteJob: Send {
    /// Runs in the open transaction, or fails with the reason why there is none. It may run again;
    /// the last run counts.
    fn run(&mut self, session: Result<&Session, StoreError>) -> JobOutcome;

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
    fn run(&mut self, session: Result<&Session, StoreError>) -> JobOutcome {
        let Self { context, name, work, .. } = &*self;
        let session = match context.shared.damage.watch(session) {
            Ok(session) => session,
            Err(error) => {
                self.result = Some(Err(error.into()));
                return JobOutcome::Failed;
            }
        };
        let changed_before = session.rows_changed();
        let written = run_write(session, &context.shared, name, work);
        let has_changed = session.rows_changed() != changed_before;
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
    session: &Session,
    damage: &Damage,
    work: impl FnOnce(&Reader<'_>) -> Result<T, E>,
) -> Result<T, E> {
    session.begin_reading()?;
    let result = guarded("read", || work(&Reader { session, damage }));
    match result.is_ok() {
        true => session.commit()?,
        false => session.roll_back(),
    }
    result
}

/// What a closure leaves to do after its writes.
pub(super) struct Written<T> {
    value: T,
    effects: Vec<Effect>,
    changes: NotedChanges,
}

fn run_write<T, E: From<StoreError>>(
    session: &Session,
    shared: &Shared,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<Written<T>, E> {
    let _span = tracing::debug_span!("transaction", name).entered();
    guarded(name, || {
        let mut tx = Tx::new(session, shared);
        let value = work(&mut tx)?;
        Ok(Written { value, effects: tx.effects, changes: tx.changes })
    })
}

/// Runs one closure in a transaction of its own. Its effects are still to be run, without the
/// session, so that they may use the store.
pub(super) fn run_alone<T, E: From<StoreError>>(
    session: &Session,
    shared: &Shared,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<Written<T>, E> {
    session.begin_writing()?;
    let result = run_write(session, shared, name, work).and_then(|written| {
        let heads = Tx::new(session, shared).changes_flush(&written.changes, &shared.feed)?;
        session.commit().map_err(not_committed)?;
        shared.feed.signal(heads);
        Ok(written)
    });
    if result.is_err() {
        session.roll_back();
    }
    result
}

fn not_committed(error: StoreError) -> StoreError {
    match error {
        StoreError::Database(error) => StoreError::NotCommitted(error),
        error => error,
    }
}

/// Runs one closure and rolls back what it wrote, whatever it returns.
pub(super) fn run_and_forget<T, E: From<StoreError>>(
    session: &Session,
    shared: &Shared,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<(), StoreError> {
    session.begin_writing()?;
    drop(run_write(session, shared, name, work));
    session.roll_back();
    Ok(())
}

impl<T> Written<T> {
    /// Runs the effects of the committed transaction, and returns the value.
    pub(super) fn finish(self, name: &'static str) -> T {
        run_effects(name, self.effects);
        self.value
    }
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
