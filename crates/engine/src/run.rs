//! Running actions: claim, execute step by step, log, until each action has ended.
//!
//! One loop claims the due actions at the front of their lines, renews the lease of its worker,
//! ends actions that timed out waiting, and picks up undo records and health checks that are due,
//! all in one transaction. Each claimed action runs in its own task, one transaction per step: the
//! result of one step and the start of the next are logged together. An action whose lease has
//! expired is claimed like any other, which is all there is to crash recovery.
//!
//! The loop sleeps until something is due or it is woken; it never polls.

mod attempt;
mod bulk_actions;
mod entitle;
mod keep;
mod new_cloud_pc;
mod provisioning;
mod reconcile;
mod rollouts;
mod shared;
mod store_retry;
mod tenant_turns;
mod turn;
mod watch;
mod work;

use cloudpc_model::{HealthCheck, Timestamp, UndoRecord};
use cloudpc_store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use attempt::Attempt;
pub use bulk_actions::BULK_RUNNING_MAX;
pub use entitle::entitle;
use store_retry::StoreRetry;
pub(crate) use turn::end_unstarted;
use turn::{ActionTurn, NextStep, TurnLog};
pub(crate) use work::LocalClaims;
use work::{ClaimGuard, Lease};

/// Most actions claimed in one transaction, so that other writes are not delayed.
const CLAIMS_MAX: usize = 256;

/// Most timed-out waiting actions ended in one transaction.
const TIMEOUTS_MAX: usize = 256;

/// Grace period for running steps on shutdown.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// Renewals of a worker's lease during its duration.
const RENEWALS_PER_LEASE: u32 = 3;

/// Result of one transaction of the loop.
struct Round {
    turns: Vec<(ActionTurn, ClaimGuard)>,
    keep: Vec<UndoRecord>,
    checks: Vec<HealthCheck>,
    next_due: Option<Timestamp>,
}

