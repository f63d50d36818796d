//! One turn of an action: what the last step came to and what comes next, logged in one transaction
//! together with what it means for the Cloud PC.

use cloudpc_model::{
    Action, ActionId, CloudPc, CloudPcStatus, EventKind, Failure, Power, State, StatusDetail, TenantId, Timestamp,
};
use cloudpc_store::{StoreError, Tx};

use crate::actions::{AfterFailure, Completion, Recipe, Step, recipe};
use crate::plan::{self, Decision};
use crate::{EngineDependencies, audit};

/// An action as it stands after a transaction, and what its worker has to do.
pub(crate) struct ActionTurn {
    pub action: Action,
    pub cloud_pc: Option<CloudPc>,
    pub todo: NextStep,
}

/// What a worker has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NextStep {
    /// This step, which is logged as begun.
    Do(&'static Step),
    /// Take this step back.
    Undo(&'static Step),
    /// Wait.
    Wait(Timestamp),
    /// Nothing: it has ended, is stuck, or was given up.
    Ended,
}

/// What there is to log.
#[derive(Debug, Default)]
pub(crate) struct TurnLog {
    /// What the step came to; none: look at the plan again.
    pub event: Option<EventKind>,
    /// What is known now about the machine's power.
    pub power: Option<Power>,
}

impl TurnLog {
    /// Whether the same step comes again.
    pub fn tries_again(&self) -> bool {
        matches!(self.event, Some(EventKind::StepRetried { .. } | EventKind::UndoRetried { .. }))
    }
}

impl ActionTurn {
    /// Whether a request to cancel, or its deadline, would still end the action.
    pub fn may_be_canceled(&self) -> bool {
        self.action.state == State::Running && !recipe(self.action.kind()).past_return(&self.action)
    }
}

/// The first turn of a claim. The Cloud PC's status changes here, not when the action was accepted:
/// see [`crate::request`].
pub(super) fn begin(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    action: Action,
    now: Timestamp,
) -> Result<ActionTurn, StoreError> {
    let mut cloud_pc = cloud_pc(tx, &action)?;
    let recipe = recipe(action.kind());
    if let (State::Running, Some(status), Some(cloud_pc)) = (action.state, recipe.status, &mut cloud_pc)
        && cloud_pc.status != status
    {
        cloud_pc.status_before = Some(cloud_pc.status);
        cloud_pc.status = status;
        cloud_pc.modified_at = now;
        tx.cloud_pc_update(cloud_pc)?;
    }
    advance(tx, parts, recipe, action, cloud_pc, now)
}

/// Logs what the last step came to and turns to the next. When the engine stops, the action is
/// given up instead, for whoever comes next.
#[expect(clippy::too_many_arguments, reason = "an action is named by three of them, and the rest is what happened")]
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
    let mut cloud_pc = cloud_pc(tx, &action)?;
    if let Some(cloud_pc) = &mut cloud_pc {
        let before = cloud_pc.clone();
        if let Some(power) = log.power {
            cloud_pc.power_observed = power;
        }
        if action.state == State::Stuck {
            broken(cloud_pc, action.failure());
        }
        store(tx, &before, cloud_pc, now)?;
    }
    if action.state == State::Stuck {
        audit::end(tx, &action, now)?;
        let kind = action.kind().name();
        tx.after_commit(move || {
            tracing::error!(action.id = %id, action.kind = kind, "an action is stuck; a person has to look at its machine and settle it");
        });
        return Ok(ActionTurn { action, cloud_pc, todo: NextStep::Ended });
    }
    if stopping {
        tx.action_release(id, epoch, now)?;
        return Ok(ActionTurn { action, cloud_pc, todo: NextStep::Ended });
    }
    advance(tx, parts, recipe(action.kind()), action, cloud_pc, now)
}

