//! The health of machines: which is to be looked at when, and what was found.
//!
//! A check is due when a machine may have changed by itself, when it is to be started again, and
//! when it has been well for long. One whose machine has an open remote action is never due: what
//! that action does to the machine is nobody else's business.

use cloudpc_model::{CloudPcId, HealthCheck, HealthEvent, TenantId, Timestamp};

use crate::connection::dialect::lesser;
use crate::connection::{Row, params};
use crate::counters::Counter;
use crate::rows::{self, Columns, at_rest, micros};
use crate::{Reader, StoreError, Tx};

/// Findings that are kept of a Cloud PC; the oldest make room.
pub const HEALTH_EVENTS_MAX: i64 = 1000;

const CHECKS: &str = "health_checks";

impl Reader<'_> {
    /// When the next check is due; none if none is.
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

    /// When a machine is due for a look.
    pub fn health_check_due_at(&self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<Option<Timestamp>, StoreError> {
        let Some(line) = self.line(tenant, &cloud_pc.to_string())? else { return Ok(None) };
        self.row("SELECT due_at FROM health_checks WHERE line_id = ?1", params![line], |row| {
            Columns::new(row, CHECKS).time()
        })
    }

    /// What was found of a Cloud PC, newest first, numbers below `before`.
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
    /// Has a machine looked at, at once unless it is due already; what is known of it stays. One
    /// that is of no Cloud PC is nobody's. Drivers know no tenants, so its tenant is looked up.
    pub fn health_check_ask(&mut self, cloud_pc: CloudPcId, now: Timestamp) -> Result<(), StoreError> {
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

    /// The same for a machine that was just made, whose guest has yet to be told its name.
    pub fn health_check_ask_to_enrol(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.health_check_ask(cloud_pc, now)?;
        let (line, _) = self.line_ensure(tenant, &cloud_pc.to_string())?;
        self.execute("UPDATE health_checks SET enrol = 1 WHERE line_id = ?1", params![line])?;
        Ok(())
    }

    /// Takes up to `limit` checks that are due, and makes each due again at `again_at`, in case
    /// nothing comes of it.
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

    /// Stores what is known of a machine, which is looked at again at `due_at`.
    pub fn health_check_put_off(&mut self, check: &HealthCheck, due_at: Timestamp) -> Result<(), StoreError> {
        let (line, _) = self.line_ensure(check.tenant_id, &check.cloud_pc_id.to_string())?;
        self.execute(
            "UPDATE health_checks SET restarts = ?2, restart_at = ?3, forget_at = ?4, enrol = ?5, due_at = ?6 WHERE line_id = ?1",
            params![line, check.restarts, micros(check.restart_at), micros(check.forget_at), check.enrol, due_at.0],
        )?;
        Ok(())
    }

    /// Forgets a machine that need not be looked at again. Forgotten already is fine.
    pub fn health_check_delete(&mut self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        let (line, _) = self.line_ensure(tenant, &cloud_pc.to_string())?;
        self.execute("DELETE FROM health_checks WHERE line_id = ?1", params![line])?;
        Ok(())
    }

    /// Adds a finding, which the store numbers. The oldest of the Cloud PC makes room if there are
    /// too many.
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
        Ok(())
    }
}

/// Reads what a claim returns.
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
