//! The part of the reconciler that gives users the Cloud PCs that provisioning policies ask for,
//! and puts those that lost their licence or assignment into a grace period.
//!
//! Every write to memberships, licences, assignments and policies queues the users it touches. A
//! user leaves the queue in the transaction that reads all of these and accepts what follows, so a
//! crash loses nothing, and a repetition changes nothing.

use cloudpc_model::{
    Actor, AuditEntry, AuditVerb, CloudPc, CloudPcStatus, GroupId, OsVersion, Product, Rng, SeededRng, ServicePlanId,
    SkuId, TenantId, Timestamp, UserId,
};
use cloudpc_store::{Entitlement, StoreError, Tx, User, UserLicense};
use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};

use super::new_cloud_pc::{NewClaim, provision};
use crate::frontline::has_free_seat;
use crate::ledger::{RequestContext, audit};
use crate::lifecycle::{GRACE_PERIOD, accept_deprovision, accept_provision, queue_pending};
use crate::policy::{Policies, Supply, unused_licenses};
use crate::request::Stamp;
use crate::{license_wait, sessions, snapshots};

/// Most users reconciled in one transaction.
const BATCH_MAX: usize = 64;

/// Most users of one tenant reconciled before other tenants have their turn.
const TENANT_SHARE_MAX: usize = 16;

/// Reconciles the users who have waited longest of each tenant, beginning after the tenant `turn`;
/// returns the tenant that had its turn last. Random numbers come from `seed`, because the
/// transaction may run more than once.
pub(super) fn reconcile_batch(
    tx: &mut Tx<'_>,
    turn: Option<TenantId>,
    seed: u64,
    now: Timestamp,
) -> Result<Option<TenantId>, StoreError> {
    let rng = SeededRng::new(seed);
    let (mut turn, mut room) = (turn, BATCH_MAX);
    while room > 0 {
        let queued = tx.provisioning_queue_turn(turn, room.min(TENANT_SHARE_MAX))?;
        let Some(first) = queued.first() else {
            if turn.take().is_some() {
                continue;
            }
            break;
        };
        let tenant = first.tenant_id;
        let mut groups = Vec::with_capacity(queued.len());
        for queued in &queued {
            let of_user = tx.user_groups(tenant, queued.user_id)?;
            groups.push(of_user.into_iter().map(|group| group.id).collect::<HashSet<_>>());
        }
        let policies = Policies::read(tx, tenant, groups.iter().flatten())?;
        let mut grace = GraceCounts::default();
        room -= queued.len();
        for (queued, groups) in queued.into_iter().zip(groups) {
            let licenses = tx.user_licenses(tenant, queued.user_id)?;
            let claims = Claims { policies: &policies, groups, licenses };
            reconcile_user(tx, &claims, &mut grace, (tenant, queued.user_id), &rng, now)?;
            tx.provisioning_queue_remove(tenant, queued.user_id)?;
        }
        turn = Some(tenant);
    }
    Ok(turn)
}

/// The Cloud PCs of a tenant in their grace period, counted once for each product in a transaction.
#[derive(Default)]
struct GraceCounts(BTreeMap<SkuId, u64>);

impl GraceCounts {
    /// Returns whether a new Cloud PC of a product has to wait: more Cloud PCs of it are in their
    /// grace period than it has licences.
    fn exceed_units(&mut self, tx: &Tx<'_>, tenant: TenantId, sku: SkuId) -> Result<bool, StoreError> {
        let count = match self.0.entry(sku) {
            Entry::Occupied(read) => *read.get(),
            Entry::Vacant(place) => *place.insert(tx.grace_count(tenant, sku)?),
        };
        let units = tx.subscription(tenant, sku)?.map_or(0, |subscription| subscription.units);
        Ok(count > u64::from(units))
    }

    /// Forgets the count of a product, which has changed.
    fn forget(&mut self, sku: Option<SkuId>) {
        if let Some(sku) = sku {
            self.0.remove(&sku);
        }
    }
}

/// What a user is entitled to now.
struct Claims<'a> {
    policies: &'a Policies,
    groups: HashSet<GroupId>,
    licenses: Vec<UserLicense>,
}

