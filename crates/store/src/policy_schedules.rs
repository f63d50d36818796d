//! Schedules by which provisioning policies are applied.

use cloudpc_model::{ApplySchedule, DocumentType, EntityType, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, json, micros};
use crate::{Reader, StoreError, Tx};

/// The schedule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySchedule {
    /// Tenant of the policy.
    pub tenant_id: TenantId,
    /// Policy.
    pub policy_id: String,
    /// Schedule.
    pub schedule: ApplySchedule,
    /// Next run; none once the schedule has ended.
    pub next_run_at: Option<Timestamp>,
}

impl Reader<'_> {
    /// The schedule of a policy.
    pub fn policy_schedule(&self, tenant: TenantId, policy: &str) -> Result<Option<PolicySchedule>, StoreError> {
        self.row(
            "SELECT tenant_id, policy_id, schedule, next_run_at FROM policy_schedules
             WHERE tenant_id = ?1 AND policy_id = ?2",
            params![tenant.0, policy],
            policy_schedule,
        )
    }

    /// Up to `limit` schedules of all tenants whose next run is due by `now`, earliest first.
    pub fn policy_schedule_due(&self, now: Timestamp, limit: usize) -> Result<Vec<PolicySchedule>, StoreError> {
        self.rows(
            "SELECT tenant_id, policy_id, schedule, next_run_at FROM policy_schedules
             WHERE next_run_at IS NOT NULL AND next_run_at <= ?1 ORDER BY next_run_at, tenant_id, policy_id LIMIT ?2",
            params![now.0, rows::limit(limit)],
            policy_schedule,
        )
    }

    /// The next run of all schedules.
    pub fn policy_schedule_next_run(&self) -> Result<Option<Timestamp>, StoreError> {
        self.row(
            "SELECT next_run_at FROM policy_schedules
             WHERE next_run_at IS NOT NULL ORDER BY next_run_at, tenant_id, policy_id LIMIT 1",
            params![],
            |row| Columns::new(row, "policy_schedules").time(),
        )
    }
}

impl Tx<'_> {
    /// Stores the schedule of a policy, in place of its last one.
    pub fn policy_schedule_put(&mut self, schedule: &PolicySchedule) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO policy_schedules (tenant_id, policy_id, schedule, next_run_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant_id, policy_id) DO UPDATE SET schedule = excluded.schedule,
               next_run_at = excluded.next_run_at",
            params![schedule.tenant_id.0, schedule.policy_id, json(&schedule.schedule), micros(schedule.next_run_at),],
        )?;
        self.updated(
            schedule.tenant_id,
            EntityType::Document(DocumentType::CloudPcProvisioningPolicy),
            &schedule.policy_id,
        );
        self.signal_provisioning();
        Ok(())
    }

    /// Deletes the schedule of a policy.
    pub fn policy_schedule_delete(&mut self, tenant: TenantId, policy: &str) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM policy_schedules WHERE tenant_id = ?1 AND policy_id = ?2",
            params![tenant.0, policy],
        )?;
        Ok(())
    }
}

fn policy_schedule(row: Row<'_>) -> Result<PolicySchedule, StoreError> {
    let mut columns = Columns::new(row, "policy_schedules");
    Ok(PolicySchedule {
        tenant_id: TenantId(columns.get()?),
        policy_id: columns.get()?,
        schedule: columns.json()?,
        next_run_at: columns.time_opt()?,
    })
}
