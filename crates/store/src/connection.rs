//! The store's threads, and how closures reach them.
//!
//! ```text
//! read, scan ──▶ queue, in which callers take turns ──▶ reader threads (each its own session, one snapshot per turn)
//! write ─▶ queue ──▶ writer thread: BEGIN, every queued closure, COMMIT with one sync, then effects and replies
//!                        └──▶ upkeep, such as SQLite's checkpoints
//! ```
//!
//! A [`Session`](session::Session) is a connection to SQLite (`sqlite`) or PostgreSQL (`postgres`);
//! what the two say differently is in `dialect`.
//!
//! A closure that fails or panics loses its own writes and nobody else's: if it has written
//! anything, the transaction is rolled back and every closure runs again, in a part of its own.
//! This module refuses to know what they do.

mod damage;
pub(crate) mod dialect;
mod error;
mod jobs;
#[cfg(test)]
mod plans;
mod postgres;
mod session;
mod sqlite;
mod sync;
mod turns;
mod upkeep;
mod value;
mod writer;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, watch};

use crate::StoreError;
use crate::changes::{Feed, NotedChanges};
use damage::Damage;
use jobs::{ClosureJob, WriteContext, WriteJob, run_alone, run_and_forget, run_read};
use postgres::{PostgresDatabase, PostgresSession};
use session::Session;
use sqlite::SqliteSession;
use sqlite::database::{DATABASE, DirectoryLock, Durability, FileId};
use turns::{ReadJob, ReadKind, ReadProgress, Turns};

pub use error::{DatabaseError, DatabaseErrorKind};
pub use postgres::PostgresUrl;
pub(crate) use session::Row;
pub use sqlite::database::DATABASE as SQLITE_FILE;
pub use sync::DeferredSync;
use sync::SyncDeferral;
pub use turns::{READERS_PER_CALLER_MAX, READS_PER_CALLER_MAX, ReadCaller, SCANNERS_MAX};
use upkeep::Upkeep;
pub(crate) use value::{FromValue, ToValue, Value, params};

/// Reader threads. A constant: each has a page cache, and SQLite's readers are bound by the CPU,
/// not by waiting.
pub const READERS: usize = 4;
/// Closures in the writer's queue; callers beyond it wait.
pub const WRITE_QUEUE_MAX: usize = 1024;
/// Most closures in one transaction.
pub const WRITE_BATCH_MAX: usize = 512;

/// How writes are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// By one writer thread in grouped transactions: how a server runs.
    Grouped,
    /// By the calling task, one transaction each, reads too: how a simulation on a virtual clock
    /// runs, so that a seed replays exactly. Nothing is synced: a commit survives the end of the
    /// process, but not a power failure.
    Inline,
    /// Like `Inline`, but each write runs twice and only the second run is kept: how tests run,
    /// because a closure that cannot run again is a defect.
    InlineTwice,
}

/// The store. Cheap to clone. Dropping the last clone runs what is queued and closes the database.
#[derive(Clone)]
pub struct Store {
    work: Arc<Backend>,
    shared: Shared,
    /// The file of SQLite, if it is the database.
    file: Option<Arc<DatabaseFile>>,
    open_jobs: OpenJobs,
    /// The caller whose share of reader threads the reads use.
    caller: ReadCaller,
    /// See [`Store::in_background`].
    is_background: bool,
}

/// The file that was opened.
struct DatabaseFile {
    directory: PathBuf,
    id: FileId,
}

/// What all transactions of a store share.
#[derive(Clone, Default)]
struct Shared {
    damage: Arc<Damage>,
    /// See [`Store::provisioning_due`].
    provisioning_due: Arc<Notify>,
    /// See [`Store::user_access_changes`].
    user_access: Arc<watch::Sender<()>>,
    feed: Feed,
    deferral: Arc<SyncDeferral>,
}

/// A view of the database for reading.
pub struct Reader<'a> {
    session: &'a Session,
    damage: &'a Damage,
}