impl Claims<'_> {
    /// Returns whether the user is still entitled to a Cloud PC by what it was made for.
    fn still_cover(&self, entitlement: &Entitlement) -> bool {
        match entitlement.sku_id {
            Some(sku) => {
                let mut applying = self.policies.applying(&self.groups, Supply::Licenses);
                self.licenses.iter().any(|license| license.sku_id == sku)
                    && applying.any(|(policy, _)| policy.id == entitlement.policy_id)
            }
            None => self.policies.applying(&self.groups, Supply::Seats).any(|(policy, assignment)| {
                policy.id == entitlement.policy_id
                    && assignment.id == entitlement.assignment_id
                    && assignment.service_plan_id == Some(entitlement.service_plan_id)
            }),
        }
    }

    /// Gives a Cloud PC without a machine the present settings of its policy, if that applies.
    fn take_settings(&self, tx: &Tx<'_>, policy: &str, cloud_pc: &mut CloudPc) -> Result<(), StoreError> {
        let mut applying = self.policies.applying(&self.groups, Supply::Licenses);
        let Some((policy, _)) = applying.find(|(applying, _)| applying.id == policy) else { return Ok(()) };
        let image = tx.image(cloud_pc.tenant_id, &policy.image_id)?;
        cloud_pc.os_version = image.map_or(OsVersion::Windows11, |image| image.os_version);
        cloud_pc.image_id = policy.image_id.clone();
        cloud_pc.provisioning_policy_name.clone_from(&policy.name);
        cloud_pc.region.clone_from(&policy.region);
        cloud_pc.single_sign_on = policy.single_sign_on;
        cloud_pc.on_premises_connection_id.clone_from(&policy.connection_id);
        cloud_pc.user_account_type = self.policies.account_type(policy, &self.groups);
        Ok(())
    }
}

fn reconcile_user(
    tx: &mut Tx<'_>,
    claims: &Claims<'_>,
    grace: &mut GraceCounts,
    (tenant, user): (TenantId, UserId),
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut held = tx.entitlement_list(tenant, user)?;
    reconcile_held(tx, claims, grace, &mut held, rng, now)?;
    snapshots::schedule(tx, tenant, user, claims.policies.restore_point_interval(&claims.groups), now)?;
    sessions::end_of_former_member(tx, tenant, user, Stamp { at: now, tag_nonce: rng.next_u64() })?;
    let Some(user) = tx.user(tenant, user)? else { return Ok(()) };
    provision_licenses(tx, claims, grace, &user, &held, rng, now)?;
    provision_seats(tx, claims, &user, &held, rng, now)
}

/// Reconciles the Cloud PCs that a user has, and lets one that waits for a licence take it.
fn reconcile_held(
    tx: &mut Tx<'_>,
    claims: &Claims<'_>,
    grace: &mut GraceCounts,
    held: &mut [Entitlement],
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    for place in 0..held.len() {
        let entitlement = &held[place];
        let tenant = entitlement.tenant_id;
        let Some(mut cloud_pc) = tx.cloud_pc(tenant, entitlement.cloud_pc_id)? else { continue };
        let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
        if cloud_pc.waits_for_license() {
            let moved = |license: &&UserLicense| {
                claims.still_cover(&Entitlement { sku_id: Some(license.sku_id), ..entitlement.clone() })
            };
            let unused = unused_licenses(&claims.licenses, held).filter(moved);
            if let Some(license) = license_wait::take(tx, unused, cloud_pc, stamp)? {
                held[place].sku_id = Some(license.sku_id);
            }
            continue;
        }
        let mut waits = false;
        if cloud_pc.status == CloudPcStatus::PendingProvision
            && let Some(sku) = entitlement.sku_id
        {
            waits = grace.exceed_units(tx, tenant, sku)?;
            // The policy may have changed since the Cloud PC began to wait.
            claims.take_settings(tx, &entitlement.policy_id, &mut cloud_pc)?;
        }
        reconcile_cloud_pc(tx, cloud_pc, claims.still_cover(entitlement), waits, stamp)?;
        grace.forget(entitlement.sku_id);
    }
    Ok(())
}

