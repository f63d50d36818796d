//! The reconciler: gives users the Cloud PCs that provisioning policies ask for, puts those that
//! lost their licence or assignment into a grace period, and deprovisions them at its end. It also
//! runs the rollouts of changed policies (`rollouts.rs`) and bulk actions (`bulk_actions.rs`), and
//! evaluates alert rules (`alerts.rs`).
//!
//! Every write to memberships, licences, assignments and policies queues the users it touches. A
//! user leaves the queue in the transaction that reads all of these and accepts what follows, so a
//! crash loses nothing, and a repetition changes nothing.

use cloudpc_model::{
    Actor, AuditEntry, AuditVerb, CloudPc, CloudPcId, CloudPcStatus, GroupId, ManagedDeviceId, NAMING_TEMPLATE_DEFAULT,
    NamingTemplate, OsVersion, Params, Power, Product, Rng, SeededRng, ServicePlan, ServicePlanId, SkuId, TenantId,
    Timestamp, UserId,
};
use cloudpc_store::{Entitlement, StoreError, Tx, User, UserLicense};
use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::bulk_actions::advance_bulk_actions;
use super::rollouts::{advance_rollouts, run_schedules};
use super::store_retry::StoreRetry;
use crate::Engine;
use crate::alerts;
use crate::ledger::{RequestContext, audit};
use crate::license_wait;
use crate::lifecycle::{GRACE_PERIOD, accept_deprovision, accept_provision, queue_pending};
use crate::policy::{Assignment, Policies, Policy, Supply, unused_licenses};
use crate::request::{Stamp, accept_unchecked};
use crate::snapshots;

/// Most users reconciled, and most grace periods ended, in one transaction.
const BATCH_MAX: usize = 64;

/// Most users of one tenant reconciled before other tenants have their turn.
const TENANT_SHARE_MAX: usize = 16;

/// Cloud PCs of a frontline policy for each licence.
pub const SEATS_PER_LICENSE: u64 = 3;

/// Most names drawn for a new Cloud PC until one is free.
const NAMES_MAX: usize = 16;

/// What the reconciler has to do.
struct Due {
    users: bool,
    grace: bool,
    schedules: bool,
    restore_points: bool,
    rollouts: bool,
    bulk_actions: bool,
    /// Alert rules, once nothing else is due.
    alerts: bool,
    /// When the next grace period ends, the next schedule runs, a restore point is due or a
    /// bulk action goes on.
    next_at: Option<Timestamp>,
}

/// The tenant that had its turn last, of each kind of work; none if every tenant has had its turn.
#[derive(Default)]
struct Turns {
    users: Option<TenantId>,
    rollouts: Option<TenantId>,
    bulk_actions: Option<TenantId>,
    alerts: Option<TenantId>,
}

impl Engine {
    /// Reconciles queued users, ends grace periods, runs schedules, rollouts and bulk actions, and
    /// evaluates alert rules until `stop` is cancelled.
    pub(super) async fn reconcile(self, stop: CancellationToken) {
        let mut turns = Turns::default();
        let mut retry = StoreRetry::default();
        while !stop.is_cancelled() {
            let now = self.parts.clock.now();
            let wake_at = match self.reconcile_due(now, &mut turns).await {
                Ok(Due {
                    users: false,
                    grace: false,
                    schedules: false,
                    restore_points: false,
                    rollouts: false,
                    bulk_actions: false,
                    alerts: false,
                    next_at,
                }) => {
                    retry.reset();
                    next_at
                }
                Ok(_) => {
                    retry.reset();
                    continue;
                }
                Err(StoreError::Closed) => return,
                Err(error) => Some(retry.after(&error, "reconciling provisioning policies failed", now)),
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.parts.store.provisioning_due().notified() => {}
                () = self.parts.clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => {}
            }
        }
    }

