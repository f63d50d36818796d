//! The store's threads and how work gets to them.
//!
//! ```text
//! read, scan ──▶ queue, in which callers take turns ──▶ reader threads (each its own connection, one snapshot per turn)
//! write ─▶ queue ──▶ writer thread: BEGIN, a savepoint per closure, COMMIT with one sync, then the answers
//!                        └──▶ checkpointer thread: moves the log into the database while no one waits for it
//! ```
//!
//! A closure that fails or panics takes back its own writes and nobody else's. This module refuses
//! to know what the closures do.

mod checkpoint;
mod damage;
mod database;
pub(crate) mod dialect;
mod error;
#[cfg(test)]
mod plans;
mod statements;
mod turns;
mod value;
mod writer;

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::Notify;

use crate::StoreError;
use checkpoint::{Checkpointer, LOG_PAGES};
use damage::Damage;
use database::{DATABASE, DirectoryLock, Durability, FileId};
use turns::{ReadJob, ReadKind, ReadProgress, Turns};
use writer::{Reply, WriteJob};

pub use error::{DatabaseError, DatabaseErrorKind};
pub(crate) use statements::Row;
pub use turns::{READERS_PER_CALLER_MAX, READS_PER_CALLER_MAX, ReadCaller, SCANNERS_MAX};
pub(crate) use value::{FromValue, ToValue, Value, params};

/// Reader threads. A constant: each has a page cache, and SQLite's readers are bound by the
/// processor, not by waiting.
pub const READERS: usize = 4;
/// Closures that wait for the writer; more wait outside, in their callers.
pub const WRITE_QUEUE_MAX: usize = 1024;
/// Closures in one transaction.
pub const WRITE_BATCH_MAX: usize = 512;

/// How writes are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// By one writer thread, grouped: the way a server runs.
    Grouped,
    /// By the calling task, one transaction each, reads too: the way a simulation on a virtual
    /// clock runs, so that a seed replays exactly. Nothing is synced: what it wrote outlives the
    /// process, but not a power cut.
    Inline,
    /// Like `Inline`, but each write runs twice and only the second run is kept: the way tests run,
    /// because a closure that cannot run again is a defect.
    InlineTwice,
}

/// The store. Cheap to clone. The last one to be dropped finishes what is queued and closes the
/// database.
#[derive(Clone)]
pub struct Store {
    work: Arc<Backend>,
    damage: Arc<Damage>,
    /// See [`Store::provisioning_due`].
    provisioning_due: Arc<Notify>,
    directory: Arc<PathBuf>,
    database: FileId,
    /// Whose turns its reads take.
    caller: ReadCaller,
}

/// A view of the database for reading.
pub struct Reader<'a> {
    connection: &'a Connection,
    damage: &'a Damage,
}

/// A write transaction. It can do whatever a [`Reader`] can.
pub struct Tx<'a> {
    reader: Reader<'a>,
    effects: Vec<Effect>,
    provisioning_due: &'a Arc<Notify>,
}

/// What a transaction does outside the database once it is committed.
type Effect = Box<dyn FnOnce() + Send>;

impl<'a> std::ops::Deref for Tx<'a> {
    type Target = Reader<'a>;
    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl<'a> Tx<'a> {
    fn new(connection: &'a Connection, damage: &'a Damage, provisioning_due: &'a Arc<Notify>) -> Self {
        Self { reader: Reader { connection, damage }, effects: Vec::new(), provisioning_due }
    }

    /// See [`Store::provisioning_due`].
    pub(crate) fn provisioning_due(&self) -> Arc<Notify> {
        Arc::clone(self.provisioning_due)
    }

    /// Has `effect` run once, after the commit and before the caller of [`Store::write`] gets the
    /// result. The effects of all transactions run in the order in which these were committed. A
    /// transaction that fails, or that is run again, drops the effects of that run.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.push(Box::new(effect));
    }
}

