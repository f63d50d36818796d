//! Rollouts of provisioning policies, and the Cloud PCs that each has still to change.

use cloudpc_model::{
    Action, ActionId, CloudPcId, DocumentType, EntityType, Params, PolicySettingTypes, Rollout, State, TenantId,
    Timestamp,
};

use crate::connection::{Row, params};
use crate::rows::{self, Columns, guid_after, json, micros};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, policy_id, reserve_percentage, requested_by, request_id, started_at, finished_at, failed"
    };
}

macro_rules! cloud_pcs_where {
    ($condition:literal) => {
        concat!(
            "SELECT cloud_pc_id, region, single_sign_on, brings_region, brings_single_sign_on FROM rollout_cloud_pcs
             WHERE tenant_id = ?1 AND policy_id = ?2 AND ",
            $condition,
            " ORDER BY cloud_pc_id LIMIT ?3"
        )
    };
}

/// A condition: [`CloudPc::takes_policy_changes`](cloudpc_model::CloudPc::takes_policy_changes).
macro_rules! takes_policy_changes {
    () => {
        "provisioned_at IS NOT NULL AND grace_ends_at IS NULL
         AND status NOT IN ('notProvisioned', 'failed', 'deprovisioning', 'resizePendingLicense')"
    };
}

/// Adds the requested settings to a Cloud PC that is already in the rollout, and marks an action in
/// progress for comparison.
macro_rules! joined {
    () => {
        " ON CONFLICT (tenant_id, policy_id, cloud_pc_id) DO UPDATE SET
          outdated = CASE WHEN rollout_cloud_pcs.action_id IS NULL THEN 0 ELSE 1 END,
          region = CASE excluded.region WHEN 1 THEN 1 ELSE rollout_cloud_pcs.region END,
          single_sign_on = CASE excluded.single_sign_on WHEN 1 THEN 1 ELSE rollout_cloud_pcs.single_sign_on END"
    };
}

/// Values of a policy's settings. None leaves a setting alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyValues {
    /// Region.
    pub region: Option<String>,
    /// Whether single sign-on is used.
    pub single_sign_on: Option<bool>,
}

impl PolicyValues {
    /// Returns the values that differ from those of the same settings in `other`.
    #[must_use]
    pub fn differing_from(&self, other: &Self) -> Self {
        Self {
            region: self.region.clone().filter(|region| Some(region) != other.region.as_ref()),
            single_sign_on: self.single_sign_on.filter(|value| Some(*value) != other.single_sign_on),
        }
    }

    /// Returns these values, and those of `other` where these leave a setting alone.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { region: self.region.or(other.region), single_sign_on: self.single_sign_on.or(other.single_sign_on) }
    }
}

