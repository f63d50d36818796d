//! When the next automatic restore point of each Cloud PC is due.

use cloudpc_model::{CloudPcId, TenantId, Timestamp};

use crate::connection::params;
use crate::rows::{self, Columns};
use crate::{Reader, StoreError, Tx};

const TABLE: &str = "restore_point_schedules";

impl Reader<'_> {
    /// Returns up to `limit` Cloud PCs of all tenants whose next automatic restore point is due,
    /// earliest first.
    pub fn restore_points_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(TenantId, CloudPcId, Timestamp)>, StoreError> {
        self.rows(
            "SELECT tenant_id, cloud_pc_id, due_at FROM restore_point_schedules WHERE due_at <= ?1
             ORDER BY due_at, tenant_id, cloud_pc_id LIMIT ?2",
            params![now.0, rows::limit(limit)],
            |row| {
                let mut columns = Columns::new(row, TABLE);
                Ok((TenantId(columns.get()?), CloudPcId(columns.get()?), columns.time()?))
            },
        )
    }

    /// Returns when the next automatic restore point of any Cloud PC is due.
    pub fn restore_point_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT due_at FROM restore_point_schedules ORDER BY due_at, tenant_id, cloud_pc_id LIMIT 1",
            params![],
            |row| Columns::new(row, TABLE).time(),
        )
    }
}

impl Tx<'_> {
    /// Schedules the next automatic restore point of a Cloud PC, unless one is due earlier.
    pub fn restore_point_schedule(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO restore_point_schedules (tenant_id, cloud_pc_id, due_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id, cloud_pc_id) DO UPDATE SET due_at = excluded.due_at
             WHERE restore_point_schedules.due_at > excluded.due_at",
            params![tenant.0, cloud_pc.0, due_at.0],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Takes no further automatic restore points of a Cloud PC.
    pub fn restore_point_unschedule(&mut self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM restore_point_schedules WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0],
        )?;
        Ok(())
    }
}
