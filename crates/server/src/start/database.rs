//! The database over time: whether it is older than what was seen of it before, and whether its
//! file is whole.

use cloudpc_model::Error;
use cloudpc_store::{Store, Watermark};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::durable_file::{self, Readers};

/// The file, beside the database, that says how far the database had come.
pub(super) const WATERMARK_FILE: &str = "watermark.json";

/// How often the watermark is written, if it has risen, and the database file looked at. Process
/// time.
const RECORD_EVERY: Duration = Duration::from_secs(60);

/// How often the whole database is read for damage, beginning with the start. Process time.
const CHECK_EVERY: Duration = Duration::from_hours(24);

/// Says so if the database has less than it had when it was last seen here: a backup was restored,
/// or the end of its log was lost. Numbers of actions go on beyond those that were given.
///
/// # Errors
/// The database cannot be read.
pub(super) async fn compare(store: &Store, directory: &Path) -> Result<(), Error> {
    let path = directory.join(WATERMARK_FILE);
    let Some(seen) = read(&path) else { return Ok(()) };
    let found = store.read(|reader| Ok::<_, Error>(reader.watermark()?)).await?;
    let (actions, audit_events) =
        (seen.actions.saturating_sub(found.actions), seen.audit_events.saturating_sub(found.audit_events));
    if actions <= 0 && audit_events <= 0 {
        return Ok(());
    }
    tracing::warn!(
        actions_missing = actions.max(0),
        audit_events_missing = audit_events.max(0),
        last_action = found.actions,
        "the database is older than when it was last used in this directory; that is right after restoring a backup; otherwise its last writes are lost, and a newer backup should be restored"
    );
    if let Err(error) =
        store.write("action.skipNumbers", move |tx| Ok::<_, Error>(tx.action_numbers_skip(seen.actions)?)).await
    {
        // Their tags differ, so this harms only people who look at numbers.
        tracing::warn!(%error, "new actions will get the numbers of lost ones");
    }
    Ok(())
}

/// Writes the watermark every minute, and looks whether the database file is still there.
pub(super) async fn watch(store: Store, directory: PathBuf, stop: CancellationToken) {
    let mut written = None;
    loop {
        store.check_file();
        written = record(&store, &directory, written).await;
        if stop.run_until_cancelled(tokio::time::sleep(RECORD_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Writes how far the database has come, unless that is `written` already. Returns what is written
/// now.
pub(super) async fn record(store: &Store, directory: &Path, written: Option<Watermark>) -> Option<Watermark> {
    let watermark = match store.read(|reader| reader.watermark()).await {
        Ok(watermark) if Some(watermark) == written => return written,
        Ok(watermark) => watermark,
        Err(error) => {
            tracing::warn!(%error, "the watermark of the database cannot be read");
            return written;
        }
    };
    let text = serde_json::to_vec(&watermark).expect("numbers have a JSON form");
    match durable_file::write(&directory.join(WATERMARK_FILE), Readers::Owner, &text) {
        Ok(()) => Some(watermark),
        Err(error) => {
            tracing::warn!(%error, "{WATERMARK_FILE} cannot be written; a database that is restored later may not be noticed as older");
            written
        }
    }
}

/// Reads the whole database for damage, now and then once a day.
pub(super) async fn check(store: Store, stop: CancellationToken) {
    loop {
        let (checked, stopped) = (store.clone(), stop.clone());
        let check = tokio::task::spawn_blocking(move || checked.check_pages(move || stopped.is_cancelled()));
        match check.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database could not be checked for damage; the next check is tomorrow's")
            }
            Err(error) => tracing::error!(%error, "the check for damage ended early"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(CHECK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Returns what the file says; none if it is not there or was spoiled.
fn read(path: &Path) -> Option<Watermark> {
    let text = fs::read(path).ok()?;
    let why = match serde_json::from_slice::<Watermark>(&text) {
        Ok(watermark) if watermark.is_plausible() => return Some(watermark),
        Ok(watermark) => format!("{watermark:?} is out of range"),
        Err(error) => error.to_string(),
    };
    tracing::warn!(why, "{WATERMARK_FILE} is damaged and ignored; whether the database is an older one is not known");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_store::WriteMode;

    #[tokio::test]
    async fn a_damaged_page_is_found_soon_after_the_start() {
        use std::os::unix::fs::FileExt as _;
        const PAGE_BYTES: u64 = 4096;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Grouped).unwrap();
        let fill =
            store.write("test.write", |tx| (0..2_000).try_for_each(|n| tx.setting_put(&n.to_string(), &[7; 200])));
        fill.await.map_err(|error: cloudpc_store::StoreError| error).unwrap();
        drop(store);
        let file = fs::OpenOptions::new().write(true).open(directory.path().join("cloudpc.db")).unwrap();
        file.write_all_at(&[0xFF; 4096], file.metadata().unwrap().len() - PAGE_BYTES).unwrap();

        let (store, stop) = (Store::open(directory.path(), WriteMode::Grouped).unwrap(), CancellationToken::new());
        let checking = tokio::spawn(check(store.clone(), stop.clone()));
        while store.damage().is_none() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        checking.await.unwrap();
    }

    #[tokio::test]
    async fn numbers_go_on_beyond_those_that_an_older_database_has_lost() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
        let watermark = async || store.read(|reader| reader.watermark()).await.unwrap();
        let (low, high) = (i64::MIN, i64::MAX);
        let numbers = [(high, high), (low, low), (-1, 0), (0, -1), (high, 0), (0, high)]
            .map(|(actions, audit_events)| Watermark { actions, audit_events })
            .map(|watermark| serde_json::to_string(&watermark).unwrap());
        for spoiled in numbers.iter().map(String::as_str).chain(["", "{", "[]"]) {
            fs::write(directory.path().join(WATERMARK_FILE), spoiled).unwrap();
            compare(&store, directory.path()).await.unwrap();
        }
        assert_eq!(watermark().await, Watermark::default());

        let seen = serde_json::to_vec(&Watermark { actions: 20, audit_events: 31 }).unwrap();
        fs::write(directory.path().join(WATERMARK_FILE), seen).unwrap();
        compare(&store, directory.path()).await.unwrap();
        assert_eq!(watermark().await, Watermark { actions: 20, audit_events: 0 });
        let written = record(&store, directory.path(), None).await;
        assert_eq!(read(&directory.path().join(WATERMARK_FILE)), written);
    }
}
