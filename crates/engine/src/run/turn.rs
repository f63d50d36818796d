//! One turn of an action: logs the result of the last step and the start of the next in one
//! transaction, together with the changes to the action's target.
//!
//! A worker holds its action and plans each turn in memory. Between two steps, the turn is stored
//! as data, guarded by what the worker knows; the end of an action and a change of a document are
//! decided in a transaction. If somebody has changed the action meanwhile, as a cancel request
//! does, the worker reads it again and plans anew.

use cloudpc_model::{Action, CloudPc, Event, EventKind, Failure, IllegalEvent, Kind, Object, Power, State, Timestamp};
use cloudpc_store::{Advance, StoreError, Tx, WorkerId};
use std::sync::Arc;

use crate::actions::{Completion, DocumentEnd, Recipe, Step, Subject, end_unsuccessfully, mark_failed, recipe};
use crate::ledger::{self, RequestContext, audit};
use crate::plan::{self, Decision};
use crate::request::{Stamp, accept_unchecked};
use crate::target::Target;
use crate::{Engine, EngineDependencies, frontline, sessions};

/// State of an action after a transaction, and the next thing for its worker to do.
pub(crate) struct ActionTurn {
    pub action: Arc<Action>,
    pub target: Arc<Target>,
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

/// Events to log, up to the next one that takes time, and the action after them.
struct TurnPlan {
    events: Vec<Event>,
    action: Action,
    todo: NextStep,
    end: Option<ActionEnd>,
}

/// End of an action that is to be applied to its target.
struct ActionEnd {
    /// The action before its last event.
    action: Action,
    outcome: State,
    failure: Option<Failure>,
}

impl TurnPlan {
    /// Plans from a claimed action, beginning with the event of its last step, if there is one.
    fn new(action: &Action, event: Option<EventKind>, now: Timestamp) -> Result<Self, IllegalEvent> {
        let mut plan = Self::only(action, event, now)?;
        while plan.action.state != State::Stuck {
            let recipe = recipe(plan.action.kind());
            let (event, todo) = match plan::next(&plan.action, now, recipe) {
                Decision::Nothing => break,
                Decision::WaitUntil(until) => {
                    plan.todo = NextStep::Wait(until);
                    break;
                }
                Decision::Run(step) if is_in_progress(&plan.action, step) => {
                    plan.todo = NextStep::Do(step);
                    break;
                }
                Decision::Undo(step) if is_in_progress(&plan.action, step) => {
                    plan.todo = NextStep::Undo(step);
                    break;
                }
                Decision::Run(step) => (EventKind::StepStarted { step: step.name.into() }, Some(NextStep::Do(step))),
                Decision::Undo(step) => (EventKind::UndoStarted { step: step.name.into() }, Some(NextStep::Undo(step))),
                Decision::StartUndo(outcome, failure) => (EventKind::UndoBegan { outcome, failure }, None),
                Decision::Finish(outcome, failure) => {
                    let action = plan.action.clone();
                    plan.end = Some(ActionEnd { action, outcome, failure: failure.clone() });
                    (EventKind::Finished { outcome, failure }, Some(NextStep::Ended))
                }
            };
            plan.log(event, now)?;
            if let Some(todo) = todo {
                plan.todo = todo;
                break;
            }
        }
        Ok(plan)
    }

    /// Logs an event, if there is one, and plans nothing.
    fn only(action: &Action, event: Option<EventKind>, now: Timestamp) -> Result<Self, IllegalEvent> {
        let mut plan = Self { events: Vec::new(), action: action.clone(), todo: NextStep::Ended, end: None };
        if let Some(event) = event {
            plan.log(event, now)?;
        }
        Ok(plan)
    }

    fn log(&mut self, kind: EventKind, now: Timestamp) -> Result<(), IllegalEvent> {
        let event = Event { at: now, epoch: self.action.epoch, kind };
        self.action.apply(&event)?;
        self.events.push(event);
        Ok(())
    }

    /// Whether the worker goes on, and only the action is stored.
    fn is_plain(&self) -> bool {
        !self.events.is_empty() && !matches!(self.todo, NextStep::Ended)
    }

