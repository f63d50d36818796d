//! Rollouts of provisioning policies, and the Cloud PCs that each has still to change.

use cloudpc_model::{Action, ActionId, CloudPcId, Params, PolicySettingTypes, Rollout, State, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, json, micros};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, policy_id, reserve_percentage, requested_by, request_id, started_at, finished_at, failed"
    };
}

/// A condition: the policy applies to a Cloud PC, and the region `?3` or the single sign-on `?4` of
/// the policy differs from its own. Null compares nothing.
macro_rules! outdated {
    () => {
        "provisioned_at IS NOT NULL AND grace_ends_at IS NULL
         AND status NOT IN ('notProvisioned', 'failed', 'deprovisioning')
         AND (cloud_pcs.region <> coalesce(?3, cloud_pcs.region)
             OR cloud_pcs.single_sign_on <> coalesce(?4, cloud_pcs.single_sign_on))"
    };
}

/// The entitlements of a policy with their Cloud PCs.
macro_rules! of_policy {
    () => {
        " FROM entitlements JOIN cloud_pcs
             ON cloud_pcs.tenant_id = entitlements.tenant_id AND cloud_pcs.id = entitlements.cloud_pc_id
         WHERE entitlements.tenant_id = ?1 AND entitlements.policy_id = ?2 AND "
    };
}

/// What happens to a Cloud PC that is in the rollout: it waits again, with the settings of both.
macro_rules! joined {
    () => {
        " ON CONFLICT (tenant_id, policy_id, cloud_pc_id) DO UPDATE SET action_id = NULL,
          region = CASE excluded.region WHEN 1 THEN 1 ELSE rollout_cloud_pcs.region END,
          single_sign_on = CASE excluded.single_sign_on WHEN 1 THEN 1 ELSE rollout_cloud_pcs.single_sign_on END"
    };
}

/// Values of a policy that its Cloud PCs are compared with. None compares nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyValues {
    /// Region.
    pub region: Option<String>,
    /// Whether single sign-on is used.
    pub single_sign_on: Option<bool>,
}

impl Reader<'_> {
    /// The latest rollout of a policy.
    pub fn rollout(&self, tenant: TenantId, policy: &str) -> Result<Option<Rollout>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM rollouts WHERE tenant_id = ?1 AND policy_id = ?2"),
            params![tenant.0, policy],
            rollout,
        )
    }

    /// Up to `limit` rollouts of all tenants that the engine has to look at, oldest first.
    pub fn rollout_due(&self, limit: usize) -> Result<Vec<Rollout>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM rollouts WHERE due = 1 ORDER BY started_at, tenant_id, policy_id LIMIT ?1"
            ),
            params![rows::limit(limit)],
            rollout,
        )
    }

    /// Up to `limit` Cloud PCs of a rollout that wait for their turn, by id, with the settings to
    /// bring to each.
    pub fn rollout_waiting(
        &self,
        tenant: TenantId,
        policy: &str,
        limit: usize,
    ) -> Result<Vec<(CloudPcId, PolicySettingTypes)>, StoreError> {
        self.rows(
            "SELECT cloud_pc_id, region, single_sign_on FROM rollout_cloud_pcs
             WHERE tenant_id = ?1 AND policy_id = ?2 AND action_id IS NULL ORDER BY cloud_pc_id LIMIT ?3",
            params![tenant.0, policy, rows::limit(limit)],
            |row| {
                let mut columns = Columns::new(row, "rollout_cloud_pcs");
                let id = CloudPcId(columns.get()?);
                Ok((id, PolicySettingTypes { region: columns.get()?, single_sign_on: columns.get()? }))
            },
        )
    }

    /// Number of Cloud PCs that a rollout is changing.
    pub fn rollout_running_count(&self, tenant: TenantId, policy: &str) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM rollout_cloud_pcs
             WHERE tenant_id = ?1 AND policy_id = ?2 AND action_id IS NOT NULL",
            params![tenant.0, policy],
        )
    }

    /// Whether a Cloud PC of a policy differs from these values.
    pub fn rollout_is_outdated(
        &self,
        tenant: TenantId,
        policy: &str,
        values: &PolicyValues,
    ) -> Result<bool, StoreError> {
        let found = self.row(
            concat!("SELECT 1", of_policy!(), outdated!(), " LIMIT 1"),
            params![tenant.0, policy, values.region, values.single_sign_on],
            |row| row.get::<i64>(0),
        )?;
        Ok(found.is_some())
    }
}

