//! Running actions: claim, step, log, until each has ended.
//!
//! One loop claims what is at the front of a line and due, renews the leases of what runs here,
//! ends what has waited too long, and sees to what is kept for undo and to machines that may have
//! changed by themselves; all of that is one transaction. Each claimed action is then carried by
//! its own task, one transaction per step: the result of one step and the start of the next are
//! logged together. An action whose lease has run out is claimed like any other, which is all there
//! is to crash recovery.
//!
//! The loop sleeps until something is due or someone has written; it never polls.

mod attempt;
mod keep;
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
use crate::actions::recipe;
use attempt::Attempt;
use turn::{ActionTurn, NextStep, TurnLog};
use work::ClaimGuard;
pub(crate) use work::LocalClaims;

/// Most actions claimed in one transaction, so that replies waiting for the writer are not held up.
const CLAIMS_MAX: usize = 256;

/// Most waiting actions ended for their deadline in one transaction.
const OVERDUE_MAX: usize = 256;

/// How long the loop waits after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long steps under way may take to end when the engine stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// A lease is renewed when this part of it is over.
const RENEWALS_PER_LEASE: u32 = 3;

/// What one transaction of the loop has found.
struct Round {
    turns: Vec<(ActionTurn, ClaimGuard)>,
    keep: Vec<UndoRecord>,
    checks: Vec<HealthCheck>,
    next_due: Option<Timestamp>,
}

impl Engine {
    /// Claims and runs actions until `stop` is cancelled; then lets the steps under way end within
    /// a grace time.
    pub async fn run(&self, stop: CancellationToken) {
        let mut carried = JoinSet::new();
        carried.spawn(self.clone().watch(stop.clone()));
        let mut renew_at = self.parts.clock.now();
        while !stop.is_cancelled() {
            while let Some(ended) = carried.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of an action ended unexpectedly; the action is taken again when its lease ends");
                }
            }
            let now = self.parts.clock.now();
            let renew = now >= renew_at;
            if renew {
                renew_at = now + self.parts.settings.lease / RENEWALS_PER_LEASE;
            }
            let next_due = match self.round(now, renew).await {
                Ok(round) => {
                    for (turn, holding) in round.turns {
                        carried.spawn(self.clone().carry(turn, holding, stop.clone()));
                    }
                    for record in round.keep {
                        carried.spawn(self.clone().keep(record, stop.clone()));
                    }
                    for check in round.checks {
                        carried.spawn(self.clone().look_at(check, stop.clone()));
                    }
                    round.next_due
                }
                Err(StoreError::Closed) => break,
                Err(error) => {
                    tracing::error!(%error, "the store failed; actions wait");
                    Some(now + STORE_PAUSE)
                }
            };
            let renew_due = (self.work.count() > 0).then_some(renew_at);
            let wake_at = [next_due, renew_due].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.work.wake.notified() => {}
                () = self.parts.clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => {}
            }
        }
        let all_ended = async { while carried.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME_MAX, all_ended).await.is_err() {
            tracing::warn!("steps under way did not end in time; they are taken up again when their leases end");
        }
    }

    async fn round(&self, now: Timestamp, renew: bool) -> Result<Round, StoreError> {
        let free = self.parts.settings.running_max.saturating_sub(self.work.count());
        let held = if renew { self.work.all() } else { Vec::new() };
        let lease_until = now + self.parts.settings.lease;
        let (parts, work) = (Arc::clone(&self.parts), Arc::clone(&self.work));
        let round = self.parts.store.write("action.claim", move |tx| {
            let (mut renewed, mut lost) = (Vec::new(), Vec::new());
            for &(id, epoch) in &held {
                match tx.action_renew(id, epoch, lease_until) {
                    Err(StoreError::LeaseLost) => lost.push((id, epoch)),
                    other => {
                        other?;
                        renewed.push((id, epoch));
                    }
                }
            }
            if renew {
                let work = Arc::clone(&work);
                tx.after_commit(move || {
                    lost.into_iter().for_each(|(id, epoch)| work.lose(id, epoch));
                    renewed.into_iter().for_each(|(id, epoch)| work.renewed(id, epoch, lease_until));
                });
            }
            turn::end_overdue(tx, now, OVERDUE_MAX)?;
            let mut turns = Vec::new();
            for action in tx.action_claim(now, lease_until, free.min(CLAIMS_MAX))? {
                let (id, epoch) = (action.id, action.epoch);
                let turn = turn::begin(tx, &parts, action, now)?;
                if !matches!(turn.todo, NextStep::Ended) {
                    turns.push((turn, work.hold(tx, id, epoch, lease_until)));
                }
            }
            let keep = tx.undo_record_claim(now, now + keep::TIME_MAX, keep::RECORDS_MAX)?;
            let checks = tx.health_check_claim(now, now + watch::TIME_MAX, watch::CHECKS_MAX)?;
            // With every place taken nothing can be claimed before something ends, and that wakes
            // the loop.
            let claimable = if free > turns.len() { tx.action_next_due()? } else { None };
            let others = [tx.action_next_deadline()?, tx.undo_record_next_due()?, tx.health_check_next_due()?];
            let next_due = others.into_iter().chain([claimable]).flatten().min();
            Ok(Round { turns, keep, checks, next_due })
        });
        let round = round.await;
        self.work.drop_lapsed(now);
        round
    }

    /// Carries one claimed action until it ends, is lost, or the engine stops.
    async fn carry(self, mut turn: ActionTurn, holding: ClaimGuard, stop: CancellationToken) {
        let mut undo_tries = 0;
        loop {
            let log = match turn.todo {
                NextStep::Ended => break self.work.wake.notify_one(),
                NextStep::Wait(until) => tokio::select! {
                    biased;
                    () = holding.lost.cancelled() => break,
                    () = stop.cancelled() => TurnLog::default(),
                    () = holding.cancel.cancelled(), if turn.may_be_canceled() => TurnLog::default(),
                    () = self.parts.clock.sleep_until(until) => TurnLog::default(),
                },
                NextStep::Do(step) => match self.attempt(step, &turn, &holding).await {
                    Attempt::Ended(log) => log,
                    Attempt::Lost => break,
                },
                NextStep::Undo(step) => {
                    undo_tries += 1;
                    match self.attempt_undo(step, &turn, &holding, undo_tries).await {
                        Attempt::Ended(log) => {
                            if !log.tries_again() {
                                undo_tries = 0;
                            }
                            log
                        }
                        Attempt::Lost => break,
                    }
                }
            };
            let (id, epoch, tenant) = (turn.action.id, turn.action.epoch, turn.action.tenant_id);
            let (parts, now, stopping) = (Arc::clone(&self.parts), self.parts.clock.now(), stop.is_cancelled());
            let next = self
                .parts
                .store
                .write("action.advance", move |tx| turn::log(tx, &parts, tenant, id, epoch, now, &log, stopping))
                .await;
            turn = match next {
                Ok(turn) => turn,
                Err(StoreError::LeaseLost | StoreError::Closed) => break,
                Err(error) => {
                    let kind = recipe(turn.action.kind()).kind.name();
                    tracing::error!(%error, action.id = %id, action.kind = kind, epoch, "a step was not logged; the action is taken again when its lease ends");
                    break;
                }
            };
        }
    }
}