    fn advance(&self, power: Option<Power>) -> Advance {
        Advance { action: Arc::new(self.action.clone()), events: self.events.clone(), power }
    }
}

impl Engine {
    /// Logs the result of the last step and plans the next. If the engine is stopping, the action
    /// is released for another worker instead.
    pub(super) async fn log(
        &self,
        mut turn: ActionTurn,
        log: TurnLog,
        stopping: bool,
    ) -> Result<ActionTurn, StoreError> {
        // Without an event the worker was woken, perhaps by a cancel request.
        if log.event.is_none() {
            turn.action = self.read_again(&turn.action).await?;
        }
        let log = Arc::new(log);
        loop {
            let now = self.parts.clock.now();
            match self.log_once(&turn, &log, now, stopping).await {
                Err(StoreError::Overtaken) => turn.action = self.read_again(&turn.action).await?,
                other => return other,
            }
        }
    }

    async fn log_once(
        &self,
        turn: &ActionTurn,
        log: &Arc<TurnLog>,
        now: Timestamp,
        stopping: bool,
    ) -> Result<ActionTurn, StoreError> {
        let plan = match stopping {
            true => TurnPlan::only(&turn.action, log.event.clone(), now)?,
            false => TurnPlan::new(&turn.action, log.event.clone(), now)?,
        };
        if !plan.is_plain() || turn.target.document().is_some() {
            let (parts, log) = (Arc::clone(&self.parts), Arc::clone(log));
            let write = move |tx: &mut Tx<'_>| log_and_decide(tx, &parts, &plan, &log, now, stopping);
            return self.background.write("action.decide", write).await;
        }
        let (action, mut target) = (Arc::new(plan.action), Arc::clone(&turn.target));
        if let (Some(power), Target::CloudPc(cloud_pc)) = (log.power, Arc::make_mut(&mut target)) {
            cloud_pc.power_observed = power;
        }
        let advance = Advance { action: Arc::clone(&action), events: plan.events, power: log.power };
        self.background.advance(advance).await?;
        Ok(ActionTurn { action, target, todo: plan.todo })
    }

