//! The machines of the Cloud PCs in the store.

use cloudpc_drivers::MachineSpec;
use cloudpc_model::{CloudPc, ServicePlan, TenantId};
use cloudpc_store::{Reader, StoreError};

use super::PAGE_ROWS;

/// Returns the machines of all tenants' Cloud PCs.
pub(super) fn machines(reader: &Reader<'_>) -> Result<Vec<MachineSpec>, StoreError> {
    let mut machines = Vec::new();
    for (tenant, _) in reader.tenant_list()? {
        let plans = reader.service_plan_list(tenant)?;
        for cloud_pc in cloud_pcs(reader, tenant)? {
            let plan = plans.iter().find(|plan| plan.id == cloud_pc.service_plan_id).ok_or_else(|| {
                StoreError::Corrupt { table: "cloud_pcs", what: format!("{} has no service plan", cloud_pc.id) }
            })?;
            machines.push(machine_spec(&cloud_pc, plan));
        }
    }
    Ok(machines)
}

/// Returns all Cloud PCs of a tenant, in the order of their ids.
pub(super) fn cloud_pcs(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<CloudPc>, StoreError> {
    let mut cloud_pcs = Vec::new();
    loop {
        let after = cloud_pcs.last().map(|last: &CloudPc| last.id);
        let page = reader.cloud_pc_list(tenant, None, after, PAGE_ROWS)?;
        if page.is_empty() {
            return Ok(cloud_pcs);
        }
        cloud_pcs.extend(page);
    }
}

fn machine_spec(cloud_pc: &CloudPc, plan: &ServicePlan) -> MachineSpec {
    MachineSpec {
        id: cloud_pc.id,
        hostname: cloud_pc.managed_device_name.clone(),
        vcpu_count: plan.vcpu_count,
        ram_gib: plan.ram_gib,
        storage_gib: plan.storage_gib,
        gpu: plan.gpu,
        image: cloud_pc.image_id.clone(),
    }
}
