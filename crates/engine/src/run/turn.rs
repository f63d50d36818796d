//! One turn of an action: logs the result of the last step and the start of the next in one
//! transaction, together with the changes to the action's target.

use cloudpc_model::{Action, ActionId, CloudPc, EventKind, Failure, Kind, Object, Power, State, TenantId, Timestamp};
use cloudpc_store::{StoreError, Tx};

use crate::EngineDependencies;
use crate::actions::{Completion, DocumentEnd, Recipe, Step, Subject, end_unsuccessfully, mark_failed, recipe};
use crate::ledger::{self, audit};
use crate::plan::{self, Decision};
use crate::target::Target;

/// State of an action after a transaction, and the next thing for its worker to do.
pub(crate) struct ActionTurn {
    pub action: Action,
    pub target: Target,
    pub todo: NextStep,
}

/// Next thing for a worker to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NextStep {
    /// Perform this step, which is logged as started.
    Do(&'static Step),
    /// Undo this step.
    Undo(&'static Step),
    /// Wait until this time.
    Wait(Timestamp),
    /// Nothing: the action has ended, is stuck, or was released.
    Ended,
}

/// Result of an attempt, to be logged.
#[derive(Debug, Default)]
pub(crate) struct TurnLog {
    /// Event of the step; none: plan again.
    pub event: Option<EventKind>,
    /// Power state that the machine is now known to be in.
    pub power: Option<Power>,
    /// Properties of the document's status that are now known.
    pub status: Object,
}

impl TurnLog {
    /// Returns whether the same step is retried.
    pub fn is_retry(&self) -> bool {
        matches!(self.event, Some(EventKind::StepRetried { .. } | EventKind::UndoRetried { .. }))
    }
}

impl ActionTurn {
    /// Returns whether a cancel request or the deadline still ends the action.
    pub fn may_be_canceled(&self) -> bool {
        self.action.state == State::Running && !recipe(self.action.kind()).past_return(&self.action)
    }
}

/// Runs the first turn of a claim. The target's status changes here, not on acceptance: see
/// [`crate::request`].
pub(super) fn begin(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    action: Action,
    now: Timestamp,
) -> Result<ActionTurn, StoreError> {
    let mut target = Target::of(tx, &action)?;
    let recipe = recipe(action.kind());
    if action.state == State::Running {
        let before = target.clone();
        match (&recipe.subject, &mut target) {
            (Subject::CloudPc { .. }, Target::CloudPc(cloud_pc)) => {
                // A resize that was claimed while it still waits for a licence fails.
                let waits = action.kind() == Kind::Resize && cloud_pc.waits_for_license();
                let status = recipe.status_during(&action).filter(|status| *status != cloud_pc.status && !waits);
                if let Some(status) = status {
                    cloud_pc.status_before = Some(cloud_pc.status);
                    cloud_pc.status = status;
                }
            }
            (Subject::Document { begin, .. }, Target::Document(document)) => begin(document, now),
            _ => {}
        }
        target.store(tx, &before, now)?;
    }
    advance(tx, parts, recipe, action, target, now)
}

/// Logs the result of the last step and plans the next. If the engine is stopping, the action is
/// released for another worker instead.
#[expect(clippy::too_many_arguments, reason = "three of them identify the action, the others its result")]
pub(super) fn log(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    tenant: TenantId,
    id: ActionId,
    epoch: i64,
    now: Timestamp,
    log: &TurnLog,
    stopping: bool,
) -> Result<ActionTurn, StoreError> {
    let action = match &log.event {
        Some(event) => tx.action_append(id, epoch, now, event.clone())?,
        None => tx.action(tenant, id)?.filter(|action| action.epoch == epoch).ok_or(StoreError::LeaseLost)?,
    };
    let mut target = Target::of(tx, &action)?;
    let before = target.clone();
    match &mut target {
        Target::CloudPc(cloud_pc) => {
            if let Some(power) = log.power {
                cloud_pc.power_observed = power;
            }
            if action.state == State::Stuck {
                mark_failed(cloud_pc, action.failure());
            }
        }
        Target::Document(document) => document.status.extend(log.status.clone()),
        Target::Missing => {}
    }
    target.store(tx, &before, now)?;
    if action.state == State::Stuck {
        audit::end(tx, &action, now)?;
        let kind = action.kind().name();
        tx.after_commit(move || {
            tracing::error!(action.id = %id, action.kind = kind, "an action is stuck; repair its machine, then settle the action");
        });
        return Ok(ActionTurn { action, target, todo: NextStep::Ended });
    }
    if stopping {
        tx.action_release(id, epoch, now)?;
        return Ok(ActionTurn { action, target, todo: NextStep::Ended });
    }
    advance(tx, parts, recipe(action.kind()), action, target, now)
}

/// Ends actions that timed out before a worker claimed them.
pub(super) fn end_timed_out(tx: &mut Tx<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError> {
    for action in tx.action_overdue(now, limit)? {
        let ended = EventKind::Finished { outcome: State::Failed, failure: Some(ledger::timed_out(&action)) };
        let action = tx.action_append(action.id, action.epoch, now, ended)?;
        audit::end(tx, &action, now)?;
        end_unstarted(tx, &action, now)?;
    }
    Ok(())
}

/// Applies the end of an action that was never started to its target. Of the actions on Cloud PCs,
/// only provisioning, deprovisioning and resizing change the status on acceptance.
pub(crate) fn end_unstarted(tx: &mut Tx<'_>, action: &Action, now: Timestamp) -> Result<(), StoreError> {
    let mut target = Target::of(tx, action)?;
    let before = target.clone();
    match (action.kind(), &mut target) {
        (Kind::Provision | Kind::Deprovision | Kind::Resize, Target::CloudPc(cloud_pc)) => {
            end_unsuccessfully(cloud_pc, action, action.failure(), now);
            reconcile_again(tx, action, cloud_pc, now)?;
        }
        (_, Target::CloudPc(_)) => {}
        (_, target) => end_document(tx, recipe(action.kind()), action, target, action.state, action.failure(), now)?,
    }
    target.store(tx, &before, now)
}

/// Queues the user of a Cloud PC whose deprovisioning or resize did not succeed. The user may have
/// been given the licence back meanwhile, and the reconciler learns when to deprovision again; or
/// the user lost the licence while the resize waited for another.
fn reconcile_again(tx: &mut Tx<'_>, action: &Action, cloud_pc: &CloudPc, now: Timestamp) -> Result<(), StoreError> {
    match action.kind() {
        Kind::Deprovision | Kind::Resize => tx.provisioning_queue_put(cloud_pc.tenant_id, &[cloud_pc.user_id], now),
        _ => Ok(()),
    }
}

/// Logs the planned events up to the next one that takes time.
fn advance(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    recipe: &'static Recipe,
    mut action: Action,
    mut target: Target,
    now: Timestamp,
) -> Result<ActionTurn, StoreError> {
    let todo = loop {
        let (event, todo) = match plan::next(&action, now, recipe) {
            Decision::Nothing => break NextStep::Ended,
            Decision::WaitUntil(until) => break NextStep::Wait(until),
            Decision::Run(step) if is_in_progress(&action, step) => break NextStep::Do(step),
            Decision::Undo(step) if is_in_progress(&action, step) => break NextStep::Undo(step),
            Decision::Run(step) => (EventKind::StepStarted { step: step.name.into() }, Some(NextStep::Do(step))),
            Decision::Undo(step) => (EventKind::UndoStarted { step: step.name.into() }, Some(NextStep::Undo(step))),
            Decision::StartUndo(outcome, failure) => (EventKind::UndoBegan { outcome, failure }, None),
            Decision::Finish(outcome, failure) => {
                let before = target.clone();
                match &mut target {
                    Target::CloudPc(cloud_pc) => {
                        end(tx, parts, recipe, &action, cloud_pc, outcome, failure.as_ref(), now)?;
                    }
                    target => end_document(tx, recipe, &action, target, outcome, failure.as_ref(), now)?,
                }
                target.store(tx, &before, now)?;
                (EventKind::Finished { outcome, failure }, Some(NextStep::Ended))
            }
        };
        action = tx.action_append(action.id, action.epoch, now, event)?;
        if let Some(todo) = todo {
            audit::end(tx, &action, now)?;
            break todo;
        }
    };
    Ok(ActionTurn { action, target, todo })
}

/// Returns whether the step is already logged as running, or as being undone while the action is
/// undone, as after a crash.
fn is_in_progress(action: &Action, step: &Step) -> bool {
    use cloudpc_model::StepState::{Running, Undoing};
    action.step(step.name).is_some_and(|record| match action.state {
        State::Undoing => record.state == Undoing,
        _ => record.state == Running,
    })
}

/// Applies the end of an action to its Cloud PC.
#[expect(clippy::too_many_arguments, reason = "the end of an action brings all of these together")]
fn end(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    recipe: &Recipe,
    action: &Action,
    cloud_pc: &mut CloudPc,
    outcome: State,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Subject::CloudPc { complete, .. } = &recipe.subject else { return Ok(()) };
    if outcome == State::Done {
        if recipe.status_during(action) == Some(cloud_pc.status)
            && let Some(status) = cloud_pc.status_before.take()
        {
            // The previous status, unless `complete` sets another.
            cloud_pc.status = status;
        }
        let undo_window = parts.settings.undo_window;
        complete(&mut Completion { tx: &mut *tx, now, undo_window, action, cloud_pc: &mut *cloud_pc })?;
    } else {
        end_unsuccessfully(cloud_pc, action, failure, now);
        reconcile_again(tx, action, cloud_pc, now)?;
    }
    // The grace period may have begun or ended while the action ran.
    cloud_pc.update_grace_status();
    Ok(())
}

/// Applies the end of an action to its document, if it is an action on a document.
fn end_document(
    tx: &mut Tx<'_>,
    recipe: &Recipe,
    action: &Action,
    target: &mut Target,
    outcome: State,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match &recipe.subject {
        Subject::CloudPc { .. } => Ok(()),
        Subject::Document { end, .. } => {
            end(&mut DocumentEnd { tx, now, action, outcome, failure, document: target.document_mut() })
        }
    }
}