impl Tx<'_> {
    /// Stores a rollout, in place of the policy's last one. It is due at once.
    pub fn rollout_put(&mut self, rollout: &Rollout) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO rollouts (tenant_id, policy_id, reserve_percentage, requested_by, request_id, started_at,
               finished_at, failed, due)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)
             ON CONFLICT (tenant_id, policy_id) DO UPDATE SET reserve_percentage = excluded.reserve_percentage,
               requested_by = excluded.requested_by, request_id = excluded.request_id,
               started_at = excluded.started_at, finished_at = excluded.finished_at, failed = excluded.failed, due = 1",
            params![
                rollout.tenant_id.0,
                rollout.policy_id,
                rollout.reserve_percentage,
                json(&rollout.requested_by),
                rollout.request_id,
                rollout.started_at.0,
                micros(rollout.finished_at),
                rollout.failed,
            ],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Adds every Cloud PC of the policy that differs from these values to its rollout.
    pub fn rollout_add_outdated(
        &mut self,
        tenant: TenantId,
        policy: &str,
        values: &PolicyValues,
    ) -> Result<(), StoreError> {
        self.execute(
            concat!(
                "INSERT INTO rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id, region, single_sign_on)
                 SELECT ?1, ?2, cloud_pcs.id, ?5, ?6",
                of_policy!(),
                outdated!(),
                joined!()
            ),
            params![
                tenant.0,
                policy,
                values.region,
                values.single_sign_on,
                values.region.is_some(),
                values.single_sign_on.is_some(),
            ],
        )?;
        Ok(())
    }

    /// Adds a Cloud PC to a rollout.
    pub fn rollout_add(
        &mut self,
        tenant: TenantId,
        policy: &str,
        cloud_pc: CloudPcId,
        settings: PolicySettingTypes,
    ) -> Result<(), StoreError> {
        self.execute(
            concat!(
                "INSERT INTO rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id, region, single_sign_on)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                joined!()
            ),
            params![tenant.0, policy, cloud_pc.0, settings.region, settings.single_sign_on],
        )?;
        Ok(())
    }

    /// Notes which action changes a Cloud PC of a rollout.
    pub fn rollout_begin(
        &mut self,
        tenant: TenantId,
        policy: &str,
        cloud_pc: CloudPcId,
        action: ActionId,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE rollout_cloud_pcs SET action_id = ?4 WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3",
            params![tenant.0, policy, cloud_pc.0, action.0],
        )?;
        Ok(())
    }

    /// Takes a Cloud PC that needs no change out of a rollout.
    pub fn rollout_remove(&mut self, tenant: TenantId, policy: &str, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM rollout_cloud_pcs WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3",
            params![tenant.0, policy, cloud_pc.0],
        )?;
        Ok(())
    }

    /// Leaves a rollout alone until one of its actions ends, or for good if it has finished.
    pub fn rollout_rest(
        &mut self,
        tenant: TenantId,
        policy: &str,
        finished_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE rollouts SET due = 0, finished_at = ?3 WHERE tenant_id = ?1 AND policy_id = ?2",
            params![tenant.0, policy, micros(finished_at)],
        )?;
        Ok(())
    }

    /// Deletes the rollout of a policy. Its actions go on.
    pub fn rollout_delete(&mut self, tenant: TenantId, policy: &str) -> Result<(), StoreError> {
        for table in [
            "DELETE FROM rollout_cloud_pcs WHERE tenant_id = ?1 AND policy_id = ?2",
            "DELETE FROM rollouts WHERE tenant_id = ?1 AND policy_id = ?2",
        ] {
            self.execute(table, params![tenant.0, policy])?;
        }
        Ok(())
    }

    /// Takes the Cloud PC of an action that has ended out of its rollout, which is due then.
    pub(crate) fn rollout_action_ended(&mut self, action: &Action) -> Result<(), StoreError> {
        let (Params::ApplyPolicy { policy_id, .. }, Some(cloud_pc)) = (&action.params, action.cloud_pc_id()) else {
            return Ok(());
        };
        let own = self.execute(
            "DELETE FROM rollout_cloud_pcs
             WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3 AND action_id = ?4",
            params![action.tenant_id.0, policy_id, cloud_pc.0, action.id.0],
        )?;
        // An action that a later rollout replaced says nothing about that rollout.
        let failed = own > 0 && action.state != State::Done;
        self.execute(
            "UPDATE rollouts SET due = 1, failed = CASE WHEN ?3 THEN 1 ELSE failed END
             WHERE tenant_id = ?1 AND policy_id = ?2 AND finished_at IS NULL",
            params![action.tenant_id.0, policy_id, failed],
        )?;
        self.signal_provisioning();
        Ok(())
    }
}

fn rollout(row: Row<'_>) -> Result<Rollout, StoreError> {
    let mut columns = Columns::new(row, "rollouts");
    Ok(Rollout {
        tenant_id: TenantId(columns.get()?),
        policy_id: columns.get()?,
        reserve_percentage: columns.get()?,
        requested_by: columns.json()?,
        request_id: columns.get()?,
        started_at: columns.time()?,
        finished_at: columns.time_opt()?,
        failed: columns.get()?,
    })
}
