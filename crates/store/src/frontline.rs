//! Activations: the frontline Cloud PCs that use a licence now.

use cloudpc_model::{CloudPcId, EntityType, ServicePlanId, TenantId, Timestamp};

use crate::connection::{Row, params};
use crate::rows::Columns;
use crate::{Reader, StoreError, Tx};

/// A frontline Cloud PC that uses a licence of its service plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontlineActivation {
    /// Tenant.
    pub tenant_id: TenantId,
    /// The Cloud PC.
    pub cloud_pc_id: CloudPcId,
    /// The service plan of the licence.
    pub service_plan_id: ServicePlanId,
    /// Since when.
    pub since: Timestamp,
}

impl Reader<'_> {
    /// Returns the activation of a frontline Cloud PC; none if it uses no licence.
    pub fn frontline_activation(
        &self,
        tenant: TenantId,
        cloud_pc: CloudPcId,
    ) -> Result<Option<FrontlineActivation>, StoreError> {
        self.row(
            "SELECT tenant_id, cloud_pc_id, service_plan_id, since FROM frontline_activations
             WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0],
            activation,
        )
    }

    /// Returns how many frontline Cloud PCs use a licence of a service plan.
    pub fn frontline_activation_count(&self, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM frontline_activations WHERE tenant_id = ?1 AND service_plan_id = ?2",
            params![tenant.0, plan.0],
        )
    }
}

impl Tx<'_> {
    /// Stores the activation of a frontline Cloud PC, in place of an earlier one.
    pub fn frontline_activation_put(&mut self, activation: &FrontlineActivation) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO frontline_activations (tenant_id, cloud_pc_id, service_plan_id, since) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant_id, cloud_pc_id) DO UPDATE SET service_plan_id = excluded.service_plan_id",
            params![activation.tenant_id.0, activation.cloud_pc_id.0, activation.service_plan_id.0, activation.since.0],
        )?;
        self.updated(activation.tenant_id, EntityType::CloudPc, activation.cloud_pc_id);
        Ok(())
    }

    /// Releases the licence that a frontline Cloud PC uses, if it uses one.
    pub fn frontline_activation_delete(&mut self, tenant: TenantId, cloud_pc: CloudPcId) -> Result<(), StoreError> {
        let released = self.execute(
            "DELETE FROM frontline_activations WHERE tenant_id = ?1 AND cloud_pc_id = ?2",
            params![tenant.0, cloud_pc.0],
        )?;
        if released == 1 {
            self.updated(tenant, EntityType::CloudPc, cloud_pc);
        }
        Ok(())
    }
}

fn activation(row: Row<'_>) -> Result<FrontlineActivation, StoreError> {
    let mut columns = Columns::new(row, "frontline_activations");
    Ok(FrontlineActivation {
        tenant_id: TenantId(columns.get()?),
        cloud_pc_id: CloudPcId(columns.get()?),
        service_plan_id: ServicePlanId(columns.get()?),
        since: columns.time()?,
    })
}
