//! Health checks of machines: when each is due, and what was found.
//!
//! A check is due when a machine may have changed by itself, when a restart is due, and after a
//! long time in good health. A machine with an open remote action is never due: that action is
//! responsible for the machine.

use cloudpc_model::{CloudPcId, EntityType, HealthCheck, HealthEvent, TenantId, Timestamp};

use crate::connection::dialect::lesser;
use crate::connection::{Row, params};
use crate::counters::Counter;
use crate::rows::{self, Columns, at_rest, micros};
use crate::{Reader, StoreError, Tx};

/// Health events that a Cloud PC keeps; the oldest are deleted.
pub const HEALTH_EVENTS_MAX: i64 = 1000;

const CHECKS: &str = "health_checks";

impl Reader<'_> {
    /// The time at which the next check is due; none if none is.
    pub fn health_check_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            concat!(
                "SELECT due_at FROM health_checks WHERE ",
                at_rest!("health_checks"),
                " ORDER BY due_at, line_id LIMIT 1"
            ),
            params![],
            |row| Columns::new(row, CHECKS).time(),
        )
    }

    /// The time at which a machine's check is due.
    pub fn health_check_due_at(&self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<Option<Timestamp>, StoreError> {
        let Some(line) = self.line(tenant, &cloud_pc.to_string())? else { return Ok(None) };
        self.row("SELECT due_at FROM health_checks WHERE line_id = ?1", params![line], |row| {
            Columns::new(row, CHECKS).time()
        })
    }

    /// Lists the health events of a Cloud PC, newest first, numbered below `before`.
    pub fn health_event_list(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<HealthEvent>, StoreError> {
        self.rows(
            "SELECT id, at, name, well, message FROM health_events
             WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
            params![tenant.0, cloud_pc.0, before.unwrap_or(i64::MAX), rows::limit(limit)],
            |row| {
                let mut columns = Columns::new(row, "health_events");
                Ok(HealthEvent {
                    id: columns.get()?,
                    at: columns.time()?,
                    name: columns.get()?,
                    well: columns.get()?,
                    message: columns.get()?,
                })
            },
        )
    }
}

impl Tx<'_> {
    /// Schedules a check at `now` unless one is due earlier; keeps what is known of the machine.
    /// Ignores machines without a Cloud PC. Drivers know no tenants, so the tenant is looked up.
    pub fn health_check_schedule(&mut self, cloud_pc: CloudPcId, now: Timestamp) -> Result<(), StoreError> {
        let tenant = self.row("SELECT tenant_id FROM cloud_pcs WHERE id = ?1", params![cloud_pc.0], |row| {
            Ok(TenantId(row.get(0)?))
        })?;
        let Some(tenant) = tenant else { return Ok(()) };
        let (line, _) = self.line_ensure(tenant, &cloud_pc.to_string())?;
        self.execute(
            concat!(
                "INSERT INTO health_checks (line_id, tenant_id, cloud_pc_id, restarts, due_at) VALUES (?1, ?2, ?3, 0, ?4)
                 ON CONFLICT (line_id) DO UPDATE SET due_at = ",
                lesser!("health_checks.due_at", "excluded.due_at")
            ),
            params![line, tenant.0, cloud_pc.0, now.0],
        )?;
        Ok(())
    }

    /// Schedules a check of a new machine, whose guest hostname is not set yet.
    pub fn health_check_schedule_enrolment(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.health_check_schedule(cloud_pc, now)?;
        let (line, _) = self.line_ensure(tenant, &cloud_pc.to_string())?;
        self.execute("UPDATE health_checks SET enrol = 1 WHERE line_id = ?1", params![line])?;
        Ok(())
    }

    /// Claims up to `limit` due checks, and makes each due again at `again_at` in case it has no
    /// result.
    pub fn health_check_claim(
        &mut self,
        now: Timestamp,
        again_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<HealthCheck>, StoreError> {
        let due: Vec<i64> = self.rows(
            concat!(
                "SELECT line_id FROM health_checks WHERE due_at <= ?1 AND ",
                at_rest!("health_checks"),
                " ORDER BY due_at, line_id LIMIT ?2"
            ),
            params![now.0, rows::limit(limit)],
            |row| row.get(0),
        )?;
        let mut claimed = Vec::with_capacity(due.len());
        for line in due {
            claimed.extend(self.row(
                "UPDATE health_checks SET due_at = ?2 WHERE line_id = ?1
                 RETURNING tenant_id, cloud_pc_id, restarts, restart_at, forget_at, enrol, due_at",
                params![line, again_at.0],
                health_check,
            )?);
        }
        Ok(claimed)
    }

    /// Stores what is known of a machine, whose next check is due at `due_at`.
    pub fn health_check_postpone(&mut self, check: &HealthCheck, due_at: Timestamp) -> Result<(), StoreError> {
        let (line, _) = self.line_ensure(check.tenant_id, &check.cloud_pc_id.to_string())?;
        self.execute(
            "UPDATE health_checks SET restarts = ?2, restart_at = ?3, forget_at = ?4, enrol = ?5, due_at = ?6 WHERE line_id = ?1",
            params![line, check.restarts, micros(check.restart_at), micros(check.forget_at), check.enrol, due_at.0],
        )?;
        Ok(())
    }

    /// Deletes the check of a machine if it exists.
    pub fn health_check_delete(&mut self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        let (line, _) = self.line_ensure(tenant, &cloud_pc.to_string())?;
        self.execute("DELETE FROM health_checks WHERE line_id = ?1", params![line])?;
        Ok(())
    }

    /// Adds a health event, which the store numbers. Deletes the oldest of the Cloud PC if there
    /// are too many.
    pub fn health_event_insert(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        event: &HealthEvent,
    ) -> Result<(), StoreError> {
        let id = self.next_number(tenant, Counter::HealthEvent, cloud_pc.0)?;
        self.execute(
            "INSERT INTO health_events (tenant_id, cloud_pc_id, id, at, name, well, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![tenant.0, cloud_pc.0, id, event.at.0, event.name, event.well, event.message],
        )?;
        self.execute(
            "DELETE FROM health_events WHERE tenant_id = ?1 AND cloud_pc_id = ?2 AND id <= ?3",
            params![tenant.0, cloud_pc.0, id - HEALTH_EVENTS_MAX],
        )?;
        self.updated(tenant, EntityType::CloudPc, cloud_pc);
        Ok(())
    }
}

/// Reads the columns that a claim returns.
fn health_check(row: Row<'_>) -> Result<HealthCheck, StoreError> {
    let mut columns = Columns::new(row, CHECKS);
    Ok(HealthCheck {
        tenant_id: TenantId(columns.get()?),
        cloud_pc_id: CloudPcId(columns.get()?),
        restarts: columns.get()?,
        restart_at: columns.time_opt()?,
        forget_at: columns.time_opt()?,
        enrol: columns.get()?,
        due_at: columns.time()?,
    })
}
