//! The change feed: its epoch, and the deletion of its old rows.

use cloudpc_model::{Clock, Error, Rng};
use cloudpc_store::{Store, Tx};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Interval at which old rows of the change feed are deleted. Process time.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Most rows of a tenant's change feed; a feed in use exceeds it for up to [`TRIM_EVERY`].
pub const CHANGES_MAX: i64 = 5_000_000;

/// Rows of the change feed that are deleted in one transaction, so that other writes are not
/// delayed.
const TRIM_ROWS: usize = 1_000;

/// Begins the first epoch of a new database.
pub(super) async fn ensure_epoch(store: &Store, rng: &dyn Rng) -> Result<(), Error> {
    let epoch = rng.next_u64();
    store.write("changes.ensureEpoch", move |tx| Ok(tx.change_epoch_ensure(epoch)?)).await
}

/// Deletes rows that are older than `keep`, and those beyond [`CHANGES_MAX`], every [`TRIM_EVERY`].
pub(super) async fn trim(store: Store, clock: Arc<dyn Clock>, keep: Duration, stop: CancellationToken) {
    let round = async || {
        if let Err(error) = trim_once(&store, clock.as_ref(), keep).await {
            tracing::warn!(%error, "deleting old rows of the change feed failed; retrying in a minute");
        }
        tokio::time::sleep(TRIM_EVERY).await;
    };
    while stop.run_until_cancelled(round()).await.is_some() {}
}

async fn trim_once(store: &Store, clock: &dyn Clock, keep: Duration) -> Result<(), Error> {
    let before = clock.now() - keep;
    for (tenant, _) in store.read(|reader| reader.tenant_list()).await? {
        let trim = move |tx: &mut Tx<'_>| Ok::<_, Error>(tx.changes_trim(tenant, before, CHANGES_MAX, TRIM_ROWS)?);
        while store.write("changes.trim", trim).await? == TRIM_ROWS {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_drivers::sim::SimClock;
    use cloudpc_model::{GroupId, TenantId, Timestamp};
    use cloudpc_store::{FeedPosition, Group, StoreError, WriteMode};
    use uuid::Uuid;

    #[tokio::test]
    async fn changes_are_kept_for_the_configured_time() {
        const KEEP: Duration = Duration::from_secs(100);
        let directory = tempfile::tempdir().unwrap();
        let (store, clock) = (
            Store::open(directory.path(), WriteMode::Inline).unwrap(),
            Arc::new(SimClock::paused(Timestamp(1_000_000_000_000))),
        );
        store.set_clock(clock.clone());
        let tenant_id = TenantId(Uuid::from_u128(1));
        // One more than a portion.
        let fill = store.write("test.write", move |tx| {
            tx.tenant_put(tenant_id, "Contoso")?;
            for number in 0..=TRIM_ROWS {
                tx.group_put(&Group {
                    tenant_id,
                    id: GroupId(Uuid::from_u128(number as u128)),
                    display_name: "Everyone".into(),
                    description: None,
                    mail_nickname: "everyone".into(),
                    mail_enabled: false,
                    security_enabled: true,
                    created_at: Timestamp(0),
                })?;
            }
            Ok::<_, StoreError>(())
        });
        fill.await.unwrap();
        let start = FeedPosition { epoch: 0, number: 0 };
        let is_kept = async || {
            trim_once(&store, clock.as_ref(), KEEP).await.unwrap();
            store.read(move |reader| reader.changes_after(tenant_id, start, 1)).await.unwrap().is_ok()
        };
        clock.advance(KEEP).await;
        assert!(is_kept().await);
        clock.advance(Duration::from_secs(1)).await;
        assert!(!is_kept().await);
        let head = store.read(move |reader| reader.change_head(tenant_id)).await.unwrap();
        let rest = store.read(move |reader| reader.changes_after(tenant_id, head, 1)).await.unwrap();
        assert_eq!(rest, Ok(Vec::new()), "a client that has seen everything goes on");
    }
}
