//! Entitlements of Cloud PCs that were not provisioned by the reconciler, such as those that a
//! scenario states.

use cloudpc_model::{CloudPc, GroupId, TenantId};
use cloudpc_store::{Entitlement, StoreError, Tx};
use std::collections::HashSet;

use super::shared::free_assignment;
use crate::frontline::has_free_seat;
use crate::policy::{Policies, Supply, unused_licenses};

/// Gives Cloud PCs the entitlements that their policies would have provisioned them with: each
/// takes a licence or seat of its user that no other Cloud PC takes. A Cloud PC for which there is
/// none gets no entitlement, so no policy ever changes it.
///
/// # Errors
/// The store fails.
pub fn entitle(tx: &mut Tx<'_>, tenant: TenantId, cloud_pcs: &[&CloudPc]) -> Result<(), StoreError> {
    if cloud_pcs.is_empty() {
        return Ok(());
    }
    let mut groups = Vec::with_capacity(cloud_pcs.len());
    for cloud_pc in cloud_pcs {
        let of_user = cloud_pc.user_id.map(|user| tx.user_groups(tenant, user)).transpose()?.unwrap_or_default();
        groups.push(of_user.into_iter().map(|group| group.id).collect::<HashSet<_>>());
    }
    let policies = Policies::read(tx, tenant, groups.iter().flatten())?;
    for (cloud_pc, groups) in cloud_pcs.iter().zip(&groups) {
        if let Some(entitlement) = free_entitlement(tx, &policies, groups, cloud_pc)? {
            tx.entitlement_insert(&entitlement)?;
        }
    }
    Ok(())
}

/// Returns what the policy that a Cloud PC names can give its user.
fn free_entitlement(
    tx: &Tx<'_>,
    policies: &Policies,
    groups: &HashSet<GroupId>,
    cloud_pc: &CloudPc,
) -> Result<Option<Entitlement>, StoreError> {
    let (tenant, plan) = (cloud_pc.tenant_id, cloud_pc.service_plan_id);
    let mut entitlement = Entitlement {
        tenant_id: tenant,
        cloud_pc_id: cloud_pc.id,
        user_id: cloud_pc.user_id,
        policy_id: cloud_pc.provisioning_policy_id.clone(),
        assignment_id: String::new(),
        service_plan_id: plan,
        sku_id: None,
    };
    let Some(user) = cloud_pc.user_id else {
        let found = if cloud_pc.is_shared() { free_assignment(tx, tenant, cloud_pc)? } else { None };
        return Ok(found.map(|(_, assignment)| Entitlement { assignment_id: assignment.id, ..entitlement }));
    };
    let held = tx.entitlement_list(tenant, user)?;
    if policies.applying(groups, Supply::Licenses).any(|(policy, _)| policy.id == entitlement.policy_id) {
        let licenses = tx.user_licenses(tenant, user)?;
        let mut of_plan = unused_licenses(&licenses, &held).filter(|license| license.service_plan_id == plan);
        let Some(license) = of_plan.next() else { return Ok(None) };
        entitlement.sku_id = Some(license.sku_id);
        return Ok(Some(entitlement));
    }
    if held.iter().any(|held| held.sku_id.is_none() && held.service_plan_id == plan) {
        return Ok(None);
    }
    for (policy, assignment) in policies.applying(groups, Supply::Seats) {
        let gives = policy.id == entitlement.policy_id && assignment.service_plan_id == Some(plan);
        if gives && has_free_seat(tx, tenant, policy, assignment, plan)? {
            entitlement.assignment_id.clone_from(&assignment.id);
            return Ok(Some(entitlement));
        }
    }
    Ok(None)
}
