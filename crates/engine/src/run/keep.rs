//! Retention of old disks: measure each disk once, and drop it when its undo window has expired, a
//! newer undo record has replaced it, or all old disks together exceed their limit.
//!
//! The store decides when a record is due, and never while its machine has an open remote action.
//! Both operations are idempotent.

use cloudpc_drivers::DriverError;
use cloudpc_model::{ActionId, UndoRecord};
use cloudpc_store::StoreError;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// Most records processed at the same time.
pub(super) const RECORDS_MAX: usize = 64;

/// Timeout of an attempt. After it, and after a crash, the record is due again.
pub(super) const TIME_MAX: Duration = Duration::from_secs(600);

/// Pause after a failed attempt.
const PAUSE: Duration = Duration::from_secs(300);

/// Cause of a failed attempt.
#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Performs what records are due for: measuring or dropping their disks.
    pub(super) async fn process_undo_records(self, records: Vec<UndoRecord>, stop: CancellationToken) {
        let until = self.parts.clock.now() + TIME_MAX;
        let attempts = records.iter().map(|record| self.attempt_retention(record)).collect::<FuturesUnordered<_>>();
        // What ends at the same time is stored together.
        let mut ended = attempts.ready_chunks(RECORDS_MAX);
        loop {
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ended = ended.next() => ended,
                () = self.parts.clock.sleep_until(until) => return,
            };
            let Some(ended) = ended else { break };
            let mut sizes = Vec::new();
            for (record, result) in ended {
                match result {
                    Ok(size_bytes) => sizes.extend(size_bytes.map(|size_bytes| (record.action_id, size_bytes))),
                    Err(error) => self.postpone_retention(record, &error).await,
                }
            }
            if let Err(error) = self.store_sizes(sizes).await {
                // The records are due again after the timeout.
                tracing::warn!(%error, "storing the sizes of old disks failed; retrying");
            }
        }
        self.work.wake.notify_one();
    }

    /// Returns the size of the record's disk if it has measured one, in bytes.
    async fn attempt_retention<'a>(
        &self,
        record: &'a UndoRecord,
    ) -> (&'a UndoRecord, Result<Option<u64>, RetentionError>) {
        let result = match record.dropping {
            true => self.drop_old_disk(record).await.map(|()| None),
            false => self.measure(record).await,
        };
        (record, result)
    }

    async fn postpone_retention(&self, record: &UndoRecord, error: &RetentionError) {
        tracing::warn!(%error, action.id = %record.action_id, dropping = record.dropping, "old-disk cleanup failed; retrying");
        let (action, due_at) = (record.action_id, self.parts.clock.now() + PAUSE);
        // If this write fails, the record is due again after the timeout.
        let postponed = self.background.write("undoRecord.postpone", move |tx| tx.undo_record_postpone(action, due_at));
        let _ = postponed.await;
    }

    async fn store_sizes(&self, sizes: Vec<(ActionId, u64)>) -> Result<(), StoreError> {
        if sizes.is_empty() {
            return Ok(());
        }
        let (bytes_max, now) = (self.parts.settings.undo_disk_bytes_max, self.parts.clock.now());
        let measured = move |tx: &mut cloudpc_store::Tx<'_>| tx.undo_records_measured(&sizes, bytes_max, now);
        self.background.write("undoRecord.measure", measured).await
    }

    /// Drops the record's disk. A deleted machine has no disks left.
    async fn drop_old_disk(&self, record: &UndoRecord) -> Result<(), RetentionError> {
        match self
            .parts
            .driver
            .ensure_aside_dropped(record.cloud_pc_id, &crate::tag(record.action_id, record.tag_nonce))
            .await
        {
            Ok(()) | Err(DriverError::NotFound(_)) => self.forget(record).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the size of the record's disk, in bytes; none if there is nothing to store.
    async fn measure(&self, record: &UndoRecord) -> Result<Option<u64>, RetentionError> {
        let tag = crate::tag(record.action_id, record.tag_nonce);
        let old_disks = match self.parts.driver.observe(record.cloud_pc_id).await {
            Ok(observed) => observed.asides,
            Err(DriverError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let old_disk = old_disks.into_iter().find(|old_disk| old_disk.tag == tag);
        if record.before.disk_aside && old_disk.is_none() {
            return self.forget_missing(record).await.map(|()| None);
        }
        Ok(Some(old_disk.map_or(0, |old_disk| old_disk.size_bytes)))
    }

    /// Deletes the record of a disk that was removed by hand, unless an open undo uses the disk:
    /// then the record is due again after that undo.
    async fn forget_missing(&self, record: &UndoRecord) -> Result<(), RetentionError> {
        let (tenant, target, action) = (record.tenant_id, record.cloud_pc_id.to_string(), record.action_id);
        let forget = move |tx: &mut cloudpc_store::Tx<'_>| match tx.action_open_remote(tenant, &target)? {
            Some(_) => Ok(()),
            None => tx.undo_record_delete(action),
        };
        Ok(self.background.write("undoRecord.miss", forget).await?)
    }

    async fn forget(&self, record: &UndoRecord) -> Result<(), RetentionError> {
        let action = record.action_id;
        Ok(self.background.write("undoRecord.delete", move |tx| tx.undo_record_delete(action)).await?)
    }
}
