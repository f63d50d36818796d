//! Keeping what undo needs: asking once what an old disk takes, and dropping it when its time is
//! over, when the way back from a newer action has taken its place, or when all that is kept is too
//! much.
//!
//! The store says when which record is due, and never says so while its machine has an open remote
//! action. Both attempts may be made twice.

use cloudpc_drivers::DriverError;
use cloudpc_model::UndoRecord;
use cloudpc_store::StoreError;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// Most records seen to at the same time.
pub(super) const RECORDS_MAX: usize = 64;

/// The longest attempt. After it, and after a crash, the record is due again.
pub(super) const TIME_MAX: Duration = Duration::from_secs(600);

/// The pause after an attempt that has failed.
const PAUSE: Duration = Duration::from_secs(300);

/// Why an attempt has failed.
#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Does what a record is due for.
    pub(super) async fn keep(self, record: UndoRecord, stop: CancellationToken) {
        let until = self.parts.clock.now() + TIME_MAX;
        let attempt = async {
            match record.dropping {
                true => self.drop_old_disk(&record).await,
                false => self.measure(&record).await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ended = attempt => ended,
            () = self.parts.clock.sleep_until(until) => return,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, action.id = %record.action_id, dropping = record.dropping, "an old disk was not seen to; it is tried again");
            let (action, due_at) = (record.action_id, self.parts.clock.now() + PAUSE);
            // Without this it is due again when the attempt could have lasted longest.
            let _ =
                self.parts.store.write("undoRecord.postpone", move |tx| tx.undo_record_put_off(action, due_at)).await;
        }
        self.work.wake.notify_one();
    }

    /// The machine may be gone, and its disks with it.
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

    async fn measure(&self, record: &UndoRecord) -> Result<(), RetentionError> {
        let tag = crate::tag(record.action_id, record.tag_nonce);
        let asides = match self.parts.driver.observe(record.cloud_pc_id).await {
            Ok(observed) => observed.asides,
            Err(DriverError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let aside = asides.into_iter().find(|aside| aside.tag == tag);
        if record.before.disk_aside && aside.is_none() {
            return self.miss(record).await;
        }
        let size_bytes = aside.map_or(0, |aside| aside.size_bytes);
        let (action, bytes_max, now) =
            (record.action_id, self.parts.settings.undo_disk_bytes_max, self.parts.clock.now());
        let measured =
            move |tx: &mut cloudpc_store::Tx<'_>| tx.undo_record_measured(action, size_bytes, bytes_max, now);
        Ok(self.parts.store.write("undoRecord.measure", measured).await?)
    }

    /// Someone has cleared the old disk away by hand, unless an undo that was asked for meanwhile
    /// has it in its hands. That one ends first; the record is due again.
    async fn miss(&self, record: &UndoRecord) -> Result<(), RetentionError> {
        let (tenant, target, action) = (record.tenant_id, record.cloud_pc_id.to_string(), record.action_id);
        let missed = move |tx: &mut cloudpc_store::Tx<'_>| match tx.action_open_remote(tenant, &target)? {
            Some(_) => Ok(()),
            None => tx.undo_record_delete(action),
        };
        Ok(self.parts.store.write("undoRecord.miss", missed).await?)
    }

    async fn forget(&self, record: &UndoRecord) -> Result<(), RetentionError> {
        let action = record.action_id;
        Ok(self.parts.store.write("undoRecord.delete", move |tx| tx.undo_record_delete(action)).await?)
    }
}
