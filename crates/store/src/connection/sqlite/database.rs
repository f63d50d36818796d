//! The database file: the lock of its directory, the setup of connections, and migrations.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::READERS;
use crate::StoreError;
use crate::lists::{NamePart, name_parts};
use crate::rows::{folded, json};

/// The name of the database in the data directory.
pub const DATABASE: &str = "cloudpc.db";
const LOCK: &str = "lock";

/// Page caches of all connections together. A cache belongs to one connection, so each gets a
/// share.
const CACHE_KIB: usize = 64 * 1024;
/// SQLite walks the writer's whole cache at the end of nearly every commit, so it is small; the
/// system's page cache holds the rest.
const CACHE_KIB_WRITER: usize = 8 * 1024;
/// A check reads each page once.
const CACHE_KIB_CHECK: usize = 1024;
const CACHE_KIB_READER: usize = (CACHE_KIB - CACHE_KIB_WRITER) / READERS;
/// Prepared statements that a connection caches; more than this crate has.
const STATEMENTS: usize = 256;
/// The log file is truncated to this size after a checkpoint, so that one long burst does not
/// occupy the disk for ever.
const LOG_BYTES_KEPT: u64 = 128 * 1024 * 1024;

/// Forward only, in order; applied files never change. The version of a database is the number of
/// migrations applied to it.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/0001_first.sql"),
    include_str!("../../../migrations/0002_pages.sql"),
    include_str!("../../../migrations/0003_undo.sql"),
    include_str!("../../../migrations/0004_accepts.sql"),
    include_str!("../../../migrations/0005_health.sql"),
    include_str!("../../../migrations/0006_step.sql"),
    include_str!("../../../migrations/0007_enrol.sql"),
    include_str!("../../../migrations/0008_audit.sql"),
    include_str!("../../../migrations/0009_sign_in.sql"),
    include_str!("../../../migrations/0010_desktop.sql"),
    include_str!("../../../migrations/0011_tag_nonce.sql"),
    include_str!("../../../migrations/0012_ended_secrets.sql"),
    include_str!("../../../migrations/0013_counters.sql"),
    include_str!("../../../migrations/0014_documents.sql"),
    include_str!("../../../migrations/0015_directory.sql"),
    include_str!("../../../migrations/0016_entitlements.sql"),
    include_str!("../../../migrations/0017_lists.sql"),
    include_str!("../../../migrations/0018_directory_lists.sql"),
    include_str!("../../../migrations/0019_rollouts.sql"),
    include_str!("../../../migrations/0021_rollout_turns.sql"),
    include_str!("../../../migrations/0022_changes.sql"),
    include_str!("../../../migrations/0023_workers.sql"),
    include_str!("../../../migrations/0024_name_parts.sql"),
    include_str!("../../../migrations/0025_webhooks.sql"),
    include_str!("../../../migrations/0026_turns_and_assigned_groups.sql"),
    include_str!("../../../migrations/0027_event_rows.sql"),
    include_str!("../../../migrations/0028_authorization_codes.sql"),
    include_str!("../../../migrations/0029_remote_sessions.sql"),
    include_str!("../../../migrations/0030_bulk_actions.sql"),
    include_str!("../../../migrations/0031_reviews_and_activations.sql"),
    include_str!("../../../migrations/0032_built_in_roles.sql"),
    include_str!("../../../migrations/0034_alerts.sql"),
    include_str!("../../../migrations/0035_accepted_requests.sql"),
    include_str!("../../../migrations/0036_shared_cloud_pcs.sql"),
    include_str!("../../../migrations/0038_display_names_in_indexes.sql"),
];

/// What a commit survives.
#[derive(Clone, Copy)]
pub(in super::super) enum Durability {
    /// A power failure.
    Disk,
    /// The end of the process.
    Process,
}

/// Proves that no other process uses the directory. Released when dropped, and by the system when
/// the process dies.
///
/// There are two locks, because someone may remove the file `lock` by hand, and a second process
/// would lock a new one. Nobody removes the database. Both are flock(2), which does not affect the
/// POSIX locks that SQLite holds on the same file; but closing a file releases those, so the locks
/// are dropped after every connection.
pub(in super::super) struct DirectoryLock {
    _lock: File,
    /// The database, if it is in the directory.
    database: Option<File>,
}

