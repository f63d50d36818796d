//! How writes are grouped, isolated and kept.

use std::sync::{Arc, Mutex, mpsc};

use cloudpc_store::{Store, StoreError, WRITE_BATCH_MAX, WriteMode, testing};
use tokio::sync::Notify;

use crate::fixture::{block_on, open_sql};

type Done = Result<(), StoreError>;

#[test]
fn many_concurrent_writes_end_in_few_commits_and_all_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    let before = commits_in_log(directory.path());
    // With the one that holds the writer up, one more than fits into a transaction.
    let writes = WRITE_BATCH_MAX;
    block_on(tokio::task::LocalSet::new().run_until(async {
        let (release, held) = mpsc::channel::<()>();
        let begun = Arc::new(Notify::new());
        let has_begun = Arc::clone(&begun);
        let blocker = tokio::task::spawn_local(write(&store, move |tx| {
            begun.notify_one();
            held.recv().unwrap();
            tx.setting_put("first", b"")
        }));
        has_begun.notified().await;
        let mut tasks = Vec::new();
        for number in 0..writes {
            tasks.push(tokio::task::spawn_local(write(&store, move |tx| tx.setting_put(&number.to_string(), b"x"))));
        }
        for _ in 0..writes {
            // Each task is polled, and so queued, before this one has come round so often.
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        blocker.await.unwrap().unwrap();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }));
    assert_eq!(commits_in_log(directory.path()) - before, 2);
    let stored: i64 =
        open_sql(directory.path()).query_row("SELECT count(*) FROM settings", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(stored).unwrap(), writes + 1);
}

#[test]
fn a_failing_write_takes_back_its_own_work_only() {
    each_mode(async |store| {
        // The first of a transaction fails, and one in its midst.
        let (panicking, good, bad, also_good) = tokio::join!(
            write(&store, |tx| {
                tx.setting_put("panicking", b"1")?;
                panic!("on purpose")
            }),
            write(&store, |tx| tx.setting_put("good", b"1")),
            write(&store, |tx| {
                tx.setting_put("bad", b"1")?;
                Err(StoreError::LeaseLost)
            }),
            write(&store, |tx| tx.setting_put("also good", b"1")),
        );
        good.unwrap();
        also_good.unwrap();
        assert!(matches!(bad, Err(StoreError::LeaseLost)));
        assert_eq!(panicking.unwrap_err().to_string(), "a database transaction panicked: on purpose");
        for (name, there) in [("good", true), ("bad", false), ("panicking", false), ("also good", true)] {
            let found = store.read(move |reader| reader.setting(name)).await.unwrap();
            assert_eq!(found.is_some(), there, "{name}");
        }
    });
}

#[test]
fn effects_run_once_after_the_commit_in_the_order_of_the_transactions() {
    each_mode(async |store| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str, fails: bool| {
            let seen = Arc::clone(&seen);
            write(&store, move |tx| {
                let seen = Arc::clone(&seen);
                tx.setting_put(what, b"1")?;
                tx.after_commit(move || seen.lock().unwrap().push(what));
                if fails { Err(StoreError::LeaseLost) } else { Ok(()) }
            })
        };
        let panicking = write(&store, |tx| {
            tx.after_commit(|| panic!("on purpose"));
            tx.setting_put("panicking effect", b"1")
        });
        let (first, failed, panicking, last) =
            tokio::join!(note("first", false), note("failed", true), panicking, note("last", false));
        first.unwrap();
        failed.unwrap_err();
        panicking.unwrap();
        last.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["first", "last"]);
    });
}

#[test]
fn a_closure_runs_twice_and_only_its_second_run_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::InlineTwice).unwrap();
    let runs = Arc::new(Mutex::new(0_u8));
    let counted = Arc::clone(&runs);
    let put = write(&store, move |tx| {
        let mut runs = counted.lock().unwrap();
        *runs += 1;
        assert_eq!(tx.setting("run")?, None, "the first run is rolled back");
        tx.setting_put("run", &[*runs])
    });
    block_on(put).unwrap();
    assert_eq!(block_on(store.read(|reader| reader.setting("run"))).unwrap(), Some(vec![2]));
}

#[test]
fn a_panicking_read_fails_that_read() {
    each_mode(async |store| {
        let panicked: Done = store.read(|_| panic!("on purpose")).await;
        assert_eq!(panicked.unwrap_err().to_string(), "a database transaction panicked: on purpose");
        assert_eq!(store.read(|reader| reader.setting("none")).await.unwrap(), None);
    });
}

#[test]
fn what_was_written_is_read_back_after_a_restart() {
    for mode in [WriteMode::Grouped, WriteMode::Inline] {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path(), mode).unwrap();
        block_on(write(&store, |tx| tx.setting_put("kept", b"1"))).unwrap();
        drop(store);
        let log = directory.path().join("cloudpc.db-wal");
        assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0, "closing empties the log");
        let store = testing::open(directory.path(), mode).unwrap();
        assert_eq!(block_on(store.read(|reader| reader.setting("kept"))).unwrap(), Some(b"1".to_vec()));
    }
}

#[test]
fn a_directory_has_one_user_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    let error = Store::open(directory.path(), WriteMode::Grouped).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::InUse), "{error}");
    drop(store);
    Store::open(directory.path(), WriteMode::Grouped).unwrap();
}

#[test]
fn a_newer_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), WriteMode::Inline).unwrap());
    open_sql(directory.path()).execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Store::open(directory.path(), WriteMode::Inline).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
}

fn write<F>(store: &Store, work: F) -> impl Future<Output = Done> + use<F>
where
    F: Fn(&mut cloudpc_store::Tx<'_>) -> Done + Send + 'static,
{
    let store = store.clone();
    async move { store.write("test.write", work).await }
}

fn each_mode(story: impl AsyncFn(Store)) {
    for mode in [WriteMode::Grouped, WriteMode::Inline, WriteMode::InlineTwice] {
        let directory = tempfile::tempdir().unwrap();
        block_on(story(Store::open(directory.path(), mode).unwrap()));
    }
}

/// Commits in the write-ahead log: frames that carry the size of the database after them. Nothing
/// has emptied the log yet.
fn commits_in_log(directory: &std::path::Path) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let log = std::fs::read(directory.join("cloudpc.db-wal")).unwrap();
    log[HEADER..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
}
