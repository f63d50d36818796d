//! What entitles users to the Cloud PCs that provisioning policies made for them, and groups to
//! those that they share.

use cloudpc_model::{CloudPcId, ServicePlanId, SkuId, TenantId, UserId};

use crate::cloud_pcs::{user_key, user_of_key};
use crate::connection::{Row, params};
use crate::rows::{self, Columns, guid_after};
use crate::{Reader, StoreError, Tx};

macro_rules! columns {
    () => {
        "tenant_id, cloud_pc_id, user_id, policy_id, assignment_id, service_plan_id, sku_id"
    };
}

/// What entitles a user or a group to a Cloud PC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Cloud PC that was made for it.
    pub cloud_pc_id: CloudPcId,
    /// Entitled user; none for a shared Cloud PC.
    pub user_id: Option<UserId>,
    /// Provisioning policy that made the Cloud PC.
    pub policy_id: String,
    /// Assignment whose seat is taken or whose group shares the Cloud PC; empty for a licence.
    pub assignment_id: String,
    /// Service plan of the licence or seat. The Cloud PC may have been resized since.
    pub service_plan_id: ServicePlanId,
    /// Product whose licence is used; none for a frontline assignment.
    pub sku_id: Option<SkuId>,
}

impl Reader<'_> {
    /// What entitles a user to Cloud PCs that exist, by Cloud PC.
    pub fn entitlement_list(&self, tenant: TenantId, user: UserId) -> Result<Vec<Entitlement>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM entitlements WHERE tenant_id = ?1 AND user_id = ?2 ORDER BY cloud_pc_id"
            ),
            params![tenant.0, user.0],
            entitlement,
        )
    }

    /// What entitles groups to shared Cloud PCs that exist, by Cloud PC.
    pub fn shared_entitlement_list(&self, tenant: TenantId) -> Result<Vec<Entitlement>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM entitlements WHERE tenant_id = ?1 AND user_id = ?2 ORDER BY cloud_pc_id"
            ),
            params![tenant.0, user_key(None)],
            entitlement,
        )
    }

    /// Whether the tenant has a shared Cloud PC.
    pub fn shared_entitlement_exists(&self, tenant: TenantId) -> Result<bool, StoreError> {
        let found = self.row(
            "SELECT 1 FROM entitlements WHERE tenant_id = ?1 AND user_id = ?2 LIMIT 1",
            params![tenant.0, user_key(None)],
            |row| row.get::<i64>(0),
        )?;
        Ok(found.is_some())
    }

    /// The shared Cloud PCs of an assignment, by Cloud PC.
    pub fn shared_entitlements_of(
        &self,
        tenant: TenantId,
        policy: &str,
        assignment: &str,
    ) -> Result<Vec<Entitlement>, StoreError> {
        self.rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM entitlements WHERE tenant_id = ?1 AND policy_id = ?2 AND assignment_id = ?3 AND user_id = ?4
                 ORDER BY cloud_pc_id"
            ),
            params![tenant.0, policy, assignment, user_key(None)],
            entitlement,
        )
    }

    /// Up to `limit` Cloud PCs of a policy by id, those after `after`.
    pub fn entitlement_cloud_pcs(
        &self,
        tenant: TenantId,
        policy: &str,
        after: Option<CloudPcId>,
        limit: usize,
    ) -> Result<Vec<CloudPcId>, StoreError> {
        self.rows(
            "SELECT cloud_pc_id FROM entitlements
             WHERE tenant_id = ?1 AND policy_id = ?2 AND cloud_pc_id > ?3 ORDER BY cloud_pc_id LIMIT ?4",
            params![tenant.0, policy, guid_after(after.map(|id| id.0)), rows::limit(limit)],
            |row| Ok(CloudPcId(row.get(0)?)),
        )
    }

    /// What entitles a user to a Cloud PC; none if no policy made it.
    pub fn entitlement(&self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<Option<Entitlement>, StoreError> {
        self.row(
            concat!("SELECT ", columns!(), " FROM entitlements WHERE tenant_id = ?1 AND cloud_pc_id = ?2"),
            params![tenant.0, cloud_pc.0],
            entitlement,
        )
    }

    /// Number of Cloud PCs of a policy.
    pub fn entitlement_count(&self, tenant: TenantId, policy: &str) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM entitlements WHERE tenant_id = ?1 AND policy_id = ?2",
            params![tenant.0, policy],
        )
    }

    /// Number of Cloud PCs with the status `inGracePeriod` that were made for a licence of this
    /// product.
    pub fn grace_count(&self, tenant: TenantId, sku: SkuId) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM cloud_pcs JOIN entitlements
               ON entitlements.tenant_id = cloud_pcs.tenant_id AND entitlements.cloud_pc_id = cloud_pcs.id
             WHERE cloud_pcs.tenant_id = ?1 AND status = 'inGracePeriod' AND sku_id = ?2",
            params![tenant.0, sku.0],
        )
    }

    /// Number of seats of a service plan that Cloud PCs of one user each take.
    pub fn seat_count(&self, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM entitlements
             WHERE tenant_id = ?1 AND service_plan_id = ?2 AND assignment_id > '' AND user_id <> ?3",
            params![tenant.0, plan.0, user_key(None)],
        )
    }

    /// Number of shared Cloud PCs of a service plan.
    pub fn shared_count(&self, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM entitlements
             WHERE tenant_id = ?1 AND service_plan_id = ?2 AND assignment_id > '' AND user_id = ?3",
            params![tenant.0, plan.0, user_key(None)],
        )
    }

    /// Number of seats that the Cloud PCs of one assignment of a policy take.
    pub fn seat_count_of(
        &self,
        tenant: TenantId,
        plan: ServicePlanId,
        policy: &str,
        assignment: &str,
    ) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM entitlements WHERE tenant_id = ?1 AND service_plan_id = ?2 AND policy_id = ?3
             AND assignment_id = ?4",
            params![tenant.0, plan.0, policy, assignment],
        )
    }
}

impl Tx<'_> {
    /// Adds what entitles a user to a Cloud PC. It goes with the Cloud PC.
    pub fn entitlement_insert(&mut self, entitlement: &Entitlement) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO entitlements
               (tenant_id, cloud_pc_id, user_id, policy_id, assignment_id, service_plan_id, sku_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                entitlement.tenant_id.0,
                entitlement.cloud_pc_id.0,
                user_key(entitlement.user_id),
                entitlement.policy_id,
                entitlement.assignment_id,
                entitlement.service_plan_id.0,
                entitlement.sku_id.map(|sku| sku.0),
            ],
        )?;
        Ok(())
    }

    /// Moves a Cloud PC to a licence of another product of its user.
    pub fn entitlement_move(
        &mut self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
        sku: SkuId,
        plan: ServicePlanId,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE entitlements SET sku_id = ?3, service_plan_id = ?4 WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0, sku.0, plan.0],
        )?;
        Ok(())
    }
}

fn entitlement(row: Row<'_>) -> Result<Entitlement, StoreError> {
    let mut columns = Columns::new(row, "entitlements");
    Ok(Entitlement {
        tenant_id: TenantId(columns.get()?),
        cloud_pc_id: CloudPcId(columns.get()?),
        user_id: user_of_key(columns.get()?),
        policy_id: columns.get()?,
        assignment_id: columns.get()?,
        service_plan_id: ServicePlanId(columns.get()?),
        sku_id: columns.get::<Option<_>>()?.map(SkuId),
    })
}
