//! What comes next, decided without doing anything.

use cloudpc_model::{Action, Failure, State, StepState, Timestamp};

use crate::actions::{Recipe, Step};

/// What a worker has to do.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// Do a step.
    Run(&'static Step),
    /// Take a step back.
    Undo(&'static Step),
    /// Nothing before this time.
    WaitUntil(Timestamp),
    /// Begin to take steps back, to end in this state.
    TurnBack(State, Option<Failure>),
    /// End.
    Finish(State, Option<Failure>),
    /// The action is not a worker's: it has not been claimed, has ended, or waits for a person.
    Nothing,
}

/// What comes next for a claimed action.
///
/// A step whose record says that it runs is run again without a new record: after a crash this is
/// how its worker's successor joins in, and a crash does not use up an attempt.
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
        return end(action, recipe, State::Canceled, Some(canceled(action, "It was canceled on request.")));
    }
    if !past_return && now >= action.deadline_at {
        return end(action, recipe, State::Failed, Some(overdue(action)));
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
        Decision::TurnBack(outcome, failure)
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

/// The steps that were begun and can be taken back, last first, and when the taking back of each is
/// due. A step that failed is among them: it may have had half its effect.
fn steps_to_undo(action: &Action, recipe: &'static Recipe) -> impl Iterator<Item = (&'static Step, Option<Timestamp>)> {
    recipe.steps.iter().rev().filter(|step| step.has_undo()).filter_map(|step| {
        let record = action.step(step.name)?;
        let due_at = if record.state == StepState::UndoWaiting { record.due_at } else { None };
        (record.state != StepState::Undone).then_some((step, due_at))
    })
}

/// Why an action was canceled. The contract has no code for it, so that of a deployment is `none`.
pub(crate) fn canceled(action: &Action, message: impl Into<String>) -> Failure {
    let code = if action.kind().is_remote_action() { "canceled" } else { "none" };
    Failure { code: code.into(), message: message.into() }
}

/// Why an action is being undone: a sentence without its full stop.
pub(crate) fn undo_reason(action: &Action) -> &str {
    action.failure().map_or("It was canceled", |failure| failure.message.trim_end_matches('.'))
}

const OVERDUE: &str = "actionTimeout";
const OVERDUE_DEPLOYMENT: &str = "executeActionTimeout";

/// Whether an action has failed because it did not end in time.
pub(crate) fn is_overdue(failure: &Failure) -> bool {
    [OVERDUE, OVERDUE_DEPLOYMENT].contains(&&*failure.code)
}

/// The failure of an action that has not ended by its deadline.
pub(crate) fn overdue(action: &Action) -> Failure {
    let code = if action.kind().is_remote_action() { OVERDUE } else { OVERDUE_DEPLOYMENT };
    let message = match action.steps.last() {
        Some(step) => format!("It did not end before {}; its last step was '{}'.", action.deadline_at, step.name),
        None => format!(
            "The Cloud PC did not take it before {}: other actions were ahead of it. Ask again when they have ended.",
            action.deadline_at
        ),
    };
    Failure { code: code.into(), message }
}