impl Engine {
    /// Claims and runs actions until `stop` is cancelled, then waits a grace period for running
    /// steps.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().watch(stop.clone()));
        tasks.spawn(self.clone().reconcile(stop.clone()));
        let mut retry = StoreRetry::default();
        while !stop.is_cancelled() {
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of an action ended unexpectedly; retrying when its lease expires");
                }
            }
            let now = self.parts.clock.now();
            let next_due = match self.round(now).await {
                Ok(round) => {
                    retry.reset();
                    for (turn, claim) in round.turns {
                        tasks.spawn(self.clone().run_action(turn, claim, stop.clone()));
                    }
                    if !round.keep.is_empty() {
                        tasks.spawn(self.clone().process_undo_records(round.keep, stop.clone()));
                    }
                    for check in round.checks {
                        tasks.spawn(self.clone().check_health(check, stop.clone()));
                    }
                    round.next_due
                }
                Err(StoreError::Closed) => break,
                Err(error) => Some(retry.after(&error, "claiming actions failed", now)),
            };
            let wake_at = [next_due, self.renewal_due(now)].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.work.wake.notified() => {}
                () = self.parts.clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => {}
            }
        }
        let drain = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME_MAX, drain).await.is_err() {
            tracing::warn!("running steps exceeded the shutdown grace period; they resume when their leases expire");
        }
    }

    /// Returns by when the engine next acts on an action, a queued user, a rollout, a bulk action
    /// or an alert rule; none if it has nothing left to act on, and what is open needs an operator.
    /// If the next timer of the clock is later, the engine is between two timers, for example in
    /// the database.
    ///
    /// # Errors
    /// The store fails.
    pub async fn acts_by(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.parts.clock.now();
        if self.work.count() > 0 {
            // The lease is renewed before it expires.
            return Ok(Some(now + self.parts.settings.lease));
        }
        let due = self.parts.store.read(move |reader| {
            let reconciles = !reader.provisioning_queue_next(1)?.is_empty()
                || reader.shared_assignment_next(None)?.is_some()
                || reader.rollout_due(None)?.is_some()
                || reader.bulk_action_due(None, now)?.is_some()
                || reader.alert_evaluation_next(None)?.is_some();
            let due = [
                reconciles.then_some(now),
                reader.action_next_due()?,
                reader.action_next_deadline()?,
                // Of this worker too: a claim may be committed and not registered yet.
                reader.worker_next_expiry(None)?,
            ];
            Ok::<_, StoreError>(due.into_iter().flatten().min())
        });
        Ok(due.await?.map(|due| due.max(now) + self.parts.settings.lease))
    }

    /// Returns when to renew the lease, while there are claims; not before `now`.
    fn renewal_due(&self, now: Timestamp) -> Option<Timestamp> {
        let lease = self.work.lease().filter(|_| self.work.count() > 0)?;
        Some(self.renew_at(lease).max(now))
    }

    /// Returns when a lease has used up its share of a renewal.
    fn renew_at(&self, lease: Lease) -> Timestamp {
        let left = self.parts.settings.lease * (RENEWALS_PER_LEASE - 1) / RENEWALS_PER_LEASE;
        Timestamp(lease.until.0 - i64::try_from(left.as_micros()).unwrap_or(i64::MAX))
    }

    async fn round(&self, now: Timestamp) -> Result<Round, StoreError> {
        let held = self.work.count();
        let free = self.parts.settings.running_max.saturating_sub(held);
        let renew = self.work.lease().is_some_and(|lease| now >= self.renew_at(lease));
        let lease_until = now + self.parts.settings.lease;
        let (parts, work) = (Arc::clone(&self.parts), Arc::clone(&self.work));
        let round = self.background.write("action.claim", move |tx| {
            let own = work.lease().map(|lease| lease.worker);
            tx.worker_expire(own, now)?;
            work.release_given_up(tx)?;
            turn::end_timed_out(tx, now, TIMEOUTS_MAX)?;
            let claimable = tx.action_claimable(now, free.min(CLAIMS_MAX))?;
            let mut turns = Vec::new();
            if !claimable.is_empty() || (held > 0 && renew) {
                let worker = work.prepare_claims(tx, lease_until, renew)?;
                for action in claimable {
                    let turn = turn::begin(tx, &parts, action, worker, now)?;
                    if !matches!(turn.todo, NextStep::Ended) {
                        let (id, epoch) = (turn.action.id, turn.action.epoch);
                        turns.push((turn, work.hold(tx, id, epoch)));
                    }
                }
            }
            let keep = tx.undo_record_claim(now, now + keep::TIME_MAX, keep::RECORDS_MAX)?;
            let checks = tx.health_check_claim(now, now + watch::TIME_MAX, watch::CHECKS_MAX)?;
            // At full capacity nothing can be claimed until an action ends, and that wakes the
            // loop.
            let claimable = if free > turns.len() { tx.action_next_due()? } else { None };
            let others = [
                tx.worker_next_expiry(own)?,
                tx.action_next_deadline()?,
                tx.undo_record_next_due()?,
                tx.health_check_next_due()?,
            ];
            let next_due = others.into_iter().chain([claimable]).flatten().min();
            Ok(Round { turns, keep, checks, next_due })
        });
        let round = round.await;
        self.work.drop_lapsed(now);
        round
    }

    /// Runs one claimed action until it ends, its claim is lost, or the engine stops.
    async fn run_action(self, mut turn: ActionTurn, mut claim: ClaimGuard, stop: CancellationToken) {
        let mut undo_attempts = 0;
        loop {
            let log = match turn.todo {
                NextStep::Ended => {
                    claim.settle();
                    break self.work.wake.notify_one();
                }
                NextStep::Wait(until) => tokio::select! {
                    biased;
                    () = claim.lost.cancelled() => break,
                    () = stop.cancelled() => TurnLog::default(),
                    () = claim.cancel.cancelled(), if turn.may_be_canceled() => TurnLog::default(),
                    () = self.parts.clock.sleep_until(until) => TurnLog::default(),
                },
                NextStep::Do(step) => match self.attempt(step, &turn, &claim).await {
                    Attempt::Ended(log) => log,
                    Attempt::Lost => break,
                },
                NextStep::Undo(step) => {
                    undo_attempts += 1;
                    match self.attempt_undo(step, &turn, &claim, undo_attempts).await {
                        Attempt::Ended(log) => {
                            if !log.is_retry() {
                                undo_attempts = 0;
                            }
                            log
                        }
                        Attempt::Lost => break,
                    }
                }
            };
            let (id, epoch, kind) = (turn.action.id, turn.action.epoch, turn.action.kind().name());
            turn = match self.log(turn, log, stop.is_cancelled()).await {
                Ok(turn) => turn,
                Err(StoreError::LeaseLost) => break claim.settle(),
                Err(StoreError::Closed) => break,
                Err(error) if error.is_disk_refusal() => break,
                Err(error) => {
                    tracing::error!(%error, action.id = %id, action.kind = kind, epoch, "logging a step failed; retrying when the action's lease expires");
                    break;
                }
            };
        }
    }
}