    /// Does one batch of what is due; returns what it was.
    async fn reconcile_due(&self, now: Timestamp, turns: &mut Turns) -> Result<Due, StoreError> {
        let due = self.parts.store.read(move |reader| {
            let next_grace_end = reader.cloud_pc_grace_next_end()?;
            let users = !reader.provisioning_queue_next(1)?.is_empty();
            let next_run = reader.policy_schedule_next_run()?;
            let next_bulk_action = reader.bulk_action_next_due()?;
            let next_restore_point = reader.restore_point_next_due()?;
            let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
            let (grace, schedules) = (is_due(next_grace_end), is_due(next_run));
            let rollouts = reader.rollout_due(None)?.is_some();
            let bulk_actions = is_due(next_bulk_action);
            let restore_points = is_due(next_restore_point);
            let others = users || grace || schedules || restore_points || rollouts || bulk_actions;
            Ok::<_, StoreError>(Due {
                users,
                grace,
                schedules,
                restore_points,
                rollouts,
                bulk_actions,
                alerts: !others && reader.alert_evaluation_next(None)?.is_some(),
                next_at: [next_grace_end, next_run, next_restore_point, next_bulk_action].into_iter().flatten().min(),
            })
        });
        let due = due.await?;
        if due.users {
            let (seed, work, turn) = (self.parts.rng.next_u64(), Arc::clone(&self.work), turns.users);
            let reconciled = self.parts.store.write("provisioning.reconcile", move |tx| {
                let turn = reconcile_batch(tx, turn, seed, now)?;
                let work = Arc::clone(&work);
                tx.after_commit(move || work.wake.notify_one());
                Ok::<_, StoreError>(turn)
            });
            turns.users = reconciled.await?;
        }
        if due.grace {
            let (seed, work) = (self.parts.rng.next_u64(), Arc::clone(&self.work));
            let ended = self.parts.store.write("provisioning.endGrace", move |tx| {
                let rng = SeededRng::new(seed);
                for mut cloud_pc in tx.cloud_pc_grace_ended(now, BATCH_MAX)? {
                    let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
                    accept_deprovision(tx, &RequestContext::system(cloud_pc.tenant_id), &mut cloud_pc, stamp)?;
                }
                let work = Arc::clone(&work);
                tx.after_commit(move || work.wake.notify_one());
                Ok::<_, StoreError>(())
            });
            ended.await?;
        }
        if due.schedules {
            let run = self.parts.store.write("policy.runSchedules", move |tx| run_schedules(tx, now));
            run.await?;
        }
        if due.restore_points {
            let (seed, work) = (self.parts.rng.next_u64(), Arc::clone(&self.work));
            let taken = self.parts.store.write("restorePoint.takeDue", move |tx| {
                snapshots::take_due(tx, &SeededRng::new(seed), now)?;
                let work = Arc::clone(&work);
                tx.after_commit(move || work.wake.notify_one());
                Ok::<_, StoreError>(())
            });
            taken.await?;
        }
        if due.rollouts {
            let (seed, work, turn) = (self.parts.rng.next_u64(), Arc::clone(&self.work), turns.rollouts);
            let advanced = self.parts.store.write("policy.advanceRollouts", move |tx| {
                let turn = advance_rollouts(tx, turn, seed, now)?;
                let work = Arc::clone(&work);
                tx.after_commit(move || work.wake.notify_one());
                Ok::<_, StoreError>(turn)
            });
            turns.rollouts = advanced.await?;
        }
        if due.bulk_actions {
            let (seed, work, turn) = (self.parts.rng.next_u64(), Arc::clone(&self.work), turns.bulk_actions);
            let advanced = self.parts.store.write("bulkAction.advance", move |tx| {
                let turn = advance_bulk_actions(tx, turn, seed, now)?;
                let work = Arc::clone(&work);
                tx.after_commit(move || work.wake.notify_one());
                Ok::<_, StoreError>(turn)
            });
            turns.bulk_actions = advanced.await?;
        }
        if due.alerts {
            let (seed, turn) = (self.parts.rng.next_u64(), turns.alerts);
            let evaluated = self.parts.store.write("alert.evaluate", move |tx| {
                let next = match tx.alert_evaluation_next(turn)? {
                    None => tx.alert_evaluation_next(None)?,
                    next => next,
                };
                if let Some(tenant) = next {
                    alerts::evaluate(tx, tenant, seed, now)?;
                }
                Ok::<_, StoreError>(next)
            });
            turns.alerts = evaluated.await?;
        }
        Ok(due)
    }
}

/// Reconciles the users who have waited longest of each tenant, beginning after the tenant `turn`;
/// returns the tenant that had its turn last. Random numbers come from `seed`, because the
/// transaction may run more than once.
fn reconcile_batch(
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
            let claim = NewClaim { policy, seat_of: None, plan: &plan, sku_id: Some(license.sku_id), waits };
            provision(tx, claims, user, &claim, rng, now)?;
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
            let claim = NewClaim { policy, seat_of: Some(assignment), plan: &plan, sku_id: None, waits: false };
            provision(tx, claims, user, &claim, rng, now)?;
            seated.insert(plan.id);
        }
    }
    Ok(())
}

