//! Making the Cloud PC that a provisioning policy asks for.

use cloudpc_model::{
    CloudPc, CloudPcId, CloudPcStatus, ManagedDeviceId, NAMING_TEMPLATE_DEFAULT, NAMING_TEMPLATE_SHARED,
    NamingTemplate, OsVersion, Params, Power, Rng, SeededRng, ServicePlan, SkuId, TenantId, Timestamp, UserAccountType,
};
use cloudpc_store::{Entitlement, StoreError, Tx, User};

use crate::frontline;
use crate::ledger::RequestContext;
use crate::policy::{Assignment, Policy};
use crate::request::{Stamp, accept_unchecked};

/// Most names drawn for a new Cloud PC until one is free.
const NAMES_MAX: usize = 16;

/// What a new Cloud PC is for.
pub(super) struct NewClaim<'a> {
    pub policy: &'a Policy,
    /// None for a shared Cloud PC.
    pub user: Option<&'a User>,
    /// Assignment whose seat it takes, or whose group shares it; none if it uses a licence.
    pub assignment: Option<&'a Assignment>,
    pub plan: &'a ServicePlan,
    pub sku_id: Option<SkuId>,
    pub account_type: UserAccountType,
    /// Whether the Cloud PC waits until fewer of its product are in their grace period.
    pub waits: bool,
}

/// Adds a Cloud PC and accepts its provisioning, unless it has to wait.
pub(super) fn provision(
    tx: &mut Tx<'_>,
    claim: &NewClaim<'_>,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let NewClaim { policy, plan, .. } = claim;
    let (tenant, policy_id) = (policy.tenant_id, policy.id.clone());
    let image = tx.image(tenant, &policy.image_id)?;
    let user_principal_name = claim.user.map(|user| user.user_principal_name.clone()).unwrap_or_default();
    let name = free_name(tx, tenant, claim, &user_principal_name, rng)?;
    let cloud_pc = CloudPc {
        tenant_id: tenant,
        id: CloudPcId::random(rng),
        managed_device_id: ManagedDeviceId::random(rng),
        aad_device_id: rng.uuid(),
        display_name: name.clone(),
        managed_device_name: name,
        user_id: claim.user.map(|user| user.id),
        user_principal_name,
        service_plan_id: plan.id,
        image_id: policy.image_id.clone(),
        provisioning_policy_id: policy_id.clone(),
        provisioning_policy_name: policy.name.clone(),
        region: policy.region.clone(),
        single_sign_on: policy.single_sign_on,
        product: plan.product,
        provisioning_type: policy.supply.provisioning_type(),
        user_experience_type: policy.user_experience_type,
        session_started_at: None,
        on_premises_connection_id: policy.connection_id.clone(),
        status: if claim.waits { CloudPcStatus::PendingProvision } else { CloudPcStatus::Provisioning },
        status_before: None,
        status_detail: None,
        power_intended: Power::Running,
        power_observed: Power::PoweredOff,
        os_version: image.map_or(OsVersion::Windows11, |image| image.os_version),
        user_account_type: claim.account_type,
        provisioned_at: None,
        grace_ends_at: None,
        modified_at: now,
        created_at: now,
    };
    tx.cloud_pc_insert(&cloud_pc)?;
    tx.entitlement_insert(&Entitlement {
        tenant_id: tenant,
        cloud_pc_id: cloud_pc.id,
        user_id: cloud_pc.user_id,
        policy_id,
        assignment_id: claim.assignment.map(|assignment| assignment.id.clone()).unwrap_or_default(),
        service_plan_id: plan.id,
        sku_id: claim.sku_id,
    })?;
    if cloud_pc.is_shared() {
        frontline::activate(tx, &cloud_pc, now)?;
    }
    let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
    if !claim.waits {
        accept_unchecked(tx, &RequestContext::system(tenant), &cloud_pc, Params::Provision, stamp)?;
    }
    Ok(())
}

/// Draws a device name that no Cloud PC of the tenant has.
fn free_name(
    tx: &Tx<'_>,
    tenant: TenantId,
    claim: &NewClaim<'_>,
    user_principal_name: &str,
    rng: &SeededRng,
) -> Result<String, StoreError> {
    let default = if claim.user.is_some() { NAMING_TEMPLATE_DEFAULT } else { NAMING_TEMPLATE_SHARED };
    let template = NamingTemplate::parse(claim.policy.naming_template.as_deref().unwrap_or(default))
        .map_err(|what| StoreError::Corrupt { table: "documents", what: format!("a naming template: {what}") })?;
    let mut name = template.name(user_principal_name, rng);
    for _ in 1..NAMES_MAX {
        if !tx.cloud_pc_device_name_exists(tenant, &name)? {
            break;
        }
        name = template.name(user_principal_name, rng);
    }
    Ok(name)
}