impl DirectoryLock {
    pub(in super::super) fn take(directory: &Path) -> Result<Self, StoreError> {
        let lock = Self::take_without_database(directory)?;
        Ok(Self { database: Some(open_locked(&directory.join(DATABASE))?), ..lock })
    }

    /// Locks a directory whose database is elsewhere.
    pub(in super::super) fn take_without_database(directory: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(directory)?;
        Ok(Self { _lock: open_locked(&directory.join(LOCK))?, database: None })
    }

    /// Returns the id of the locked database file.
    pub(in super::super) fn database(&self) -> io::Result<Option<FileId>> {
        self.database.as_ref().map(FileId::of).transpose()
    }
}

/// Identifies a file, whatever its name is by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|file| Self { device: file.dev(), inode: file.ino() })
    }

    /// Returns the id of the file that has this name now.
    pub(in super::super) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|file| Self { device: file.dev(), inode: file.ino() })
    }
}

/// Opens or creates a file and locks it. A file that lost its name before it was locked excludes
/// nobody, so the loop takes the next one.
fn open_locked(path: &Path) -> Result<File, StoreError> {
    loop {
        let file = open_private(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if FileId::at(path).ok() == Some(FileId::of(&file)?) {
            return Ok(file);
        }
    }
}

/// Opens or creates the database and migrates it.
pub(in super::super) fn open_for_writing(directory: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let path = directory.join(DATABASE);
    drop(open_private(&path)?);
    let mut connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set_up(&connection, CACHE_KIB_WRITER)?;
    let synchronous = match durability {
        Durability::Disk => "FULL",
        Durability::Process => "OFF",
    };
    // Rollback journals of statements stay in memory: they need not survive the process. Deleted
    // and replaced content is overwritten, because it may be a key, a password hash or an install
    // parameter. ON and not FAST, which leaves freed pages as they are. The cost is one more write
    // of each freed page, and only scenarios and replaced large values free any.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA journal_size_limit = {LOG_BYTES_KEPT};
         PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON;"
    ))?;
    if let Durability::Disk = durability {
        // The checkpoint thread does the checkpoints.
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        // The log and its index stay in place, empty: a start on a full disk has no room to create
        // them.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    // What migrations fill keys with.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("folded", 1, flags, |call| Ok(folded(&call.get::<String>(0)?)))?;
    connection.create_scalar_function("name_parts", 1, flags, |call| Ok(name_parts_json(&call.get::<String>(0)?)))?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Returns the parts of a name as a JSON array of pairs.
fn name_parts_json(name: &str) -> String {
    json(&name_parts(name).into_iter().map(|NamePart { text, repeats }| (text, repeats)).collect::<Vec<_>>())
}

/// Opens the migrated database read-only.
pub(in super::super) fn open_for_reading(directory: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(DATABASE), flags)?;
    set_up(&connection, CACHE_KIB_READER)?;
    Ok(connection)
}

/// Opens the migrated database for checkpoints. They sync what they copy before the log may be
/// overwritten.
pub(in super::super) fn open_for_checkpoints(directory: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(DATABASE), flags)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")?;
    Ok(connection)
}

/// Opens the database for a check. It exists, because it is locked by then.
pub(in super::super) fn open_for_check(directory: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(DATABASE), flags)?;
    set_up(&connection, CACHE_KIB_CHECK)?;
    Ok(connection)
}

fn set_up(connection: &Connection, cache_kib: usize) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A plan must not depend on bound values. Otherwise SQLite inspects them and plans nearly every
    // statement anew each time it runs with others.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(&format!("PRAGMA foreign_keys = ON; PRAGMA cache_size = -{cache_kib};"))?;
    Ok(())
}

/// Migrates the schema to the newest version, each step in a transaction of its own.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(migrations.len()).expect("there are few migrations");
    let Some(applied) = usize::try_from(found).ok().filter(|applied| *applied <= migrations.len()) else {
        return Err(StoreError::TooNew { found, known });
    };
    for (version, migration) in (1_usize..).zip(migrations).skip(applied) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.execute_batch(&format!("PRAGMA user_version = {version}"))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Opens or creates a file that only its owner may read; the database holds keys, and SQLite gives
