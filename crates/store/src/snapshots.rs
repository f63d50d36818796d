//! Restore points.

use cloudpc_model::{CloudPcId, Snapshot, SnapshotId, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, micros, word};
use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One restore point.
    pub fn snapshot(&self, tenant: TenantId, id: &SnapshotId) -> Result<Option<Snapshot>, StoreError> {
        self.row(
            "SELECT tenant_id, id, cloud_pc_id, snapshot_type, created_at, last_restored_at FROM snapshots
             WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0],
            snapshot,
        )
    }

    /// Restore points of a Cloud PC by id, those above `after`.
    pub fn snapshot_list(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        after: Option<&SnapshotId>,
        limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError> {
        self.rows(
            "SELECT tenant_id, id, cloud_pc_id, snapshot_type, created_at, last_restored_at FROM snapshots
             WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            params![tenant.0, cloud_pc.0, after.map_or("", |id| &id.0), rows::limit(limit)],
            snapshot,
        )
    }
}

impl Tx<'_> {
    /// Adds a restore point if it does not exist.
    pub fn snapshot_put(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO snapshots (tenant_id, id, cloud_pc_id, snapshot_type, created_at, last_restored_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant_id, id) DO NOTHING",
            params![
                snapshot.tenant_id.0,
                snapshot.id.0,
                snapshot.cloud_pc_id.0,
                word(snapshot.snapshot_type),
                snapshot.created_at.0,
                micros(snapshot.last_restored_at),
            ],
        )?;
        Ok(())
    }

    /// Deletes a restore point if it exists.
    pub fn snapshot_delete(&mut self, tenant: TenantId, id: &SnapshotId) -> Result<(), StoreError> {
        self.execute("DELETE FROM snapshots WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0])?;
        Ok(())
    }

    /// Records that a restore point was restored.
    pub fn snapshot_restored(&mut self, tenant: TenantId, id: &SnapshotId, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE snapshots SET last_restored_at = ?3 WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0, at.0],
        )?;
        Ok(())
    }
}

fn snapshot(row: Row<'_>) -> Result<Snapshot, StoreError> {
    let mut columns = Columns::new(row, "snapshots");
    Ok(Snapshot {
        tenant_id: TenantId(columns.get()?),
        id: SnapshotId(columns.get()?),
        cloud_pc_id: CloudPcId(columns.get()?),
        snapshot_type: columns.word()?,
        created_at: columns.time()?,
        last_restored_at: columns.time_opt()?,
    })
}