impl Store {
    /// Opens or makes the database `cloudpc.db` in `directory`, migrates it, and takes the
    /// directory's lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has the directory open, [`StoreError::TooNew`] if a
    /// newer version wrote it.
    pub fn open(directory: &Path, mode: WriteMode) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let database = lock.database()?;
        let work = match mode {
            WriteMode::Grouped => Backend::Threads(Threads::start(directory, lock)?),
            WriteMode::Inline | WriteMode::InlineTwice => {
                let connection = database::open_for_writing(directory, Durability::Process)?;
                let runs_twice = mode == WriteMode::InlineTwice;
                Backend::Inline { connection: Mutex::new(connection), runs_twice, _lock: lock }
            }
        };
        Ok(Self {
            work: Arc::new(work),
            damage: Arc::default(),
            provisioning_due: Arc::default(),
            directory: Arc::new(directory.to_owned()),
            database,
            caller: ReadCaller::Service,
        })
    }

    /// The same store, whose reads take the turns of `caller`.
    #[must_use]
    pub fn on_behalf_of(&self, caller: ReadCaller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// Notifies one waiting task after each commit that may have made provisioning work due: users
    /// were queued, or a Cloud PC in its grace period was written.
    pub fn provisioning_due(&self) -> &Notify {
        &self.provisioning_due
    }

    /// What was found to be damaged since this was opened; the first finding. A damaged store goes
    /// on answering what it can read.
    pub fn damage(&self) -> Option<String> {
        self.damage.found().map(str::to_owned)
    }

    /// Looks whether the database file is still the one that was opened. If it was removed or
    /// replaced, that counts as damage: what is written goes to a file that nobody will find again.
    pub fn check_file(&self) {
        let path = self.directory.join(DATABASE);
        if FileId::at(&path).ok() != Some(self.database) {
            self.damage.note(format!("{} was removed or replaced while the service uses it", path.display()));
        }
    }

    /// Reads the whole database file and notes damage. Blocks for as long as that takes; ends early
    /// once `stop` is true.
    ///
    /// # Errors
    /// The file cannot be read. Damage is no error; see [`Store::damage`].
    pub fn check_pages(&self, stop: impl Fn() -> bool + Send + 'static) -> Result<(), StoreError> {
        damage::check_pages(&self.directory, &self.damage, stop)
    }

    /// Runs `work` against a consistent view.
    ///
    /// # Errors
    /// Whatever `work` returns; [`StoreError::Panicked`] if it panics.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let mut work = Some(work);
        let once = move |reader: &Reader<'_>| {
            let work = work.take().ok_or(StoreError::Closed)?;
            work(reader).map(ControlFlow::Break)
        };
        self.turns(ReadKind::Read, once).await
    }

    /// Runs `work` again and again, each time against a consistent view of its own, until it breaks
    /// with a result. Others' reads get their turn in between. A scan whose caller has gone away
    /// ends.
    ///
    /// # Errors
    /// Whatever `work` returns; [`StoreError::Panicked`] if it panics.
    pub async fn scan<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnMut(&Reader<'_>) -> Result<ControlFlow<T>, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.turns(ReadKind::Scan, work).await
    }

    async fn turns<T, E, F>(&self, kind: ReadKind, mut work: F) -> Result<T, E>
    where
        F: FnMut(&Reader<'_>) -> Result<ControlFlow<T>, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &*self.work {
            Backend::Inline { connection, .. } => loop {
                if let ControlFlow::Break(value) = run_read(&lock(connection), &self.damage, &mut work)? {
                    return Ok(value);
                }
            },
            Backend::Threads(threads) => {
                let (answer, answered) = tokio::sync::oneshot::channel();
                let (damage, mut answer) = (Arc::clone(&self.damage), Some(answer));
                let job: ReadJob = Box::new(move |connection| {
                    if answer.as_ref().is_none_or(tokio::sync::oneshot::Sender::is_closed) {
                        // The caller has gone away; no one needs the answer.
                        return ReadProgress::Done;
                    }
                    let result = match run_read(connection, &damage, &mut work) {
                        Ok(ControlFlow::Continue(())) => return ReadProgress::Again,
                        Ok(ControlFlow::Break(value)) => Ok(value),
                        Err(error) => Err(error),
                    };
                    if let Some(answer) = answer.take() {
                        let _ = answer.send(result);
                    }
                    ReadProgress::Done
                });
                threads.reads.push(self.caller, kind, job).await?;
                answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
            }
        }
    }

    /// Runs `work` in a transaction and returns after its commit is on disk. If `work` fails,
    /// nothing it wrote remains. A caller that stops waiting does not stop the work.
    ///
    /// `name` is what logs call the transaction: `noun.verb`, one for each place in the code.
    ///
    /// `work` may run more than once. Therefore it changes nothing but the database, leaves what
    /// else is to be done to [`Tx::after_commit`], and is given ids, times and random numbers from
    /// outside.
    ///
    /// # Errors
    /// Whatever `work` returns; [`StoreError::Panicked`] if it panics; [`StoreError::NotCommitted`]
    /// if the disk said no in the end.
    pub async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &*self.work {
            Backend::Inline { connection, runs_twice, .. } => {
                let connection = lock(connection);
                if *runs_twice {
                    run_and_forget(&connection, &self.damage, &self.provisioning_due, name, &work)?;
                }
                run_alone(connection, &self.damage, &self.provisioning_due, name, &work)
            }
            Backend::Threads(threads) => {
                let (answer, answered) = tokio::sync::oneshot::channel();
                let (damage, queued) = (Arc::clone(&self.damage), Arc::clone(&self.provisioning_due));
                let job: WriteJob = Box::new(move |connection| {
                    let connection = damage.watch(connection).map_err(E::from);
                    let result = connection.and_then(|connection| run_write(connection, &damage, &queued, name, &work));
                    let keep = result.is_ok();
                    let answer: Reply = Box::new(move |commit| {
                        let result = result.and_then(|(value, effects)| {
                            damage.watch(commit).map_err(E::from)?;
                            run_effects(name, effects);
                            Ok(value)
                        });
                        // The caller may have gone away; then no one needs the answer.
                        let _ = answer.send(result);
                    });
                    (keep, answer)
                });
                threads.writes.send(job).await.map_err(|_| StoreError::Closed)?;
                answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
            }
        }
    }
}

