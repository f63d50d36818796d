//! Restore points.

use cloudpc_model::{CloudPcId, Snapshot, SnapshotId, TenantId, Timestamp};

use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One restore point.
    pub fn snapshot(&self, _tenant: TenantId, _id: &SnapshotId) -> Result<Option<Snapshot>, StoreError> {
        unimplemented!()
    }

    /// Restore points of a Cloud PC by id, those above `after`.
    pub fn snapshot_list(
        &self,
        _tenant: TenantId,
        _cloud_pc: CloudPcId,
        _after: Option<&SnapshotId>,
        _limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds a restore point; once more is fine.
    pub fn snapshot_put(&mut self, _snapshot: &Snapshot) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Drops a restore point; gone already is fine.
    pub fn snapshot_delete(&mut self, _tenant: TenantId, _id: &SnapshotId) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes that a restore point was gone back to.
    pub fn snapshot_restored(&mut self, _tenant: TenantId, _id: &SnapshotId, _at: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
}
