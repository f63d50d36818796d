//! `cloudpc.action`: an action with its steps and events. An extension of Graph.

use cloudpc_model::{
    Action, ActionId, ActivityId, Actor, ActorKind, AppId, BulkActionId, Event, Params, State, StepRecord, StepState,
    Timestamp, UserId,
};
use cloudpc_store::{QueuePlace, Reader, StoreError};
use serde::Serialize;
use serde_json::Value;

use super::{Shown, Time};

/// An action with the data that its view needs.
#[derive(Debug)]
pub struct ActionRow {
    /// The action, with its steps.
    pub action: Action,
    /// The events of the action.
    pub events: Vec<Event>,
    /// The place in the queue, while the action is open.
    pub place: Option<QueuePlace>,
    /// Undo is possible until this time.
    pub undo_until: Option<Timestamp>,
}

impl ActionRow {
    /// Reads the data that the view needs.
    pub fn read(reader: &Reader<'_>, action: Action) -> Result<Self, StoreError> {
        let events = reader.action_events(action.id)?;
        let place = if action.state.is_final() { None } else { Some(reader.action_place(&action)?) };
        let undo_until = match action.kind().can_be_undone() && action.state == State::Done {
            true => reader.undo_record(action.tenant_id, action.id)?.map(|record| record.kept_until),
            false => None,
        };
        Ok(Self { action, events, place, undo_until })
    }
}

/// `cloudpc.action`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionView<'a> {
    id: Shown<ActionId>,
    kind: &'static str,
    state: &'static str,
    cloud_pc_id: &'a str,
    activity_id: Option<Shown<ActivityId>>,
    bulk_action_id: Option<Shown<BulkActionId>>,
    undone_action_id: Option<Shown<ActionId>>,
    undo_until_date_time: Option<Time>,
    step: Option<&'a str>,
    steps: Vec<StepView<'a>>,
    events: Vec<LogEvent>,
    attempts: usize,
    waits_for: Option<String>,
    queue_place: Option<u64>,
    requested_by: RequestedBy<'a>,
    requested_date_time: Time,
    started_date_time: Option<Time>,
    last_updated_date_time: Time,
    deadline_date_time: Time,
    cancel_requested_date_time: Option<Time>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView<'a> {
    name: &'a str,
    state: StepState,
    attempts: u32,
    started_date_time: Time,
    ended_date_time: Option<Time>,
    due_date_time: Option<Time>,
    message: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct LogEvent {
    at: Time,
    epoch: i64,
    event: &'static str,
    /// Further data of the event.
    data: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestedBy<'a> {
    kind: ActorKind,
    app_id: Option<Shown<AppId>>,
    app_name: &'a str,
    user_id: Option<Shown<UserId>>,
    user_principal_name: &'a str,
}

/// Returns the view of an action.
pub fn action(row: &ActionRow) -> ActionView<'_> {
    let action = &row.action;
    let failure = action.failure();
    ActionView {
        id: Shown(action.id),
        kind: action.kind().name(),
        state: action.state.into(),
        cloud_pc_id: &action.target,
        activity_id: match &action.params {
            Params::DeployAgent { activity_id, .. } => Some(Shown(*activity_id)),
            _ => None,
        },
        bulk_action_id: action.bulk_action_id.map(Shown),
        undone_action_id: match action.params {
            Params::Undo { action_id } => Some(Shown(action_id)),
            _ => None,
        },
        undo_until_date_time: row.undo_until.map(Time),
        step: current_step(action).map(|step| step.name.as_str()),
        steps: action.steps.iter().map(step).collect(),
        events: row.events.iter().map(event).collect(),
        attempts: row.events.iter().filter(|event| event.kind == cloudpc_model::EventKind::Claimed).count(),
        waits_for: waits_for(row),
        queue_place: row.place.as_ref().map(|place| place.ahead),
        requested_by: requested_by(&action.requested_by),
        requested_date_time: Time(action.requested_at),
        started_date_time: action.started_at.map(Time),
        last_updated_date_time: Time(action.updated_at),
        deadline_date_time: Time(action.deadline_at),
        cancel_requested_date_time: action.cancel_requested_at.map(Time),
        error_code: failure.map(|failure| failure.code.as_str()),
        error_message: failure.map(|failure| failure.message.as_str()),
    }
}

/// Returns the current step of an open action.
fn current_step(action: &Action) -> Option<&StepRecord> {
    if action.state.is_final() {
        return None;
    }
    let busy = |step: &&StepRecord| {
        matches!(step.state, StepState::Running | StepState::Waiting | StepState::Undoing | StepState::UndoWaiting)
    };
    action.steps.iter().find(busy).or_else(|| action.steps.last())
}

/// Describes what an open action waits for.
fn waits_for(row: &ActionRow) -> Option<String> {
    let place = row.place.as_ref()?;
    if let Some(behind) = place.behind {
        return Some(format!("Action {behind}, which is running on the same Cloud PC."));
    }
    if row.action.state == State::Stuck {
        return Some("An administrator, because its undo failed. Repair the machine, then settle the action.".into());
    }
    let step = current_step(&row.action)?;
    let due_at = step.due_at?;
    let why = step.message.as_deref().unwrap_or("it did not succeed");
    Some(format!("The next attempt of the step '{}' at {due_at}: {why}", step.name))
}

fn step(step: &StepRecord) -> StepView<'_> {
    StepView {
        name: &step.name,
        state: step.state,
        attempts: step.attempts,
        started_date_time: Time(step.started_at),
        ended_date_time: step.ended_at.map(Time),
        due_date_time: step.due_at.map(Time),
        message: step.message.as_deref(),
    }
}

fn event(event: &Event) -> LogEvent {
    let data = match serde_json::to_value(&event.kind) {
        Ok(Value::Object(mut data)) => {
            data.remove("event");
            (!data.is_empty()).then_some(Value::Object(data))
        }
        _ => None,
    };
    LogEvent { at: Time(event.at), epoch: event.epoch, event: (&event.kind).into(), data }
}

fn requested_by(actor: &Actor) -> RequestedBy<'_> {
    RequestedBy {
        kind: actor.kind,
        app_id: actor.app_id.map(Shown),
        app_name: &actor.app_name,
        user_id: actor.user_id.map(Shown),
        user_principal_name: &actor.user_principal_name,
    }
}
