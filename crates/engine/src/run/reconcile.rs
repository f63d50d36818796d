//! The reconciler: makes the Cloud PCs be what provisioning policies ask for (`provisioning.rs` and
//! `shared.rs`), and deprovisions those whose grace period has ended. It also runs the rollouts of
//! changed policies (`rollouts.rs`), bulk actions (`bulk_actions.rs`) and automatic restore points,
//! and evaluates alert rules (`alerts.rs`).

use cloudpc_model::{Rng, SeededRng, TenantId, Timestamp};
use cloudpc_store::StoreError;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::bulk_actions::advance_bulk_actions;
use super::provisioning::reconcile_batch;
use super::rollouts::{advance_rollouts, run_schedules};
use super::shared::reconcile_shared;
use super::store_retry::StoreRetry;
use crate::Engine;
use crate::alerts;
use crate::ledger::RequestContext;
use crate::lifecycle::accept_deprovision;
use crate::request::Stamp;
use crate::snapshots;

/// Most grace periods ended in one transaction.
const GRACE_ENDS_MAX: usize = 64;

/// What the reconciler has to do.
struct Due {
    users: bool,
    /// Assignments of shared Cloud PCs.
    shared: bool,
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
    shared: Option<TenantId>,
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
                    shared: false,
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
            let shared = reader.shared_assignment_next(None)?.is_some();
            let next_run = reader.policy_schedule_next_run()?;
            let next_bulk_action = reader.bulk_action_next_due()?;
            let next_restore_point = reader.restore_point_next_due()?;
            let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
            let (grace, schedules) = (is_due(next_grace_end), is_due(next_run));
            let rollouts = reader.rollout_due(None)?.is_some();
            let bulk_actions = is_due(next_bulk_action);
            let restore_points = is_due(next_restore_point);
            let others = users || shared || grace || schedules || restore_points || rollouts || bulk_actions;
            Ok::<_, StoreError>(Due {
                users,
                shared,
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
        if due.shared {
            let (seed, work, turn) = (self.parts.rng.next_u64(), Arc::clone(&self.work), turns.shared);
            let reconciled = self.parts.store.write("provisioning.reconcileShared", move |tx| {
                let turn = reconcile_shared(tx, turn, seed, now)?;
                let work = Arc::clone(&work);
                tx.after_commit(move || work.wake.notify_one());
                Ok::<_, StoreError>(turn)
            });
            turns.shared = reconciled.await?;
        }
        if due.grace {
            let (seed, work) = (self.parts.rng.next_u64(), Arc::clone(&self.work));
            let ended = self.parts.store.write("provisioning.endGrace", move |tx| {
                let rng = SeededRng::new(seed);
                for mut cloud_pc in tx.cloud_pc_grace_ended(now, GRACE_ENDS_MAX)? {
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
