//! The part of the reconciler that runs rollouts: starts those whose schedule is due, and accepts
//! an action for each Cloud PC that a rollout has to change, within the rollout's reserve.

use cloudpc_model::{
    CloudPc, Document, DocumentKey, DocumentType, Params, PolicySettingTypes, Rng, Rollout, SeededRng, TenantId,
    Timestamp,
};
use cloudpc_store::{PolicySchedule, PolicyValues, RolloutCloudPc, StoreError, Tx};

use super::tenant_turns::take_turns;
use crate::ledger::RequestContext;
use crate::policy::PolicySettings;
use crate::request::{Stamp, accept_unchecked};
use crate::rollout::apply_to_all;

/// Most rollouts advanced, each of another tenant, and most schedules run, in one transaction.
const ROLLOUTS_MAX: usize = 16;

/// Most Cloud PCs of a rollout whose change is accepted in one transaction.
const CHANGES_MAX: usize = 64;

/// Runs the schedules that are due. One that was missed several times runs once.
pub(super) fn run_schedules(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    for due in tx.policy_schedule_due(now, ROLLOUTS_MAX)? {
        let (tenant, reserve) = (due.tenant_id, due.schedule.reserve_percentage);
        match tx.document(tenant, &key(&due.policy_id))? {
            Some(policy) => {
                apply_to_all(tx, &RequestContext::system(tenant), &policy, PolicySettingTypes::ALL, reserve, now)?;
                let next_run_at = due.schedule.next_run(now);
                tx.policy_schedule_put(&PolicySchedule { next_run_at, ..due })?;
            }
            None => tx.policy_schedule_delete(tenant, &due.policy_id)?,
        }
    }
    Ok(())
}

/// Advances a rollout that is due of each tenant after `turn`; returns the tenant of the last one,
/// or none if every tenant has had its turn. Random numbers come from `seed`, because the
/// transaction may run more than once.
pub(super) fn advance_rollouts(
    tx: &mut Tx<'_>,
    turn: Option<TenantId>,
    seed: u64,
    now: Timestamp,
) -> Result<Option<TenantId>, StoreError> {
    let rng = SeededRng::new(seed);
    take_turns(tx, turn, ROLLOUTS_MAX, |tx, turn| {
        let Some(rollout) = tx.rollout_due(turn)? else { return Ok(None) };
        match tx.document(rollout.tenant_id, &key(&rollout.policy_id))? {
            Some(policy) => advance(tx, &rollout, &policy, &rng, now)?,
            None => tx.rollout_delete(rollout.tenant_id, &rollout.policy_id)?,
        }
        Ok(Some(rollout.tenant_id))
    })
}

fn key(policy: &str) -> DocumentKey {
    DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, policy)
}

/// Accepts the changes that the reserve has room for. A Cloud PC that is being changed already
/// counts against the reserve, so a later request for it needs no more room.
fn advance(
    tx: &mut Tx<'_>,
    rollout: &Rollout,
    policy: &Document,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (tenant, policy_id) = (rollout.tenant_id, &rollout.policy_id);
    let outdated = tx.rollout_outdated(tenant, policy_id, CHANGES_MAX)?;
    let running = tx.rollout_running_count(tenant, policy_id)?;
    let room = rollout.concurrency_max(tx.entitlement_count(tenant, policy_id)?).saturating_sub(running);
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(CHANGES_MAX);
    let waiting = tx.rollout_waiting(tenant, policy_id, room)?;
    for listed in outdated.iter().chain(&waiting) {
        let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
        change(tx, rollout, &PolicySettings::of(policy), listed, stamp)?;
    }
    if outdated.len() == CHANGES_MAX || (waiting.len() == room && room > 0) {
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
    listed: &RolloutCloudPc,
    stamp: Stamp,
) -> Result<(), StoreError> {
    let (tenant, policy_id, id) = (rollout.tenant_id, &rollout.policy_id, listed.id);
    let cloud_pc = tx.cloud_pc(tenant, id)?.filter(CloudPc::takes_policy_changes);
    let Some(cloud_pc) = cloud_pc else { return tx.rollout_remove(tenant, policy_id, id) };
    let wanted = policy.values(listed.settings);
    let present = PolicyValues { region: Some(cloud_pc.region.clone()), single_sign_on: Some(cloud_pc.single_sign_on) };
    let missing_later = wanted.differing_from(&listed.coming.clone().or(present.clone()));
    if missing_later == PolicyValues::default() {
        return tx.rollout_keep(tenant, policy_id, id);
    }
    // An action in progress may still fail, so this one also brings what that one should have
    // brought.
    let brings = missing_later.or(wanted.differing_from(&present));
    let asked = RequestContext {
        by: rollout.requested_by.clone(),
        request_id: rollout.request_id.clone(),
        ..RequestContext::system(tenant)
    };
    let PolicyValues { region, single_sign_on } = brings.clone();
    let params = Params::ApplyPolicy { policy_id: policy_id.clone(), region, single_sign_on };
    let action = accept_unchecked(tx, &asked, &cloud_pc, params, stamp)?;
    tx.rollout_begin(tenant, policy_id, id, action, &brings)
}
