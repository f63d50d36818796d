//! Planning: what comes next for an action, as a pure function.

use cloudpc_model::{Action, Failure, State, StepState, Timestamp};

use crate::actions::{Recipe, Step};
use crate::ledger::{canceled, timed_out};

/// Next thing for a worker to do.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// Perform a step.
    Run(&'static Step),
    /// Undo a step.
    Undo(&'static Step),
    /// Wait until this time.
    WaitUntil(Timestamp),
    /// Start undoing steps; the action then ends in this state.
    StartUndo(State, Option<Failure>),
    /// End the action in this state.
    Finish(State, Option<Failure>),
    /// Nothing: the action is unclaimed, has ended, or is stuck.
    Nothing,
}

/// Decides what comes next for a claimed action.
///
/// A step that is logged as running is run again without a new record: this is how a worker resumes
/// after a crash, and a crash does not use up an attempt.
pub(crate) fn next(action: &Action, now: Timestamp, recipe: &'static Recipe) -> Decision {
    match action.state {
        State::Running => forward(action, now, recipe),
        State::Undoing => back(action, now, recipe),
        State::Pending | State::Done | State::Failed | State::Canceled | State::NotSupported | State::Stuck => {
            Decision::Nothing
        }
    }
}

fn forward(action: &Action, now: Timestamp, recipe: &'static Recipe) -> Decision {
    let past_return = recipe.past_return(action);
    if let Some((outcome, failure)) = &action.outcome {
        return end(action, recipe, *outcome, failure.clone());
    }
    if !past_return && action.cancel_requested_at.is_some() {
        return end(action, recipe, State::Canceled, Some(canceled(action, "The action was canceled on request.")));
    }
    if !past_return && now >= action.deadline_at {
        return end(action, recipe, State::Failed, Some(timed_out(action)));
    }
    for step in recipe.steps {
        let Some(record) = action.step(step.name) else { return Decision::Run(step) };
        match (record.state, record.due_at) {
            (StepState::Succeeded, _) => {}
            (StepState::Waiting, Some(due_at)) if due_at > now => {
                return Decision::WaitUntil(if past_return { due_at } else { due_at.min(action.deadline_at) });
            }
            _ => return Decision::Run(step),
        }
    }
    Decision::Finish(State::Done, None)
}

fn end(action: &Action, recipe: &'static Recipe, outcome: State, failure: Option<Failure>) -> Decision {
    if recipe.past_return(action) || steps_to_undo(action, recipe).next().is_none() {
        Decision::Finish(outcome, failure)
    } else {
        Decision::StartUndo(outcome, failure)
    }
}

fn back(action: &Action, now: Timestamp, recipe: &'static Recipe) -> Decision {
    match steps_to_undo(action, recipe).next() {
        Some((_, Some(due_at))) if due_at > now => Decision::WaitUntil(due_at),
        Some((step, _)) => Decision::Undo(step),
        None => {
            let (outcome, failure) = action.outcome.clone().unwrap_or((State::Failed, None));
            Decision::Finish(outcome, failure)
        }
    }
}

/// Returns the started steps that can be undone, last first, and when the undo of each is due.
/// Failed steps are included: they may have taken partial effect.
fn steps_to_undo(action: &Action, recipe: &'static Recipe) -> impl Iterator<Item = (&'static Step, Option<Timestamp>)> {
    recipe.steps.iter().rev().filter(|step| step.has_undo()).filter_map(|step| {
        let record = action.step(step.name)?;
        let due_at = if record.state == StepState::UndoWaiting { record.due_at } else { None };
        (record.state != StepState::Undone).then_some((step, due_at))
    })
}

/// Returns why an action is being undone: a sentence without its full stop.
pub(crate) fn undo_reason(action: &Action) -> &str {
    action.failure().map_or("The action was canceled", |failure| failure.message.trim_end_matches('.'))
}
