//! Frontline Cloud PCs: those that are active at one time share the licences of their service plan.
//!
//! A Cloud PC takes a licence when its start is accepted, and gives it back when its stop is
//! accepted or its start fails. Licences are counted in the transaction that takes one, so of two
//! starts that race for the last licence one is refused.

use cloudpc_model::{
    Action, AuditEntry, CloudPc, CloudPcStatus, Error, ErrorKind, FrontlineAccessState, Kind, Params, Power, Product,
    ServicePlanId, State, TenantId, Timestamp,
};
use cloudpc_store::{ActionFilter, FrontlineActivation, Reader, StoreError, Tx};

use crate::Engine;
use crate::ledger::RequestContext;
use crate::request::{Stamp, accept_unchecked};

/// Returns the number of licences of a service plan.
///
/// # Errors
/// The store fails.
pub fn licenses(reader: &Reader<'_>, tenant: TenantId, plan: ServicePlanId) -> Result<u64, StoreError> {
    let subscriptions = reader.subscription_list(tenant)?;
    let of_plan = subscriptions.iter().filter(|subscription| subscription.service_plan_id == plan);
    Ok(of_plan.map(|subscription| u64::from(subscription.units)).sum())
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
            tx.frontline_activation_put(&FrontlineActivation {
                tenant_id: tenant,
                cloud_pc_id: id,
                service_plan_id: plan,
                since: now,
            })?;
        }
        _ => {}
    }
    Ok(())
}

/// Releases the licence of a Cloud PC whose start did not succeed.
pub(crate) fn on_failure(tx: &mut Tx<'_>, action: &Action, cloud_pc: &CloudPc) -> Result<(), StoreError> {
    match (action.kind(), cloud_pc.product) {
        (Kind::PowerOn, Product::Frontline) => tx.frontline_activation_delete(cloud_pc.tenant_id, cloud_pc.id),
        _ => Ok(()),
    }
}

impl Engine {
    /// Ends the open sessions of a Cloud PC because its user has signed out, and writes `entry` to
    /// the audit log. A frontline Cloud PC is stopped, and its licence released. Returns the number
    /// of sessions; without one, nothing is done.
    ///
    /// # Errors
    /// The store fails.
    pub async fn sign_out(&self, cloud_pc: CloudPc, entry: AuditEntry) -> Result<usize, StoreError> {
        let stamp = self.stamp();
        let written = self.parts.store.write("session.signOut", move |tx| {
            let ended = tx.remote_sessions_end(cloud_pc.tenant_id, cloud_pc.id, stamp.at)?;
            if ended > 0 {
                tx.audit_insert(&entry)?;
                park(tx, &cloud_pc, stamp)?;
            }
            Ok::<_, StoreError>(ended)
        });
        let ended = written.await?;
        self.work.wake.notify_one();
        Ok(ended)
    }
}

/// Stops a frontline Cloud PC that is active, and releases its licence. If another action is open,
/// only the licence is released.
fn park(tx: &mut Tx<'_>, cloud_pc: &CloudPc, stamp: Stamp) -> Result<(), StoreError> {
    let (tenant, id) = (cloud_pc.tenant_id, cloud_pc.id);
    if cloud_pc.product != Product::Frontline || tx.frontline_activation(tenant, id)?.is_none() {
        return Ok(());
    }
    tx.frontline_activation_delete(tenant, id)?;
    if tx.action_open_remote(tenant, &id.to_string())?.is_none() {
        let system = RequestContext::system(tenant);
        accept_unchecked(tx, &system, cloud_pc, Params::PowerOff, stamp)?;
    }
    Ok(())
}