/// Ends actions that nobody has taken before their deadline.
pub(super) fn end_overdue(tx: &mut Tx<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError> {
    for action in tx.action_overdue(now, limit)? {
        let ended = EventKind::Finished { outcome: State::Failed, failure: Some(plan::overdue(&action)) };
        let action = tx.action_append(action.id, action.epoch, now, ended)?;
        audit::end(tx, &action, now)?;
    }
    Ok(())
}

/// Logs what the plan says comes next, up to the next thing that takes time.
fn advance(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    recipe: &'static Recipe,
    mut action: Action,
    mut cloud_pc: Option<CloudPc>,
    now: Timestamp,
) -> Result<ActionTurn, StoreError> {
    let todo = loop {
        let (event, todo) = match plan::next(&action, now, recipe) {
            Decision::Nothing => break NextStep::Ended,
            Decision::WaitUntil(until) => break NextStep::Wait(until),
            Decision::Run(step) if is_under_way(&action, step) => break NextStep::Do(step),
            Decision::Undo(step) if is_under_way(&action, step) => break NextStep::Undo(step),
            Decision::Run(step) => (EventKind::StepStarted { step: step.name.into() }, Some(NextStep::Do(step))),
            Decision::Undo(step) => (EventKind::UndoStarted { step: step.name.into() }, Some(NextStep::Undo(step))),
            Decision::TurnBack(outcome, failure) => (EventKind::UndoBegan { outcome, failure }, None),
            Decision::Finish(outcome, failure) => {
                if let Some(cloud_pc) = &mut cloud_pc {
                    end(tx, parts, recipe, &action, cloud_pc, outcome, failure.as_ref(), now)?;
                }
                (EventKind::Finished { outcome, failure }, Some(NextStep::Ended))
            }
        };
        action = tx.action_append(action.id, action.epoch, now, event)?;
        if let Some(todo) = todo {
            audit::end(tx, &action, now)?;
            break todo;
        }
    };
    Ok(ActionTurn { action, cloud_pc, todo })
}

/// Whether the log says that the step is being done, or undone, as the action's state has it. It is
/// so after a crash.
fn is_under_way(action: &Action, step: &Step) -> bool {
    use cloudpc_model::StepState::{Running, Undoing};
    action.step(step.name).is_some_and(|record| match action.state {
        State::Undoing => record.state == Undoing,
        _ => record.state == Running,
    })
}

/// What the end of an action means for its Cloud PC.
#[expect(clippy::too_many_arguments, reason = "this is where everything about an ending action meets")]
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
    let before = cloud_pc.clone();
    if let Some(status) = cloud_pc.status_before {
        // What it goes back to, unless its end says otherwise.
        cloud_pc.status = status;
    }
    match (outcome, action.state) {
        (State::Done, _) => {
            let undo_window = parts.settings.undo_window;
            (recipe.complete)(&mut Completion { tx: &mut *tx, now, undo_window, action, cloud_pc: &mut *cloud_pc })?;
        }
        (_, State::Undoing) => {}
        _ => match (recipe.after_failure)(action) {
            AfterFailure::Unchanged => {}
            AfterFailure::Broken => broken(cloud_pc, failure),
        },
    }
    cloud_pc.status_before = None;
    store(tx, &before, cloud_pc, now)
}

fn broken(cloud_pc: &mut CloudPc, failure: Option<&Failure>) {
    cloud_pc.status = CloudPcStatus::Failed;
    cloud_pc.status_before = None;
    cloud_pc.status_detail = detail(failure);
}

fn detail(failure: Option<&Failure>) -> Option<StatusDetail> {
    failure.map(|failure| StatusDetail { code: failure.code.clone(), message: failure.message.clone() })
}

fn store(tx: &mut Tx<'_>, before: &CloudPc, cloud_pc: &mut CloudPc, now: Timestamp) -> Result<(), StoreError> {
    if cloud_pc != before {
        cloud_pc.modified_at = now;
        tx.cloud_pc_update(cloud_pc)?;
    }
    Ok(())
}

fn cloud_pc(tx: &Tx<'_>, action: &Action) -> Result<Option<CloudPc>, StoreError> {
    match action.cloud_pc_id() {
        Some(id) => tx.cloud_pc(action.tenant_id, id),
        None => Ok(None),
    }
}