    /// Reads an action that is claimed here.
    async fn read_again(&self, held: &Action) -> Result<Arc<Action>, StoreError> {
        let (tenant, id, epoch) = (held.tenant_id, held.id, held.epoch);
        let action = self.parts.store.read(move |reader| reader.action(tenant, id)).await?;
        action.filter(|action| action.epoch == epoch).map(Arc::new).ok_or(StoreError::LeaseLost)
    }
}

/// Claims an action and runs its first turn. The target's status changes here, not on acceptance:
/// see [`crate::request`].
pub(super) fn begin(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    mut action: Action,
    worker: WorkerId,
    now: Timestamp,
) -> Result<ActionTurn, StoreError> {
    let claim = Event { at: now, epoch: action.epoch + 1, kind: EventKind::Claimed };
    action.apply(&claim)?;
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
    let mut plan = TurnPlan::new(&action, None, now)?;
    if plan.end.is_some() {
        tx.action_claim(&Advance { action: Arc::new(action), events: vec![claim], power: None }, worker)?;
        return log_and_decide(tx, parts, &plan, &TurnLog::default(), now, false);
    }
    plan.events.insert(0, claim);
    let claimed = plan.advance(None);
    tx.action_claim(&claimed, worker)?;
    Ok(ActionTurn { action: claimed.action, target: Arc::new(target), todo: plan.todo })
}

/// Stores a turn together with what it changes of the target.
fn log_and_decide(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    plan: &TurnPlan,
    log: &TurnLog,
    now: Timestamp,
    stopping: bool,
) -> Result<ActionTurn, StoreError> {
    let (action, is_stuck) = (&plan.action, plan.action.state == State::Stuck);
    let mut target = Target::of(tx, action)?;
    let before = target.clone();
    match &mut target {
        Target::CloudPc(cloud_pc) => {
            if let Some(power) = log.power {
                cloud_pc.power_observed = power;
            }
            if is_stuck {
                mark_failed(cloud_pc, action.failure());
            }
        }
        Target::Document(document) => document.status.extend(log.status.clone()),
        Target::Missing => {}
    }
    target.store(tx, &before, now)?;
    if let Some(end) = &plan.end {
        let before = target.clone();
        match &mut target {
            Target::CloudPc(cloud_pc) => {
                if end.outcome == State::Done && action.kind().ends_sessions() {
                    tx.remote_sessions_end(cloud_pc.tenant_id, cloud_pc.id, action.started_at.unwrap_or(now))?;
                }
                apply_end(tx, parts, end, cloud_pc, now)?;
                let signs_off = end.outcome == State::Done && action.kind().ends_sessions();
                // A deprovisioned Cloud PC is gone.
                if signs_off && action.kind() != Kind::Deprovision && cloud_pc.session_started_at.is_some() {
                    sessions::release(tx, cloud_pc, Stamp::following(action, now))?;
                }
            }
            target => {
                end_document(tx, recipe(action.kind()), &end.action, target, end.outcome, end.failure.as_ref(), now)?;
            }
        }
        target.store(tx, &before, now)?;
    }
    if !plan.events.is_empty() {
        tx.action_advance(&plan.advance(None))?;
    }
    if plan.end.is_some() || is_stuck {
        audit::end(tx, action, now)?;
    }
    if is_stuck {
        let (id, kind) = (action.id, action.kind().name());
        tx.after_commit(move || {
            tracing::error!(action.id = %id, action.kind = kind, "an action is stuck; repair its machine, then settle the action");
        });
    } else if stopping {
        tx.action_release(action.id, action.epoch, now)?;
    }
    Ok(ActionTurn { action: Arc::new(action.clone()), target: Arc::new(target), todo: plan.todo })
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
/// only provisioning, preparing, deprovisioning and resizing change the status on acceptance.
pub(crate) fn end_unstarted(tx: &mut Tx<'_>, action: &Action, now: Timestamp) -> Result<(), StoreError> {
    let mut target = Target::of(tx, action)?;
    let before = target.clone();
    match (action.kind(), &mut target) {
        (Kind::Provision | Kind::Prepare | Kind::Deprovision | Kind::Resize, Target::CloudPc(cloud_pc)) => {
            end_unsuccessfully(cloud_pc, action, action.failure(), now);
            reconcile_again(tx, action, cloud_pc, now)?;
            frontline::on_failure(tx, action, cloud_pc)?;
        }
        // The restore point is gone, so its disk must go.
        (Kind::DropRestorePoint, Target::CloudPc(cloud_pc)) => {
            let system = RequestContext::system(cloud_pc.tenant_id);
            accept_unchecked(tx, &system, cloud_pc, action.params.clone(), Stamp::following(action, now))?;
        }
        (_, Target::CloudPc(cloud_pc)) => frontline::on_failure(tx, action, cloud_pc)?,
        (_, target) => end_document(tx, recipe(action.kind()), action, target, action.state, action.failure(), now)?,
    }
    target.store(tx, &before, now)
}

/// Queues the user or assignment of a Cloud PC whose deprovisioning or resize did not succeed. The
/// user may have been given the licence back meanwhile, and the reconciler learns when to
/// deprovision again; or the user lost the licence while the resize waited for another.
fn reconcile_again(tx: &mut Tx<'_>, action: &Action, cloud_pc: &CloudPc, now: Timestamp) -> Result<(), StoreError> {
    let (Kind::Deprovision | Kind::Resize) = action.kind() else { return Ok(()) };
    if let Some(user) = cloud_pc.user_id {
        tx.provisioning_queue_put(cloud_pc.tenant_id, &[user], now)?;
    }
    match tx.entitlement(cloud_pc.tenant_id, cloud_pc.id)? {
        Some(shared) if shared.user_id.is_none() => {
            tx.shared_assignment_put(shared.tenant_id, &shared.policy_id, &shared.assignment_id)
        }
        _ => Ok(()),
    }
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
fn apply_end(
    tx: &mut Tx<'_>,
    parts: &EngineDependencies,
    end: &ActionEnd,
    cloud_pc: &mut CloudPc,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (action, recipe) = (&end.action, recipe(end.action.kind()));
    let Subject::CloudPc { complete, .. } = &recipe.subject else { return Ok(()) };
    if end.outcome == State::Done {
        if recipe.status_during(action) == Some(cloud_pc.status)
            && let Some(status) = cloud_pc.status_before.take()
        {
            // The previous status, unless `complete` sets another.
            cloud_pc.status = status;
        }
        let undo_window = parts.settings.undo_window;
        complete(&mut Completion { tx: &mut *tx, now, undo_window, action, cloud_pc: &mut *cloud_pc })?;
    } else {
        end_unsuccessfully(cloud_pc, action, end.failure.as_ref(), now);
        reconcile_again(tx, action, cloud_pc, now)?;
        frontline::on_failure(tx, action, cloud_pc)?;
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