/// A Cloud PC of a rollout that is due for the reconciler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutCloudPc {
    /// Cloud PC.
    pub id: CloudPcId,
    /// Settings to bring to it.
    pub settings: PolicySettingTypes,
    /// Values that an open action of the rollout brings to it.
    pub coming: PolicyValues,
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

    /// The oldest rollout that is due for the reconciler, of the first tenant after `after` that
    /// has one.
    pub fn rollout_due(&self, after: Option<TenantId>) -> Result<Option<Rollout>, StoreError> {
        self.row(
            concat!(
                "SELECT ",
                columns!(),
                " FROM rollouts WHERE due = 1 AND tenant_id > ?1 ORDER BY tenant_id, started_at, policy_id LIMIT 1"
            ),
            params![guid_after(after.map(|tenant| tenant.0))],
            rollout,
        )
    }

    /// Up to `limit` Cloud PCs of a rollout that wait for their turn, by id.
    pub fn rollout_waiting(
        &self,
        tenant: TenantId,
        policy: &str,
        limit: usize,
    ) -> Result<Vec<RolloutCloudPc>, StoreError> {
        self.rows(
            cloud_pcs_where!("action_id IS NULL"),
            params![tenant.0, policy, rows::limit(limit)],
            rollout_cloud_pc,
        )
    }

    /// Up to `limit` Cloud PCs of a rollout that an action changes, perhaps to values that a later
    /// request no longer wants, by id.
    pub fn rollout_outdated(
        &self,
        tenant: TenantId,
        policy: &str,
        limit: usize,
    ) -> Result<Vec<RolloutCloudPc>, StoreError> {
        self.rows(cloud_pcs_where!("outdated = 1"), params![tenant.0, policy, rows::limit(limit)], rollout_cloud_pc)
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
            concat!(
                "SELECT 1 FROM entitlements JOIN cloud_pcs
                     ON cloud_pcs.tenant_id = entitlements.tenant_id AND cloud_pcs.id = entitlements.cloud_pc_id
                 WHERE entitlements.tenant_id = ?1 AND entitlements.policy_id = ?2 AND ",
                takes_policy_changes!(),
                " AND (cloud_pcs.region <> coalesce(?3, cloud_pcs.region)
                     OR cloud_pcs.single_sign_on <> coalesce(?4, cloud_pcs.single_sign_on)) LIMIT 1"
            ),
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
        self.rollout_changed(rollout.tenant_id, &rollout.policy_id);
        self.signal_provisioning();
        Ok(())
    }

    /// Adds every Cloud PC of the policy to its rollout that differs from these values, or will
    /// once the action that changes it has ended.
    pub fn rollout_add_outdated(
        &mut self,
        tenant: TenantId,
        policy: &str,
        values: &PolicyValues,
    ) -> Result<(), StoreError> {
        self.execute(
            concat!(
                "INSERT INTO rollout_cloud_pcs (tenant_id, policy_id, cloud_pc_id, region, single_sign_on)
                 SELECT ?1, ?2, cloud_pcs.id, ?5, ?6 FROM entitlements
                 JOIN cloud_pcs
                     ON cloud_pcs.tenant_id = entitlements.tenant_id AND cloud_pcs.id = entitlements.cloud_pc_id
                 LEFT JOIN rollout_cloud_pcs AS present
                     ON present.tenant_id = entitlements.tenant_id AND present.policy_id = entitlements.policy_id
                     AND present.cloud_pc_id = entitlements.cloud_pc_id
                 WHERE entitlements.tenant_id = ?1 AND entitlements.policy_id = ?2
                 AND (coalesce(brings_region, cloud_pcs.region) <> coalesce(?3, brings_region, cloud_pcs.region)
                     OR coalesce(brings_single_sign_on, cloud_pcs.single_sign_on)
                         <> coalesce(?4, brings_single_sign_on, cloud_pcs.single_sign_on)) AND ",
                takes_policy_changes!(),
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

    /// Notes which action changes a Cloud PC of a rollout, and to which values.
    pub fn rollout_begin(
        &mut self,
        tenant: TenantId,
        policy: &str,
        cloud_pc: CloudPcId,
        action: ActionId,
        brings: &PolicyValues,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE rollout_cloud_pcs SET action_id = ?4, brings_region = ?5, brings_single_sign_on = ?6, outdated = 0
             WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3",
            params![tenant.0, policy, cloud_pc.0, action.0, brings.region, brings.single_sign_on],
        )?;
        Ok(())
    }

    /// Notes that a Cloud PC of a rollout needs no change but the one in progress, if there is one.
    /// Without one it leaves the rollout.
    pub fn rollout_keep(&mut self, tenant: TenantId, policy: &str, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        for change in [
            "DELETE FROM rollout_cloud_pcs
             WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3 AND action_id IS NULL",
            "UPDATE rollout_cloud_pcs SET outdated = 0 WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3",
        ] {
            self.execute(change, params![tenant.0, policy, cloud_pc.0])?;
        }
        Ok(())
    }

    /// Takes a Cloud PC that can no longer be changed out of a rollout. An action in progress goes
    /// on.
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
        if finished_at.is_some() {
            self.rollout_changed(tenant, policy);
        }
        Ok(())
    }

    /// Notes a change of a rollout, whose status the policy shows.
    fn rollout_changed(&mut self, tenant: TenantId, policy: &str) {
        self.updated(tenant, EntityType::Document(DocumentType::CloudPcProvisioningPolicy), policy);
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

    /// Takes the Cloud PC of an action that has ended out of its rollout, which is due then. A
    /// Cloud PC that a later request has added waits for its turn instead.
    pub(crate) fn rollout_action_ended(&mut self, action: &Action) -> Result<(), StoreError> {
        let (Params::ApplyPolicy { policy_id, .. }, Some(cloud_pc)) = (&action.params, action.cloud_pc_id()) else {
            return Ok(());
        };
        let own = self.execute(
            "DELETE FROM rollout_cloud_pcs
             WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id = ?3 AND action_id = ?4 AND outdated = 0",
            params![action.tenant_id.0, policy_id, cloud_pc.0, action.id.0],
        )?;
        self.execute(
            "UPDATE rollout_cloud_pcs
             SET action_id = NULL, brings_region = NULL, brings_single_sign_on = NULL, outdated = 0
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

fn rollout_cloud_pc(row: Row<'_>) -> Result<RolloutCloudPc, StoreError> {
    let mut columns = Columns::new(row, "rollout_cloud_pcs");
    Ok(RolloutCloudPc {
        id: CloudPcId(columns.get()?),
        settings: PolicySettingTypes { region: columns.get()?, single_sign_on: columns.get()? },
        coming: PolicyValues { region: columns.get()?, single_sign_on: columns.get()? },
    })
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