/// A write transaction. It also reads, as a [`Reader`] does.
pub struct Tx<'a> {
    reader: Reader<'a>,
    effects: Vec<Effect>,
    pub(crate) changes: NotedChanges,
    shared: &'a Shared,
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
    fn new(session: &'a Session, shared: &'a Shared) -> Self {
        let reader = Reader { session, damage: &shared.damage };
        Self { reader, effects: Vec::new(), changes: NotedChanges::default(), shared }
    }

    /// See [`Store::provisioning_due`].
    pub(crate) fn provisioning_due(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.provisioning_due)
    }

    /// Signals [`Store::user_access_changes`] after the commit.
    pub(crate) fn signal_user_access(&mut self) {
        let changed = Arc::clone(&self.shared.user_access);
        self.after_commit(move || changed.send_modify(|()| {}));
    }

    /// Runs `effect` once, after the commit and before the caller of [`Store::write`] gets the
    /// result. The effects of all transactions run in the order of the commits. A transaction that
    /// fails, or that runs again, drops the effects of that run.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.push(Box::new(effect));
    }
}

impl Store {
    /// Opens or creates the database `cloudpc.db` in `directory`, migrates it, and locks the
    /// directory.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has the directory open, [`StoreError::TooNew`] if a
    /// newer version wrote it.
    pub fn open(directory: &Path, mode: WriteMode) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let file = lock.database()?.map(|id| DatabaseFile { directory: directory.to_owned(), id });
        let shared = Shared::default();
        let work = match mode {
            WriteMode::Grouped => Backend::Threads(Threads::of_file(directory, lock, shared.clone())?),
            WriteMode::Inline | WriteMode::InlineTwice => {
                let session = Session::Sqlite(SqliteSession::writing(directory, Durability::Process)?);
                let runs_twice = mode == WriteMode::InlineTwice;
                Backend::Inline { session: Mutex::new(session), runs_twice, _lock: lock }
            }
        };
        Ok(Self::new(work, shared, file))
    }

    /// Opens a PostgreSQL database, and migrates it. Locks `directory`, which has what is not in
    /// the database.
    ///
    /// # Errors
    /// The database cannot be reached; [`StoreError::InUse`] if another process uses it or the
    /// directory; [`StoreError::TooNew`] if a newer version wrote it.
    pub fn connect(url: &PostgresUrl, directory: &Path, mode: WriteMode) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take_without_database(directory)?;
        let database = PostgresDatabase::new(url)?;
        let shared = Shared::default();
        let work = apart(|| -> Result<_, StoreError> {
            database.migrate()?;
            Ok(match mode {
                WriteMode::Grouped => Backend::Threads(Threads::of_postgres(&database, lock, shared.clone())?),
                WriteMode::Inline | WriteMode::InlineTwice => {
                    let session = Session::Postgres(Box::new(PostgresSession::writing(&database)?));
                    let runs_twice = mode == WriteMode::InlineTwice;
                    Backend::Inline { session: Mutex::new(session), runs_twice, _lock: lock }
                }
            })
        })?;
        Ok(Self::new(work, shared, None))
    }

    fn new(work: Backend, shared: Shared, file: Option<DatabaseFile>) -> Self {
        Self {
            work: Arc::new(work),
            shared,
            file: file.map(Arc::new),
            open_jobs: OpenJobs::default(),
            caller: ReadCaller::Service,
            is_background: false,
        }
    }

    /// Returns the same store, whose reads count for `caller`.
    #[must_use]
    pub fn on_behalf_of(&self, caller: ReadCaller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// Notifies one waiting task after each commit that may have made provisioning work due: users
    /// were queued, or a Cloud PC in its grace period was written.
    pub fn provisioning_due(&self) -> &Notify {
        &self.shared.provisioning_due
    }

    /// Sees a change after each commit that may have left users with less access to Cloud PCs: a
    /// review began or changed, or a shared Cloud PC was taken from its user.
    pub fn user_access_changes(&self) -> watch::Receiver<()> {
        self.shared.user_access.subscribe()
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// The closures that are queued or run.
    pub fn open_jobs(&self) -> OpenJobs {
        self.open_jobs.clone()
    }

    /// The first damage found since the store was opened. A damaged store goes on serving what it
    /// can read.
    pub fn damage(&self) -> Option<String> {
        self.shared.damage.found().map(str::to_owned)
    }

    /// Checks that the database file is still the one that was opened. A file that was removed or
    /// replaced counts as damage: nobody will find what is written to the open one.
    pub fn check_file(&self) {
        let Some(file) = &self.file else { return };
        let path = file.directory.join(DATABASE);
        if FileId::at(&path).ok() != Some(file.id) {
            self.shared.damage.note(format!("{} was removed or replaced while the service uses it", path.display()));
        }
    }

    /// Reads the whole database file and records damage. Blocks until it has; ends early once
    /// `stop` returns true. PostgreSQL checks its own files.
    ///
    /// # Errors
    /// The file cannot be read. Damage is not an error; see [`Store::damage`].
    pub fn check_pages(&self, stop: impl Fn() -> bool + Send + 'static) -> Result<(), StoreError> {
        match &self.file {
            Some(file) => sqlite::check_pages(&file.directory, &self.shared.damage, stop),
            None => Ok(()),
        }
    }

    /// Runs `work` on a consistent snapshot.
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

    /// Runs `work` repeatedly, each time on a new consistent snapshot, until it breaks with a
    /// result. Other callers' reads run in between. A scan ends when its caller is gone.
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
            Backend::Inline { session, .. } => in_session(session, |session| {
                loop {
                    if let ControlFlow::Break(value) = run_read(session, &self.shared.damage, &mut work)? {
                        return Ok(value);
                    }
                }
            }),
            Backend::Threads(threads) => {
                let (answer, answered) = tokio::sync::oneshot::channel();
                let (damage, mut answer) = (Arc::clone(&self.shared.damage), Some(answer));
                let open_job = (self.caller == ReadCaller::Service).then(|| self.open_jobs.open());
                let job: ReadJob = Box::new(move |session| {
                    let _counts_until_dropped = &open_job;
                    if answer.as_ref().is_none_or(tokio::sync::oneshot::Sender::is_closed) {
                        // The caller is gone; nobody needs the result.
                        return ReadProgress::Done;
                    }
                    let result = match run_read(session, &damage, &mut work) {
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

    /// Runs `work` in a transaction and returns after its commit is on disk. If `work` fails, none
    /// of its writes remain. A caller that stops waiting does not stop the work.
    ///
    /// `name` identifies the transaction in logs: `noun.verb`, unique for each place in the code.
    ///
    /// `work` may run more than once. It must change nothing but the database, leave other effects
    /// to [`Tx::after_commit`], and take ids, times and random numbers from outside.
    ///
    /// # Errors
    /// Whatever `work` returns; [`StoreError::Panicked`] if it panics; [`StoreError::NotCommitted`]
    /// if the commit failed.
    pub async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &*self.work {
            Backend::Inline { session, runs_twice, .. } => {
                let written = in_session(session, |session| {
                    if *runs_twice {
                        run_and_forget(session, &self.shared, name, &work)?;
                    }
                    run_alone(session, &self.shared, name, work)
                })?;
                Ok(written.finish(name))
            }
            Backend::Threads(threads) => {
                let (answer, answered) = tokio::sync::oneshot::channel();
                let job = ClosureJob { context: self.write_context(), name, work, answer, result: None };
                threads.writes.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
                answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
            }
        }
    }

    fn write_context(&self) -> WriteContext {
        WriteContext { shared: self.shared.clone(), open_job: self.open_jobs.open(), is_background: self.is_background }
    }

    /// Empties the write-ahead log, so that no file holds what was deleted or replaced any more.
    /// Call it after a write that drops a secret. If a reader still needs the log, it is emptied
    /// after a later write, at the latest when the store closes. The log of PostgreSQL is its own.
    ///
    /// # Errors
    /// The store is closed or takes no writes.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        match &*self.work {
            Backend::Inline { session, .. } => {
                if let Session::Sqlite(session) = &*lock(session) {
                    sqlite::checkpoint::empty(&session.connection);
                }
                Ok(())
            }
            Backend::Threads(Threads { empty_log: Some(empty_log), .. }) => {
                empty_log.store(true, Ordering::Release);
                // Wakes the writer.
                self.write("log.empty", |_| Ok(())).await
            }
            Backend::Threads(_) => Ok(()),
        }
    }
}

/// The jobs of a store that are queued or run, other than reads for a caller of the service. It
/// does not keep the store open.
#[derive(Clone, Default)]
pub struct OpenJobs(Arc<JobCount>);

#[derive(Default)]
struct JobCount {
    open: AtomicUsize,
    none_open: Arc<Notify>,
}

impl OpenJobs {
    /// Their number. Each counts until its result has been sent.
    pub fn count(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// Notified whenever none is left.
    pub fn none_open(&self) -> Arc<Notify> {
        Arc::clone(&self.0.none_open)
    }

    /// Counts one more until the result is dropped.
    fn open(&self) -> OpenJob {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        OpenJob(self.clone())
    }
}

struct OpenJob(OpenJobs);

impl Drop for OpenJob {
    fn drop(&mut self) {
        let JobCount { open, none_open } = &*self.0.0;
        if open.fetch_sub(1, Ordering::SeqCst) == 1 {
            none_open.notify_one();
        }
    }
}

enum Backend {
    Threads(Threads),
    /// Fields drop in order: the database closes before the lock is released.
    Inline {
        session: Mutex<Session>,
        runs_twice: bool,
        _lock: DirectoryLock,
    },
}

struct Threads {
    reads: Arc<Turns>,
    writes: async_channel::Sender<Box<dyn WriteJob>>,
    /// Requests emptying the log of SQLite.
    empty_log: Option<Arc<AtomicBool>>,
    readers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

impl Threads {
    fn of_file(directory: &Path, lock: DirectoryLock, shared: Shared) -> Result<Self, StoreError> {
        // The writer migrates the database before readers open it.
        let mut writer = SqliteSession::writing(directory, Durability::Disk)?;
        let (upkeep, empty_log) = Upkeep::of_file(directory, &mut writer, Arc::clone(&shared.deferral))?;
        let open_reader = || SqliteSession::reading(directory).map(Session::Sqlite);
        let mut threads = Self::start(Session::Sqlite(writer), upkeep, shared, open_reader, lock)?;
        threads.empty_log = Some(empty_log);
        Ok(threads)
    }

    fn of_postgres(database: &PostgresDatabase, lock: DirectoryLock, shared: Shared) -> Result<Self, StoreError> {
        let writer = Session::Postgres(Box::new(PostgresSession::writing(database)?));
        let upkeep = Upkeep::Postgres { deferral: Arc::clone(&shared.deferral) };
        Self::start(
            writer,
            upkeep,
            shared,
            || Ok(Session::Postgres(Box::new(PostgresSession::reading(database)?))),
            lock,
        )
    }

    /// Starts the threads. The lock is released after the last write.
    fn start(
        writer: Session,
        upkeep: Upkeep,
        shared: Shared,
        open_reader: impl Fn() -> Result<Session, StoreError>,
        lock: DirectoryLock,
    ) -> Result<Self, StoreError> {
        let (writes, write_queue) = async_channel::bounded(WRITE_QUEUE_MAX);
        let reads = Arc::new(Turns::default());
        let mut threads = Self { reads, writes, empty_log: None, readers: Vec::with_capacity(READERS), writer: None };
        for number in 0..READERS {
            let session = open_reader()?;
            let reads = Arc::clone(&threads.reads);
            threads.readers.push(thread(&format!("store-read-{number}"), move || {
                while let Some(mut turn) = reads.take() {
                    let progress = turn.run(&session);
                    reads.end_turn(turn, progress);
                }
            })?);
        }
        threads.writer = Some(thread("store-write", move || {
            writer::run(writer, &write_queue, upkeep, &shared);
            drop(lock);
        })?);
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
        // Readers first: the writer's last checkpoint empties the log only when nobody reads from
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

/// Runs `work` in the only session of a store that runs inline.
fn in_session<T: Send>(session: &Mutex<Session>, work: impl FnOnce(&Session) -> T + Send) -> T {
    let guard = lock(session);
    match &*guard {
        Session::Sqlite(_) => work(&guard),
        Session::Postgres(_) => {
            drop(guard);
            apart(|| work(&lock(session)))
        }
    }
}

/// Runs `work` on a thread of its own, and waits. The client of PostgreSQL waits by a runtime of
/// its own, which the task of another runtime may not do.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let resume = |panic| std::panic::resume_unwind(panic);
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(resume)
}

/// A panic under the lock is caught and rolled back, so the session stays usable.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