impl Store {
    /// Has the write-ahead log emptied, so that what was deleted or replaced is in no file any
    /// more. To be called after a write that drops a secret. If a reader still needs the log, it is
    /// emptied after a later write, at the latest when the store is closed.
    ///
    /// # Errors
    /// The store is closed or does not take writes.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        match &*self.work {
            Backend::Inline { connection, .. } => {
                checkpoint::empty(&lock(connection));
                Ok(())
            }
            Backend::Threads(threads) => {
                threads.empty_log.store(true, Ordering::Release);
                // Wakes the writer.
                self.write("log.empty", |_| Ok(())).await
            }
        }
    }
}

enum Backend {
    Threads(Threads),
    /// Fields are dropped in order: the lock goes after the database is closed.
    Inline {
        connection: Mutex<Connection>,
        runs_twice: bool,
        _lock: DirectoryLock,
    },
}

struct Threads {
    reads: Arc<Turns>,
    writes: async_channel::Sender<WriteJob>,
    empty_log: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

impl Threads {
    fn start(directory: &Path, lock: DirectoryLock) -> Result<Self, StoreError> {
        // The writer migrates; readers open what it leaves.
        let connection = database::open_for_writing(directory, Durability::Disk)?;
        let checkpointer = Checkpointer::start(database::open_for_checkpoints(directory)?, LOG_PAGES)?;
        let (writes, write_queue) = async_channel::bounded(WRITE_QUEUE_MAX);
        let reads = Arc::new(Turns::default());
        let empty_log = checkpointer.empty_flag();
        let mut threads = Self { reads, writes, empty_log, readers: Vec::with_capacity(READERS), writer: None };
        for number in 0..READERS {
            let connection = database::open_for_reading(directory)?;
            let reads = Arc::clone(&threads.reads);
            threads.readers.push(thread(&format!("store-read-{number}"), move || {
                while let Some(mut turn) = reads.take() {
                    let progress = turn.run(&connection);
                    reads.give_back(turn, progress);
                }
            })?);
        }
        threads.writer = Some(thread("store-write", move || {
            writer::run(connection, &write_queue, checkpointer);
            // Whoever takes the directory next finds it at rest.
            drop(lock);
        })?);
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
        // Readers first: the writer's last checkpoint empties the log only when no one reads from
        // it.
        for handle in self.readers.drain(..).chain(self.writer.take()) {
            // A closure may have held the last handle; a thread cannot wait for itself.
            if handle.thread().id() != std::thread::current().id() && handle.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(work)?)
}

/// A panic under the lock is caught and rolled back, so the connection is sound.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_read<T, E: From<StoreError>>(
    connection: &Connection,
    damage: &Damage,
    work: impl FnOnce(&Reader<'_>) -> Result<T, E>,
) -> Result<T, E> {
    execute(connection, "BEGIN").map_err(StoreError::from)?;
    let result = guarded("read", || work(&Reader { connection, damage }));
    execute(connection, "COMMIT").map_err(StoreError::from)?;
    result
}

fn run_write<T, E: From<StoreError>>(
    connection: &Connection,
    damage: &Damage,
    queued: &Arc<Notify>,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<(T, Vec<Effect>), E> {
    let _span = tracing::debug_span!("transaction", name).entered();
    guarded(name, || {
        let mut tx = Tx::new(connection, damage, queued);
        let value = work(&mut tx)?;
        Ok((value, tx.effects))
    })
}

/// Runs one closure in a transaction of its own. The effects run without the connection, so that
/// they may use the store.
fn run_alone<T, E: From<StoreError>>(
    connection: MutexGuard<'_, Connection>,
    damage: &Damage,
    queued: &Arc<Notify>,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    execute(&connection, "BEGIN IMMEDIATE").map_err(StoreError::from)?;
    let result = run_write(&connection, damage, queued, name, work).and_then(|done| {
        execute(&connection, "COMMIT").map_err(|error| StoreError::NotCommitted(error.into()))?;
        Ok(done)
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
fn run_and_forget<T, E: From<StoreError>>(
    connection: &Connection,
    damage: &Damage,
    queued: &Arc<Notify>,
    name: &'static str,
    work: impl Fn(&mut Tx<'_>) -> Result<T, E>,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    drop(run_write(connection, damage, queued, name, work));
    // A full disk ends a transaction by itself.
    if !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    Ok(())
}

/// A panic in an effect concerns neither the caller, whose work is committed, nor the other
/// effects.
fn run_effects(name: &'static str, effects: Vec<Effect>) {
    for effect in effects {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(effect)) {
            let message = panic_message(&*panic);
            tracing::error!(transaction = name, message, "an effect of a committed transaction panicked");
        }
    }
}

/// A panic in a closure fails its call. The closure is gone then and its writes are rolled back, so
/// nothing half-done can be seen.
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

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