/// Begins or ends the grace period of a Cloud PC. One that was never provisioned has nothing to
/// keep and is deprovisioned at once; one that need no longer wait for that is provisioned.
fn reconcile_cloud_pc(
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

/// Returns whether an assignment of a frontline policy has a seat for another Cloud PC.
pub(super) fn has_free_seat(
    tx: &Tx<'_>,
    tenant: TenantId,
    policy: &Policy,
    assignment: &Assignment,
    plan: ServicePlanId,
) -> Result<bool, StoreError> {
    let subscriptions = tx.subscription_list(tenant)?;
    let of_plan = subscriptions.iter().filter(|subscription| subscription.service_plan_id == plan);
    let licenses: u64 = of_plan.map(|subscription| u64::from(subscription.units)).sum();
    if tx.seat_count(tenant, plan)? >= licenses.saturating_mul(SEATS_PER_LICENSE) {
        return Ok(false);
    }
    let Some(licenses) = assignment.licenses_max else { return Ok(true) };
    let taken = tx.seat_count_of(tenant, plan, &policy.id, &assignment.id)?;
    Ok(taken < licenses.saturating_mul(SEATS_PER_LICENSE))
}

/// What a new Cloud PC is for.
struct NewClaim<'a> {
    policy: &'a Policy,
    /// Assignment whose seat it takes; none if it uses a licence.
    seat_of: Option<&'a Assignment>,
    plan: &'a ServicePlan,
    sku_id: Option<SkuId>,
    /// Whether the Cloud PC waits until fewer of its product are in their grace period.
    waits: bool,
}

/// Adds a Cloud PC and accepts its provisioning, unless it has to wait.
fn provision(
    tx: &mut Tx<'_>,
    claims: &Claims<'_>,
    user: &User,
    claim: &NewClaim<'_>,
    rng: &SeededRng,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (tenant, policy, plan) = (user.tenant_id, claim.policy, claim.plan);
    let image = tx.image(tenant, &policy.image_id)?;
    let name = free_name(tx, policy, user, rng)?;
    let cloud_pc = CloudPc {
        tenant_id: tenant,
        id: CloudPcId::random(rng),
        managed_device_id: ManagedDeviceId::random(rng),
        aad_device_id: rng.uuid(),
        display_name: name.clone(),
        managed_device_name: name,
        user_id: user.id,
        user_principal_name: user.user_principal_name.clone(),
        service_plan_id: plan.id,
        image_id: policy.image_id.clone(),
        provisioning_policy_id: policy.id.clone(),
        provisioning_policy_name: policy.name.clone(),
        region: policy.region.clone(),
        single_sign_on: policy.single_sign_on,
        product: plan.product,
        status: if claim.waits { CloudPcStatus::PendingProvision } else { CloudPcStatus::Provisioning },
        status_before: None,
        status_detail: None,
        power_intended: Power::Running,
        power_observed: Power::PoweredOff,
        os_version: image.map_or(OsVersion::Windows11, |image| image.os_version),
        user_account_type: claims.policies.account_type(policy, &claims.groups),
        provisioned_at: None,
        grace_ends_at: None,
        modified_at: now,
        created_at: now,
    };
    tx.cloud_pc_insert(&cloud_pc)?;
    tx.entitlement_insert(&Entitlement {
        tenant_id: tenant,
        cloud_pc_id: cloud_pc.id,
        user_id: user.id,
        policy_id: policy.id.clone(),
        assignment_id: claim.seat_of.map(|assignment| assignment.id.clone()).unwrap_or_default(),
        service_plan_id: plan.id,
        sku_id: claim.sku_id,
    })?;
    let stamp = Stamp { at: now, tag_nonce: rng.next_u64() };
    if !claim.waits {
        accept_unchecked(tx, &RequestContext::system(tenant), &cloud_pc, Params::Provision, stamp)?;
    }
    Ok(())
}

/// Draws a device name that no Cloud PC of the tenant has.
fn free_name(tx: &Tx<'_>, policy: &Policy, user: &User, rng: &SeededRng) -> Result<String, StoreError> {
    let template = policy.naming_template.as_deref().unwrap_or(NAMING_TEMPLATE_DEFAULT);
    let template = NamingTemplate::parse(template)
        .map_err(|what| StoreError::Corrupt { table: "documents", what: format!("a naming template: {what}") })?;
    let mut name = template.name(&user.user_principal_name, rng);
    for _ in 1..NAMES_MAX {
        if !tx.cloud_pc_device_name_exists(user.tenant_id, &name)? {
            break;
        }
        name = template.name(&user.user_principal_name, rng);
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
