//! Restore points.

use cloudpc_model::{Change, ChangeKind, CloudPcId, EntityType, Snapshot, SnapshotId, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::lists::{ListColumn, ListTable};
use crate::rows::{self, Columns, micros, word};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, id, cloud_pc_id, snapshot_type, created_at, last_restored_at"
    };
}

/// The restore points of a tenant, by id.
pub static SNAPSHOTS: ListTable<Snapshot> = ListTable {
    name: "snapshots",
    columns: columns!(),
    width: 6,
    id: snapshot_columns::ID,
    descending: false,
    map: snapshot,
};

/// Columns by which restore points are selected and sorted.
#[expect(missing_docs, reason = "each is named after the field of the restore point")]
pub mod snapshot_columns {
    use super::ListColumn;

    pub const ID: ListColumn = ListColumn::indexed("id", "snapshots_id", 0);
    pub const CLOUD_PC_ID: ListColumn = ListColumn::key("cloud_pc_id", 2);
    pub const SNAPSHOT_TYPE: ListColumn = ListColumn::plain("snapshot_type");
    pub const CREATED_AT: ListColumn = ListColumn::indexed("created_at", "snapshots_created", 1);
    /// The least number if it was never restored.
    pub const LAST_RESTORED_AT: ListColumn = ListColumn::plain("coalesce(last_restored_at, -9223372036854775808)");
}

impl Reader<'_> {
    /// One restore point.
    pub fn snapshot(&self, tenant: TenantId, id: &SnapshotId) -> Result<Option<Snapshot>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM snapshots WHERE tenant_id = ?1 AND id = ?2"),
            params![tenant.0, id.0],
            snapshot,
        )
    }

    /// Restore points by id, those above `after`; of one Cloud PC if `cloud_pc` is given.
    pub fn snapshot_list(
        &self,
        tenant: TenantId,
        cloud_pc: Option<CloudPcId>,
        after: Option<&SnapshotId>,
        limit: usize,
    ) -> Result<Vec<Snapshot>, StoreError> {
        let after = after.map_or("", |id| &id.0);
        match cloud_pc {
            None => self.rows(
                concat!("SELECT ", columns!(), " FROM snapshots WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
                params![tenant.0, after, rows::limit(limit)],
                snapshot,
            ),
            Some(cloud_pc) => self.rows(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM snapshots WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
                ),
                params![tenant.0, cloud_pc.0, after, rows::limit(limit)],
                snapshot,
            ),
        }
    }

    /// Number of restore points; of one Cloud PC if `cloud_pc` is given.
    pub fn snapshot_count(&self, tenant: TenantId, cloud_pc: Option<CloudPcId>) -> Result<u64, StoreError> {
        match cloud_pc {
            None => self.count("SELECT count(*) FROM snapshots WHERE tenant_id = ?1", params![tenant.0]),
            Some(cloud_pc) => self.count(
                "SELECT count(*) FROM snapshots WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
                params![tenant.0, cloud_pc.0],
            ),
        }
    }
}

impl Tx<'_> {
    /// Adds a restore point if it does not exist.
    pub fn snapshot_put(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let added = self.execute(
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
        if added == 1 {
            self.snapshot_changed(snapshot, ChangeKind::Created);
        }
        Ok(())
    }

    /// Deletes a restore point if it exists.
    pub fn snapshot_delete(&mut self, tenant: TenantId, id: &SnapshotId) -> Result<(), StoreError> {
        if let Some(snapshot) = self.snapshot(tenant, id)? {
            self.execute("DELETE FROM snapshots WHERE tenant_id = ?1 AND id = ?2", params![tenant.0, id.0])?;
            self.snapshot_changed(&snapshot, ChangeKind::Deleted);
        }
        Ok(())
    }

    /// Records that a restore point was restored.
    pub fn snapshot_restored(&mut self, tenant: TenantId, id: &SnapshotId, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE snapshots SET last_restored_at = ?3 WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, id.0, at.0],
        )?;
        if let Some(snapshot) = self.snapshot(tenant, id)? {
            self.snapshot_changed(&snapshot, ChangeKind::Updated);
        }
        Ok(())
    }

    fn snapshot_changed(&mut self, snapshot: &Snapshot, kind: ChangeKind) {
        let change = Change::new(kind, EntityType::Snapshot, &snapshot.id).within(snapshot.cloud_pc_id);
        self.changed(snapshot.tenant_id, change);
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
