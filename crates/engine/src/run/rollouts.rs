//! The part of the reconciler that runs rollouts: starts those whose schedule is due, and accepts
//! an action for each Cloud PC that a rollout has to change, within the rollout's reserve.

use cloudpc_model::{
    CloudPc, CloudPcId, CloudPcStatus, Document, DocumentKey, DocumentType, Params, PolicySettingTypes, Rng, Rollout,
    SeededRng, Timestamp,
};
use cloudpc_store::{PolicySchedule, StoreError, Tx};

use crate::ledger::RequestContext;
use crate::lifecycle::system;
use crate::policy::PolicySettings;
use crate::request::{Stamp, accept_unchecked};
use crate::rollout::apply_to_all;

/// Most rollouts advanced, and most schedules run, in one transaction.
const ROLLOUTS_MAX: usize = 16;

/// Most Cloud PCs of a rollout whose change is accepted in one transaction.
const CHANGES_MAX: usize = 64;

/// Runs the schedules that are due. One that was missed several times runs once.
pub(super) fn run_schedules(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    for due in tx.policy_schedule_due(now, ROLLOUTS_MAX)? {
        let (tenant, reserve) = (due.tenant_id, due.schedule.reserve_percentage);
        match tx.document(tenant, &key(&due.policy_id))? {
            Some(policy) => {
                apply_to_all(tx, &system(tenant), &policy, PolicySettingTypes::ALL, reserve, now)?;
                let next_run_at = due.schedule.next_run(now);
                tx.policy_schedule_put(&PolicySchedule { next_run_at, ..due })?;
            }
            None => tx.policy_schedule_delete(tenant, &due.policy_id)?,
        }
    }
    Ok(())
}

/// Advances the rollouts that are due. Random numbers come from `seed`, because the transaction may
/// run more than once.
pub(super) fn advance_rollouts(tx: &mut Tx<'_>, seed: u64, now: Timestamp) -> Result<(), StoreError> {
    let rng = SeededRng::new(seed);
    for rollout in tx.rollout_due(ROLLOUTS_MAX)? {
        match tx.document(rollout.tenant_id, &key(&rollout.policy_id))? {
            Some(policy) => advance(tx, &rollout, &policy, &rng, now)?,
            None => tx.rollout_delete(rollout.tenant_id, &rollout.policy_id)?,
        }
    }
    Ok(())
}

fn key(policy: &str) -> DocumentKey {
    DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, policy)
}

/// Accepts the changes that the reserve has room for.
fn advance(
    tx: &mut Tx<'_>,
    rollout: &Rollout,
    policy: &Document,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (tenant, policy_id) = (rollout.tenant_id, &rollout.policy_id);
    let running = tx.rollout_running_count(tenant, policy_id)?;
    let room = rollout.concurrency_max(tx.entitlement_count(tenant, policy_id)?).saturating_sub(running);
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(CHANGES_MAX);
    let waiting = tx.rollout_waiting(tenant, policy_id, room)?;
    for &(id, settings) in &waiting {
        let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
        change(tx, rollout, &PolicySettings::of(policy), id, settings, stamp)?;
    }
    if waiting.len() == room && room > 0 {
        // More may wait.
        return Ok(());
    }
    let is_finished = room > 0 && tx.rollout_running_count(tenant, policy_id)? == 0;
    tx.rollout_rest(tenant, policy_id, is_finished.then_some(now))
}

/// Accepts the change of a Cloud PC, unless it needs none or the policy no longer applies to it.
fn change(
    tx: &mut Tx<'_>,
    rollout: &Rollout,
    policy: &PolicySettings,
    id: CloudPcId,
    settings: PolicySettingTypes,
    stamp: Stamp,
) -> Result<(), StoreError> {
    let (tenant, policy_id) = (rollout.tenant_id, &rollout.policy_id);
    let cloud_pc = tx.cloud_pc(tenant, id)?.filter(is_governed);
    let values = policy.values(settings);
    let Some(cloud_pc) = cloud_pc else { return tx.rollout_remove(tenant, policy_id, id) };
    let region = values.region.filter(|region| *region != cloud_pc.region);
    let single_sign_on = values.single_sign_on.filter(|wanted| *wanted != cloud_pc.single_sign_on);
    if region.is_none() && single_sign_on.is_none() {
        return tx.rollout_remove(tenant, policy_id, id);
    }
    let asked =
        RequestContext { tenant_id: tenant, by: rollout.requested_by.clone(), request_id: rollout.request_id.clone() };
    let params = Params::ApplyPolicy { policy_id: policy_id.clone(), region, single_sign_on };
    let action = accept_unchecked(tx, &asked, &cloud_pc, params, stamp)?;
    tx.rollout_begin(tenant, policy_id, id, action)
}

/// Returns whether a policy applies to a Cloud PC: it was provisioned, is not in its grace period,
/// and can be changed. The store selects Cloud PCs by the same condition.
fn is_governed(cloud_pc: &CloudPc) -> bool {
    use CloudPcStatus::{Deprovisioning, Failed, NotProvisioned};
    cloud_pc.provisioned_at.is_some()
        && cloud_pc.grace_ends_at.is_none()
        && !matches!(cloud_pc.status, NotProvisioned | Failed | Deprovisioning)
}
