//! What is deleted or replaced is in no file of the data directory any more.

use cloudpc_store::{Store, StoreError, WriteMode};
use std::path::Path;

/// How often `secret` is in the files of a directory.
fn occurrences(directory: &Path, secret: &str) -> usize {
    let count = |path: &Path| {
        let content = std::fs::read(path).unwrap();
        content.windows(secret.len()).filter(|window| *window == secret.as_bytes()).count()
    };
    std::fs::read_dir(directory).unwrap().map(|entry| count(&entry.unwrap().path())).sum()
}

/// Values of this setting: one that fits in a row, and one that needs pages of its own.
fn values(secret: &str) -> [Vec<u8>; 2] {
    [secret.repeat(2).into_bytes(), secret.repeat(2_000).into_bytes()]
}

async fn put(store: &Store, name: &'static str, value: Vec<u8>) {
    store.write(move |tx| tx.setting_put(name, &value)).await.unwrap();
}

#[tokio::test]
async fn a_replaced_secret_is_in_no_file_while_the_store_is_open_and_after() {
    const SECRET: &str = "correct-horse-battery-staple";
    for mode in [WriteMode::Grouped, WriteMode::Inline] {
        for value in values(SECRET) {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path(), mode).unwrap();
            // Neighbours, so that rows are moved between pages.
            for name in ["a", "b", "d", "e"] {
                put(&store, name, vec![b'x'; 900]).await;
            }
            put(&store, "c", value).await;
            assert_ne!(occurrences(directory.path(), SECRET), 0, "{mode:?}");
            put(&store, "c", b"".to_vec()).await;
            store.empty_log().await.unwrap();
            // The log is emptied once its writer has answered.
            let until_written = store.write::<_, StoreError, _>(|_| Ok(()));
            until_written.await.unwrap();
            assert_eq!(occurrences(directory.path(), SECRET), 0, "{mode:?}");
            drop(store);
            assert_eq!(occurrences(directory.path(), SECRET), 0, "{mode:?}, closed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_puts_the_emptying_of_the_log_off_and_holds_nobody_up() {
    const SECRET: &str = "correct-horse-battery-staple";
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
    put(&store, "c", SECRET.into()).await;
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel::<()>();
    let reader = store.clone();
    let reading = tokio::spawn(async move {
        reader
            .read(move |reader| {
                let value = reader.setting("c");
                begun.send(()).unwrap();
                wait.recv().unwrap();
                value
            })
            .await
    });
    has_begun.recv().unwrap();
    put(&store, "c", b"".to_vec()).await;
    store.empty_log().await.unwrap();
    put(&store, "d", b"goes on".to_vec()).await;
    assert_ne!(occurrences(directory.path(), SECRET), 0, "the reader still needs it");
    go_on.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), Some(SECRET.into()));
    for value in [b"later", b"again"] {
        put(&store, "d", value.to_vec()).await;
    }
    assert_eq!(occurrences(directory.path(), SECRET), 0, "a later write has emptied it");
}
