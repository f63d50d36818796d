//! Checks of the database: whether it was replaced by an older one, and whether its file is
//! damaged.

use cloudpc_model::{Error, Rng};
use cloudpc_store::{Store, Watermark};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::durable_file::{self, Readers};

/// Name of the file in the data directory that records the latest rows of the database.
pub(super) const WATERMARK_FILE: &str = "watermark.json";

/// Interval at which the watermark is written, if it has risen, and the database file is checked.
/// Process time.
const RECORD_EVERY: Duration = Duration::from_secs(60);

/// Interval of full integrity checks of the database; the first one begins at the start. Process
/// time.
const CHECK_EVERY: Duration = Duration::from_hours(24);

/// Logs a warning if the database has fewer rows than the watermark: a backup was restored, or its
/// latest writes were lost. New action numbers continue after the lost ones, and the change feed
/// begins a new epoch.
///
/// # Errors
/// The database cannot be read.
pub(super) async fn compare(store: &Store, directory: &Path, rng: &dyn Rng) -> Result<(), Error> {
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
        "the database is older than when it was last used in this directory; this is expected after restoring a backup; otherwise its latest writes are lost: restore a newer backup"
    );
    if let Err(error) =
        store.write("action.skipNumbers", move |tx| Ok::<_, Error>(tx.action_numbers_skip(seen.actions)?)).await
    {
        // Harmless to the engine, which identifies actions by their tags; only people who compare
        // numbers are affected.
        tracing::warn!(%error, "skipping the numbers of lost actions failed; new actions will reuse them");
    }
    // Clients that hold positions of the lost changes have to read everything anew.
    let epoch = rng.next_u64();
    store.write("changes.beginEpoch", move |tx| Ok::<_, Error>(tx.change_epoch_put(epoch)?)).await
}

/// Writes the watermark and checks that the database file still exists, every [`RECORD_EVERY`].
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

/// Writes the watermark, unless it equals `written`. Returns the last watermark written.
pub(super) async fn record(store: &Store, directory: &Path, written: Option<Watermark>) -> Option<Watermark> {
    let watermark = match store.read(|reader| reader.watermark()).await {
        Ok(watermark) if Some(watermark) == written => return written,
        Ok(watermark) => watermark,
        Err(error) => {
            tracing::warn!(%error, "reading the watermark of the database failed");
            return written;
        }
    };
    let text = serde_json::to_vec(&watermark).expect("numbers have a JSON form");
    match durable_file::write(&directory.join(WATERMARK_FILE), Readers::Owner, &text) {
        Ok(()) => Some(watermark),
        Err(error) => {
            tracing::warn!(%error, "writing {WATERMARK_FILE} failed; a restored older database may not be detected");
            written
        }
    }
}

/// Checks the whole database for damage, now and then every [`CHECK_EVERY`].
pub(super) async fn check(store: Store, stop: CancellationToken) {
    loop {
        let (checked, stopped) = (store.clone(), stop.clone());
        let check = tokio::task::spawn_blocking(move || checked.check_pages(move || stopped.is_cancelled()));
        match check.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the integrity check of the database failed; retrying in 24 hours")
            }
            Err(error) => tracing::error!(%error, "the integrity check of the database stopped unexpectedly"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(CHECK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Reads the watermark; none if the file is missing or damaged.
fn read(path: &Path) -> Option<Watermark> {
    let text = fs::read(path).ok()?;
    let reason = match serde_json::from_slice::<Watermark>(&text) {
        Ok(watermark) if watermark.is_plausible() => return Some(watermark),
        Ok(watermark) => format!("{watermark:?} is out of range"),
        Err(error) => error.to_string(),
    };
    tracing::warn!(reason, "{WATERMARK_FILE} is damaged and ignored; an older database cannot be detected");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::{SeededRng, TenantId};
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
    async fn action_numbers_of_a_lost_database_are_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), WriteMode::Inline).unwrap();
        let rng = SeededRng::new(1);
        let watermark = async || store.read(|reader| reader.watermark()).await.unwrap();
        let (low, high) = (i64::MIN, i64::MAX);
        let numbers = [(high, high), (low, low), (-1, 0), (0, -1), (high, 0), (0, high)]
            .map(|(actions, audit_events)| Watermark { actions, audit_events })
            .map(|watermark| serde_json::to_string(&watermark).unwrap());
        for damaged in numbers.iter().map(String::as_str).chain(["", "{", "[]"]) {
            fs::write(directory.path().join(WATERMARK_FILE), damaged).unwrap();
            compare(&store, directory.path(), &rng).await.unwrap();
        }
        assert_eq!(watermark().await, Watermark::default());

        let seen = serde_json::to_vec(&Watermark { actions: 20, audit_events: 31 }).unwrap();
        fs::write(directory.path().join(WATERMARK_FILE), seen).unwrap();
        let epoch = async || store.read(|reader| reader.change_head(TenantId::INSTALLATION)).await.unwrap().epoch;
        let before = epoch().await;
        compare(&store, directory.path(), &rng).await.unwrap();
        assert_ne!(epoch().await, before, "positions in the feed of the lost database are refused");
        assert_eq!(watermark().await, Watermark { actions: 20, audit_events: 0 });
        let written = record(&store, directory.path(), None).await;
        assert_eq!(read(&directory.path().join(WATERMARK_FILE)), written);
    }
}
