//! What is deleted or replaced is in no file of the data directory any more.

use cloudpc_model::{ActionId, EventKind, Params, State};
use cloudpc_store::{Store, StoreError, WriteMode};
use std::path::Path;

use crate::fixture::{Book, MACHINE, agent, block_on, deploy, finished, open_sql};

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
    store.write("test.write", move |tx| tx.setting_put(name, &value)).await.unwrap();
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
            let until_written = store.write::<_, StoreError, _>("test.write", |_| Ok(()));
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

/// A deployment with secrets in its parameters.
fn secret_deployment(secret: &str) -> cloudpc_store::NewAction {
    let mut new = deploy(MACHINE, 1);
    let Params::DeployAgent { agent, .. } = &mut new.params else { unreachable!() };
    agent.install_parameters = vec![format!("KEY={secret}")];
    agent.detection = Some(format!("check {secret}"));
    new
}

#[test]
fn a_deployment_loses_its_secrets_when_it_ends() {
    const SECRET: &str = "correct-horse-battery-staple";
    let failed = EventKind::Finished { outcome: State::Failed, failure: None };
    for end in [finished(State::Done), finished(State::Canceled), failed] {
        let book = Book::in_file();
        let id = book.insert(secret_deployment(SECRET)).unwrap();
        let claimed = book.claim(2, 10);
        assert_eq!(claimed[0].params, secret_deployment(SECRET).params, "it is open and needs them");
        let ended = book.append(id, claimed[0].epoch, 3, end).unwrap();
        let Params::DeployAgent { agent: kept, .. } = &ended.params else { panic!() };
        assert_eq!((&kept.install_parameters, &kept.detection), (&vec![], &None));
        assert_eq!((&kept.url, &kept.sha256), (&agent().url, &agent().sha256));
        assert_eq!(book.action(id), ended);
        assert!(!events(&book, id).contains(SECRET));
        let Book { store, directory } = book;
        block_on(store.empty_log()).unwrap();
        drop(store);
        assert_eq!(occurrences(directory.path(), SECRET), 0);
    }
}

fn events(book: &Book, id: ActionId) -> String {
    let query = "SELECT group_concat(event) FROM action_events WHERE action_id = ?1";
    book.sql().query_row(query, [id.0], |row| row.get(0)).unwrap()
}

#[test]
fn secrets_of_deployments_that_ended_in_earlier_versions_are_removed() {
    const SECRET: &str = "correct-horse-battery-staple";
    const BEFORE: u32 = 11;
    let Book { store, directory } = Book::in_file();
    drop(store);
    let old = open_sql(directory.path());
    let agent =
        format!(r#"{{"url":"u","install_parameters":["{SECRET}"],"auto_deploy":false,"detection":"{SECRET}"}}"#);
    old.execute("INSERT INTO lines (id, tenant_id, name) VALUES (1, x'01', 'machine')", []).unwrap();
    for state in ["done", "failed", "canceled", "notSupported", "pending"] {
        old.execute(
            "INSERT INTO actions (tenant_id, line_id, target, kind, params, requested_by, requested_at, deadline_at, state,
             epoch, updated_at, steps, events, worker_id, at_front, remote, open)
             VALUES (x'01', 1, 'machine', 'deployAgent', ?1, '{}', 1, 9, ?2, 1, 2, '[]', 1, 0, 0, 0, ?2 = 'pending')",
            [format!(r#"{{"kind":"deployAgent","agent":{agent}}}"#), state.to_owned()],
        )
        .unwrap();
    }
    let reported = format!(r#"{{"url":"u","install_parameters":["***"],"auto_deploy":false,"detection":"{SECRET}"}}"#);
    old.execute(
        "INSERT INTO reports VALUES (x'01', x'02', 1, 'configureAgent', '{}', 1, '', '', '', NULL, '', ?1)",
        [reported],
    )
    .unwrap();
    old.execute_batch(crate::fixture::BEFORE_WORKERS).unwrap();
    old.execute_batch(crate::fixture::BEFORE_ROLLOUTS).unwrap();
    old.execute_batch(crate::fixture::BEFORE_LISTS).unwrap();
    old.execute_batch(crate::fixture::BEFORE_ENTITLEMENTS).unwrap();
    old.execute_batch(crate::fixture::BEFORE_COUNTERS).unwrap();
    old.execute_batch(crate::fixture::BEFORE_DIRECTORY).unwrap();
    old.execute_batch(crate::fixture::BEFORE_DOCUMENTS).unwrap();
    old.pragma_update(None, "user_version", BEFORE).unwrap();
    drop(old);
    drop(Store::open(directory.path(), WriteMode::Inline).unwrap());

    let sql = open_sql(directory.path());
    let text = |query: &str| sql.query_row(query, [], |row| row.get::<_, String>(0)).unwrap();
    let blank = r#"{"kind":"deployAgent","agent":{"url":"u","install_parameters":[],"auto_deploy":false}}"#;
    assert_eq!(text("SELECT group_concat(DISTINCT params) FROM actions WHERE open = 0"), blank);
    assert_eq!(text("SELECT count(*) || '' FROM actions WHERE open = 0"), "4");
    assert!(text("SELECT params FROM actions WHERE open = 1").contains(SECRET), "it is still needed");
    assert_eq!(text("SELECT agent FROM reports"), r#"{"url":"u","install_parameters":["***"],"auto_deploy":false}"#);
}
