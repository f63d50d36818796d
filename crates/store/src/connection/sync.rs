//! When commits are synced: at once, before their replies, unless syncs are deferred.
//!
//! While syncs are deferred, a commit that holds nothing but background writes is not synced. A
//! commit with another write syncs the log, and with it all commits before.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Store;
use crate::StoreError;

/// How many defer syncs now.
#[derive(Debug, Default)]
pub(super) struct SyncDeferral(AtomicUsize);

impl SyncDeferral {
    pub(super) fn is_active(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    #[cfg(test)]
    pub(super) fn set(&self, number: usize) {
        self.0.store(number, Ordering::Release);
    }
}

/// Defers syncs until it ends or is dropped. What was deferred is synced by the next write after
/// that at the latest.
#[must_use]
pub struct DeferredSync(Store);

impl DeferredSync {
    /// Ends the deferral. Returns after everything committed before is on disk.
    ///
    /// # Errors
    /// The store is closed or the disk fails.
    pub async fn end(self) -> Result<(), StoreError> {
        let store = self.0.clone();
        drop(self);
        // Wakes the writer.
        store.write("log.sync", |_| Ok(())).await
    }
}

impl Drop for DeferredSync {
    fn drop(&mut self) {
        self.0.shared.deferral.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Store {
    /// Returns the same store, whose writes are background writes: nobody was promised that they
    /// survive a power failure.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { is_background: true, ..self.clone() }
    }

    /// Defers the syncs of commits with background writes alone. A power failure meanwhile undoes
    /// the latest of them, but none from before a commit that was synced. Stores that run inline
    /// never sync.
    pub fn defer_sync(&self) -> DeferredSync {
        self.shared.deferral.0.fetch_add(1, Ordering::AcqRel);
        DeferredSync(Self { is_background: false, ..self.clone() })
    }
}