/// Makes a Cloud PC for each licence of a user that no Cloud PC uses.
fn provision_licenses(
    tx: &mut Tx<'_>,
    claims: &Claims<'_>,
    grace: &mut GraceCounts,
    user: &User,
    held: &[Entitlement],
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let tenant = user.tenant_id;
    for license in unused_licenses(&claims.licenses, held) {
        let Some((policy, _)) = claims.policies.applying(&claims.groups, Supply::Licenses).next() else { break };
        let plan = tx.service_plan(tenant, license.service_plan_id)?;
        if let Some(plan) = plan.filter(|plan| plan.product != Product::Frontline) {
            let waits = grace.exceed_units(tx, tenant, license.sku_id)?;
            let account_type = claims.policies.account_type(policy, &claims.groups);
            let claim = NewClaim {
                policy,
                user: Some(user),
                assignment: None,
                plan: &plan,
                sku_id: Some(license.sku_id),
                account_type,
                waits,
            };
            provision(tx, &claim, rng, now)?;
        }
    }
    Ok(())
}

/// Makes a Cloud PC for each frontline assignment with a free seat, one of each size.
fn provision_seats(
    tx: &mut Tx<'_>,
    claims: &Claims<'_>,
    user: &User,
    held: &[Entitlement],
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let tenant = user.tenant_id;
    let is_seat = |held: &&Entitlement| held.sku_id.is_none();
    let mut seated: HashSet<ServicePlanId> = held.iter().filter(is_seat).map(|held| held.service_plan_id).collect();
    for (policy, assignment) in claims.policies.applying(&claims.groups, Supply::Seats) {
        let Some(plan) = assignment.service_plan_id else { continue };
        if seated.contains(&plan) || !has_free_seat(tx, tenant, policy, assignment, plan)? {
            continue;
        }
        if let Some(plan) = tx.service_plan(tenant, plan)? {
            let claim = NewClaim {
                policy,
                user: Some(user),
                assignment: Some(assignment),
                plan: &plan,
                sku_id: None,
                account_type: claims.policies.account_type(policy, &claims.groups),
                waits: false,
            };
            provision(tx, &claim, rng, now)?;
            seated.insert(plan.id);
        }
    }
    Ok(())
}

/// Begins or ends the grace period of a Cloud PC. One that was never provisioned has nothing to
/// keep and is deprovisioned at once; one that need no longer wait for that is provisioned.
pub(super) fn reconcile_cloud_pc(
    tx: &mut Tx<'_>,
    mut cloud_pc: CloudPc,
    is_entitled: bool,
    waits: bool,
    stamp: Stamp,
) -> Result<(), StoreError> {
    use CloudPcStatus::{Deprovisioning, Failed, PendingProvision};
    let (before, system) = (cloud_pc.status, RequestContext::system(cloud_pc.tenant_id));
    match (before, is_entitled, cloud_pc.grace_ends_at) {
        (PendingProvision, true, None) if !waits => {
            accept_provision(tx, &system, &mut cloud_pc, stamp)?;
            return Ok(());
        }
        (Deprovisioning, ..) | (_, true, None) | (_, false, Some(_)) => return Ok(()),
        (Failed | PendingProvision, false, None) if cloud_pc.provisioned_at.is_none() => {
            accept_deprovision(tx, &system, &mut cloud_pc, stamp)?;
            return Ok(());
        }
        (_, true, Some(_)) => {
            cloud_pc.grace_ends_at = None;
            queue_pending(tx, &cloud_pc, stamp.at)?;
        }
        (_, false, None) => cloud_pc.grace_ends_at = Some(stamp.at + GRACE_PERIOD),
    }
    cloud_pc.update_grace_status();
    cloud_pc.modified_at = stamp.at;
    tx.cloud_pc_update(&cloud_pc)?;
    let entry =
        AuditEntry::new(cloud_pc.tenant_id, stamp.at, Actor::system(), AuditVerb::Update, audit::resource(&cloud_pc));
    tx.audit_insert(&entry.changed("status", Some(before.into()), cloud_pc.status.into()))
}

#[cfg(test)]
mod tests;
