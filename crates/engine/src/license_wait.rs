//! Resizes that wait for a licence.
//!
//! The size of a Cloud PC belongs to the licence that it was made for. A licence that is assigned
//! to the user directly stays the Cloud PC's licence when the size changes. A licence that the user
//! has through a group cannot be exchanged for one user, so the administrator moves the user to
//! another licence: the action waits until the user gets one, and fails after [`LICENSE_WAIT`].
//!
//! The Cloud PC stays usable meanwhile, and keeps out of its grace period although its licence may
//! be gone. Afterwards the reconciler decides by the licences that the user has then.

use cloudpc_model::{Action, ActionId, AuditEntry, AuditVerb, CloudPc, CloudPcStatus, Params, ServicePlanId, State};
use cloudpc_store::{LicenseHolder, Reader, StoreError, Tx, UserLicense};
use std::time::Duration;

use crate::actions::{StepError, recipe};
use crate::ledger::audit;
use crate::request::Stamp;

/// Time during which a resize waits for a licence.
pub const LICENSE_WAIT: Duration = Duration::from_secs(48 * 3600);

/// Returns whether a resize of the Cloud PC waits: its user has its licence through groups only.
pub(crate) fn is_needed(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<bool, StoreError> {
    let entitlement = reader.entitlement(cloud_pc.tenant_id, cloud_pc.id)?;
    let Some(sku) = entitlement.and_then(|entitlement| entitlement.sku_id) else { return Ok(false) };
    let Some(user) = cloud_pc.user_id else { return Ok(false) };
    let own = reader.license_assignments(cloud_pc.tenant_id, LicenseHolder::User(user))?;
    Ok(!own.contains(&sku))
}

/// Lets a resize that was just accepted wait.
pub(crate) fn begin(
    tx: &mut Tx<'_>,
    cloud_pc: &CloudPc,
    action: ActionId,
    params: &Params,
    stamp: Stamp,
) -> Result<(), StoreError> {
    let due_at = stamp.at + LICENSE_WAIT;
    tx.action_reschedule(action, params, due_at, due_at + recipe(params.kind()).time_max)?;
    let status = CloudPcStatus::ResizePendingLicense;
    tx.cloud_pc_update(&CloudPc { status, modified_at: stamp.at, ..cloud_pc.clone() })?;
    // The user may have an unused licence already.
    tx.provisioning_queue_put(cloud_pc.tenant_id, cloud_pc.user_id.as_slice(), stamp.at)
}

/// Fails a resize that was claimed while it still waited: its time is over.
pub(crate) fn check(cloud_pc: &CloudPc) -> Result<(), StepError> {
    if !cloud_pc.waits_for_license() {
        return Ok(());
    }
    let message = format!(
        "The user got no licence of another size within {} hours. The Cloud PC's licence comes from a group; assign one of the new size to the user or to another of their groups, then resize again.",
        LICENSE_WAIT.as_secs() / 3600
    );
    Err(StepError::Permanent { outcome: None, code: Some("licenseNotFound".into()), message })
}

/// Starts the resize of a Cloud PC that waits, if the user has an unused licence that it can be
/// sized after: the requested size, or else another one. Returns the licence that the Cloud PC uses
/// from now on.
pub(crate) fn take<'a>(
    tx: &mut Tx<'_>,
    unused: impl Iterator<Item = &'a UserLicense>,
    mut cloud_pc: CloudPc,
    stamp: Stamp,
) -> Result<Option<&'a UserLicense>, StoreError> {
    let (tenant, now) = (cloud_pc.tenant_id, stamp.at);
    let waiting = tx.action_open_remote(tenant, &cloud_pc.id.to_string())?;
    let Some(Action { id: action, params: Params::Resize { target_service_plan_id: wanted }, .. }) =
        waiting.filter(|action| action.state == State::Pending)
    else {
        return Ok(None);
    };
    let mut found: Option<&UserLicense> = None;
    for license in unused {
        let is_better = found.is_none() || license.service_plan_id == wanted;
        if is_better && can_be_sized_after(tx, &cloud_pc, license.service_plan_id)? {
            found = Some(license);
        }
    }
    let Some(license) = found else { return Ok(None) };
    let params = Params::Resize { target_service_plan_id: license.service_plan_id };
    let deadline_at = now + recipe(params.kind()).time_max;
    if !tx.action_reschedule(action, &params, now, deadline_at)? {
        return Ok(None);
    }
    tx.entitlement_move(tenant, cloud_pc.id, license.sku_id, license.service_plan_id)?;
    let before = cloud_pc.status;
    cloud_pc.end_license_wait();
    cloud_pc.modified_at = now;
    tx.cloud_pc_update(&cloud_pc)?;
    let system = cloudpc_model::Actor::system();
    let entry = AuditEntry::new(tenant, now, system, AuditVerb::Update, audit::resource(&cloud_pc))
        .changed("status", Some(before.into()), cloud_pc.status.into())
        .detail("actionId", &action.to_string())
        .detail("servicePlanId", &license.service_plan_id.to_string());
    tx.audit_insert(&entry)?;
    Ok(Some(license))
}

/// Returns whether the Cloud PC can get this size: another one, with its disk and edition.
fn can_be_sized_after(reader: &Reader<'_>, cloud_pc: &CloudPc, plan: ServicePlanId) -> Result<bool, StoreError> {
    let tenant = cloud_pc.tenant_id;
    let (plan, present) = (reader.service_plan(tenant, plan)?, reader.service_plan(tenant, cloud_pc.service_plan_id)?);
    Ok(plan.zip(present).is_some_and(|(plan, present)| {
        plan.id != present.id && plan.product == present.product && plan.storage_gib >= present.storage_gib && !plan.gpu
    }))
}
