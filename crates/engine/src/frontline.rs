//! Frontline Cloud PCs: those that are active at one time share the licences of their service plan.
//!
//! A Cloud PC takes a licence when its start is accepted, and gives it back when its stop is
//! accepted or its start fails. A shared Cloud PC takes one when it is provisioned. Licences are
//! counted in the transaction that takes one, so of two starts that race for the last licence one
//! is refused.

use cloudpc_model::{
    Action, CloudPc, CloudPcStatus, Error, ErrorKind, FrontlineAccessState, Kind, Power, Product, ServicePlanId, State,
    TenantId, Timestamp,
};
use cloudpc_store::{ActionFilter, FrontlineActivation, Reader, StoreError, Tx};

use crate::policy::{Assignment, Policy};

/// Cloud PCs of one user each for each licence.
pub const SEATS_PER_LICENSE: u64 = 3;

/// Returns the number of licences of a service plan.
///
/// # Errors
/// The store fails.
pub fn licenses(reader: &Reader<'_>, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
    let subscriptions = reader.subscription_list(tenant)?;
    let of_plan = subscriptions.iter().filter(|subscription| subscription.service_plan_id == plan);
    Ok(of_plan.map(|subscription| u64::from(subscription.units)).sum())
}

/// Returns the number of licences of a service plan for which there are Cloud PCs.
///
/// # Errors
/// The store fails.
pub fn assigned_licenses(reader: &Reader<'_>, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
    Ok(reader.shared_count(tenant, plan)? + reader.seat_count(tenant, plan)?.div_ceil(SEATS_PER_LICENSE))
}

/// Returns the number of licences of a service plan that can have a shared Cloud PC.
pub(crate) fn free_licenses(reader: &Reader<'_>, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
    Ok(licenses(reader, tenant, plan)?.saturating_sub(assigned_licenses(reader, tenant, plan)?))
}

/// Returns whether an assignment of a frontline policy has a seat for another Cloud PC.
pub(crate) fn has_free_seat(
    reader: &Reader<'_>,
    tenant: TenantId,
    policy: &Policy,
    assignment: &Assignment,
    plan: ServicePlanId,
) -> Result<bool, StoreError> {
    let licenses = licenses(reader, tenant, plan)?.saturating_sub(reader.shared_count(tenant, plan)?);
    if reader.seat_count(tenant, plan)? >= licenses.saturating_mul(SEATS_PER_LICENSE) {
        return Ok(false);
    }
    let Some(licenses) = assignment.licenses_max else { return Ok(true) };
    let taken = reader.seat_count_of(tenant, plan, &policy.id, &assignment.id)?;
    Ok(taken < licenses.saturating_mul(SEATS_PER_LICENSE))
}

/// Returns whether a frontline Cloud PC could take a licence of a service plan now.
///
/// # Errors
/// The store fails.
pub fn has_free_license(reader: &Reader<'_>, tenant: TenantId, plan: ServicePlanId) -> Result<bool, StoreError> {
    Ok(reader.frontline_activation_count(tenant, plan)? < licenses(reader, tenant, plan)?)
}

/// Returns whether the user of a frontline Cloud PC can connect to it, and if not, why.
///
/// # Errors
/// The store fails.
pub fn access_state(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<FrontlineAccessState, StoreError> {
    use CloudPcStatus::{Deprovisioning, Failed, InGracePeriod, NotProvisioned, PendingProvision};
    let (tenant, id) = (cloud_pc.tenant_id, cloud_pc.id);
    if matches!(cloud_pc.status, NotProvisioned | PendingProvision | Failed | InGracePeriod | Deprovisioning) {
        return Ok(FrontlineAccessState::Unassigned);
    }
    let latest = reader.action_list(tenant, &id.to_string(), ActionFilter::Remote, None, 1)?.pop();
    let start = latest.filter(|action| action.kind() == Kind::PowerOn);
    if reader.frontline_activation(tenant, id)?.is_some() {
        let is_starting = start.is_some_and(|action| !action.state.is_final());
        return Ok(match is_starting || cloud_pc.power_observed != Power::Running {
            true => FrontlineAccessState::Activating,
            false => FrontlineAccessState::Active,
        });
    }
    Ok(match start.is_some_and(|action| action.state == State::Failed) {
        true => FrontlineAccessState::ActivationFailed,
        false => FrontlineAccessState::StandbyMode,
    })
}

/// Takes or releases the licence of a frontline Cloud PC on which an action is accepted.
///
/// # Errors
/// Conflict (`noLicensesAvailable`): every licence of the service plan is in use.
pub(crate) fn on_accept(tx: &mut Tx<'_>, cloud_pc: &CloudPc, kind: Kind, now: Timestamp) -> Result<(), Error> {
    if cloud_pc.product != Product::Frontline {
        return Ok(());
    }
    let (tenant, id, plan) = (cloud_pc.tenant_id, cloud_pc.id, cloud_pc.service_plan_id);
    match kind {
        Kind::PowerOff => tx.frontline_activation_delete(tenant, id)?,
        Kind::PowerOn if tx.frontline_activation(tenant, id)?.is_none() => {
            let (used, all) = (tx.frontline_activation_count(tenant, plan)?, licenses(tx, tenant, plan)?);
            if used >= all {
                let message = format!(
                    "All licences of the service plan '{plan}' are in use ({used} of {all}). Stop another Cloud PC of this plan, or add licences."
                );
                return Err(Error::new(ErrorKind::Conflict, "noLicensesAvailable", message));
            }
            activate(tx, cloud_pc, now)?;
        }
        _ => {}
    }
    Ok(())
}

/// Has a Cloud PC use a licence of its service plan.
pub(crate) fn activate(tx: &mut Tx<'_>, cloud_pc: &CloudPc, now: Timestamp) -> Result<(), StoreError> {
    tx.frontline_activation_put(&FrontlineActivation {
        tenant_id: cloud_pc.tenant_id,
        cloud_pc_id: cloud_pc.id,
        service_plan_id: cloud_pc.service_plan_id,
        since: now,
    })
}

/// Releases the licence of a Cloud PC whose start or provisioning did not succeed.
pub(crate) fn on_failure(tx: &mut Tx<'_>, action: &Action, cloud_pc: &CloudPc) -> Result<(), StoreError> {
    match (action.kind(), cloud_pc.product) {
        (Kind::PowerOn | Kind::Provision, Product::Frontline) => {
            tx.frontline_activation_delete(cloud_pc.tenant_id, cloud_pc.id)
        }
        _ => Ok(()),
    }
}
