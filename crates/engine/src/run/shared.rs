//! The part of the reconciler that makes as many shared Cloud PCs as the assignments of policies
//! ask for, and puts surplus ones into their grace period.
//!
//! Every write to an assignment queues it. It leaves the queue when it has its Cloud PCs, or waits
//! there until a licence may have become free.

use cloudpc_model::{CloudPc, CloudPcStatus, Product, Rng, SeededRng, TenantId, Timestamp};
use cloudpc_store::{Entitlement, QueuedAssignment, StoreError, Tx};
use std::cmp::Reverse;

use super::new_cloud_pc::{NewClaim, provision};
use super::provisioning::reconcile_cloud_pc;
use super::tenant_turns::take_turns;
use crate::frontline::free_licenses;
use crate::policy::{Assignment, Policy, SharedAssignment, shared_assignment};
use crate::request::Stamp;

/// Most assignments reconciled in one transaction, each of another tenant.
const ASSIGNMENTS_MAX: usize = 8;

/// Most shared Cloud PCs made for an assignment in one transaction.
const CLOUD_PCS_MAX: u64 = 64;

/// Reconciles a queued assignment of each tenant after `turn`; returns the tenant of the last one,
/// or none if every tenant has had its turn. Random numbers come from `seed`, because the
/// transaction may run more than once.
pub(super) fn reconcile_shared(
    tx: &mut Tx<'_>,
    turn: Option<TenantId>,
    seed: u64,
    now: Timestamp,
) -> Result<Option<TenantId>, StoreError> {
    let rng = SeededRng::new(seed);
    take_turns(tx, turn, ASSIGNMENTS_MAX, |tx, turn| {
        let Some(queued) = tx.shared_assignment_next(turn)? else { return Ok(None) };
        reconcile(tx, &queued, &rng, now)?;
        Ok(Some(queued.tenant_id))
    })
}

fn reconcile(tx: &mut Tx<'_>, queued: &QueuedAssignment, rng: &SeededRng, now: Timestamp) -> Result<(), StoreError> {
    let (tenant, policy, assignment) = (queued.tenant_id, &queued.policy_id, &queued.assignment_id);
    let found = shared_assignment(tx, tenant, policy, assignment)?;
    let mut held = Vec::new();
    for entitlement in tx.shared_entitlements_of(tenant, policy, assignment)? {
        if let Some(cloud_pc) = tx.cloud_pc(tenant, entitlement.cloud_pc_id)? {
            held.push((entitlement, cloud_pc));
        }
    }
    let kept = keep(tx, found.as_ref().map(|found| &found.assignment), held, rng, now)?;
    let Some(SharedAssignment { policy, assignment, account_type }) = found else {
        return tx.shared_assignment_remove(queued);
    };
    let missing = assignment.licenses_max.unwrap_or_default().saturating_sub(kept);
    let plan = match assignment.service_plan_id {
        Some(plan) if missing > 0 => tx.service_plan(tenant, plan)?.filter(|plan| plan.product == Product::Frontline),
        _ => None,
    };
    let Some(plan) = plan else { return tx.shared_assignment_remove(queued) };
    let free = free_licenses(tx, tenant, plan.id)?;
    for _ in 0..missing.min(free).min(CLOUD_PCS_MAX) {
        let claim = NewClaim {
            policy: &policy,
            user: None,
            assignment: Some(&assignment),
            plan: &plan,
            sku_id: None,
            account_type,
            waits: false,
        };
        provision(tx, &claim, rng, now)?;
    }
    match missing {
        // The rest comes in the assignment's next turn.
        more if more.min(free) > CLOUD_PCS_MAX => Ok(()),
        more if more > free => tx.shared_assignment_wait(queued),
        _ => tx.shared_assignment_remove(queued),
    }
}

/// Begins and ends the grace periods of an assignment's Cloud PCs. Of too many, those stay that are
/// in use, and then the oldest. Returns how many stay.
fn keep(
    tx: &mut Tx<'_>,
    assignment: Option<&Assignment>,
    mut held: Vec<(Entitlement, CloudPc)>,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<u64, StoreError> {
    held.retain(|(_, cloud_pc)| cloud_pc.status != CloudPcStatus::Deprovisioning);
    held.sort_by_key(|(_, cloud_pc)| {
        let is_in_grace = cloud_pc.grace_ends_at.is_some();
        (is_in_grace, Reverse(cloud_pc.session_started_at.is_some()), cloud_pc.created_at, cloud_pc.id)
    });
    let (plan, most) = match assignment {
        Some(assignment) => (assignment.service_plan_id, assignment.licenses_max.unwrap_or_default()),
        None => (None, 0),
    };
    let mut kept = 0;
    for (entitlement, cloud_pc) in held {
        let stays = plan == Some(entitlement.service_plan_id) && kept < most;
        kept += u64::from(stays);
        let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
        reconcile_cloud_pc(tx, cloud_pc, stays, false, stamp)?;
    }
    Ok(kept)
}

/// Returns the assignment of a policy that can take a Cloud PC which its group shares.
pub(super) fn free_assignment(
    tx: &Tx<'_>,
    tenant: TenantId,
    cloud_pc: &CloudPc,
) -> Result<Option<(Policy, Assignment)>, StoreError> {
    if free_licenses(tx, tenant, cloud_pc.service_plan_id)? == 0 {
        return Ok(None);
    }
    for id in crate::policy::assignment_ids(tx, tenant, &cloud_pc.provisioning_policy_id)? {
        let Some(found) = shared_assignment(tx, tenant, &cloud_pc.provisioning_policy_id, &id)? else { continue };
        let taken = tx.shared_entitlements_of(tenant, &found.policy.id, &id)?.len();
        let has_room =
            u64::try_from(taken).is_ok_and(|taken| taken < found.assignment.licenses_max.unwrap_or_default());
        if found.assignment.service_plan_id == Some(cloud_pc.service_plan_id) && has_room {
            return Ok(Some((found.policy, found.assignment)));
        }
    }
    Ok(None)
}