/// its log the same mode. A file that others may read, such as a copy from a backup, is made
/// owner-only. Symbolic links are not followed: whoever created one could have files of other users
/// opened and their modes changed.
fn open_private(path: &Path) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).expect("flags of open are small");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link);
    let unusable = |what: &str| {
        let message = format!("{} is {what}; put the file itself in its place", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let file = options.open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => unusable("a symbolic link"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(unusable("not a regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0
        && let Err(error) = file.set_permissions(Permissions::from_mode(0o600))
    {
        tracing::warn!(%error, path = %path.display(), "other users may read this file, and changing its mode failed");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::BELONGINGS;
    use std::collections::BTreeSet;

    #[test]
    fn connections_are_set_up_as_promised() {
        let directory = tempfile::tempdir().unwrap();
        let disk = open_for_writing(directory.path(), Durability::Disk).unwrap();
        let number = |connection: &Connection, pragma: &str| -> i64 {
            connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap()
        };
        let journal: String = disk.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(journal, "wal");
        const FULL: i64 = 2;
        assert_eq!(number(&disk, "synchronous"), FULL);
        assert_eq!(number(&disk, "foreign_keys"), 1);
        assert_eq!(number(&disk, "secure_delete"), 1);
        assert_eq!(number(&disk, "wal_autocheckpoint"), 0);
        assert_eq!(number(&disk, "page_size"), 4096);
        let readers = i64::try_from(READERS).unwrap();
        let reader = open_for_reading(directory.path()).unwrap();
        let cache_kib = -number(&disk, "cache_size") - readers * number(&reader, "cache_size");
        assert_eq!(cache_kib, i64::try_from(CACHE_KIB).unwrap());
        assert!(reader.execute("DELETE FROM settings", []).is_err(), "a reader cannot write");
    }

    #[test]
    fn a_reset_empties_every_table_but_those_of_the_installation() {
        let directory = tempfile::tempdir().unwrap();
        let database = open_for_writing(directory.path(), Durability::Disk).unwrap();
        let mut query = database
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .unwrap();
        let tables: BTreeSet<String> =
            query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let emptied = BELONGINGS.iter().map(|table| (*table).to_owned());
        let kept = ["settings", "workers"].map(str::to_owned);
        assert_eq!(tables, emptied.chain(kept).collect());
    }

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound() {
        let directory = tempfile::tempdir().unwrap();
        let writer = open_for_writing(directory.path(), Durability::Disk).unwrap();
        let reader = open_for_reading(directory.path()).unwrap();
        for connection in [&writer, &reader] {
            let mut statement =
                connection.prepare("SELECT * FROM actions WHERE line_id = ?1 AND remote = ?2 LIMIT ?3").unwrap();
            for number in 0..3 {
                assert!(!statement.exists([number, number, number + 1]).unwrap());
            }
            assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
        }
    }

    #[test]
    fn migrations_run_once_in_order_and_a_failing_one_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let version = |connection: &Connection| -> i64 {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
        };
        let first = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);";
        let second = "INSERT INTO t SELECT a + 1 FROM t;";
        migrate(&mut connection, &[first]).unwrap();
        migrate(&mut connection, &[first, second]).unwrap();
        migrate(&mut connection, &[first, second]).unwrap();
        assert_eq!(version(&connection), 2);
        let broken = "INSERT INTO t VALUES (9); INSERT INTO nowhere VALUES (1);";
        migrate(&mut connection, &[first, second, broken]).unwrap_err();
        assert_eq!(version(&connection), 2);
        let sum: i64 = connection.query_row("SELECT sum(a) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 1 + 2);
        let newer = migrate(&mut connection, &[first]).unwrap_err();
        assert!(matches!(newer, StoreError::TooNew { found: 2, known: 1 }));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_database() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let _open = open_for_writing(directory.path(), Durability::Disk).unwrap();
        for name in [DATABASE, "cloudpc.db-wal"] {
            let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
    }

    #[test]
    fn a_symbolic_link_is_not_opened_and_its_target_keeps_its_mode() {
        for name in [LOCK, DATABASE] {
            let directory = tempfile::tempdir().unwrap();
            let victim = directory.path().join("victim");
            fs::write(&victim, "").unwrap();
            fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
            std::os::unix::fs::symlink(&victim, directory.path().join(name)).unwrap();
            let error = DirectoryLock::take(directory.path()).err().unwrap().to_string();
            assert!(error.contains("is a symbolic link; put the file itself in its place"), "{error}");
            assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o644);
        }
    }
}
