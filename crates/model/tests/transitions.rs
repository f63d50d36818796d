//! State machine: the table of every event in every state, and random walks.

use cloudpc_model::{Action, ActionId, Actor, Event, EventKind, Failure, Params, State, TenantId, Timestamp};
use proptest::prelude::*;
use std::fmt::Write;
use uuid::Uuid;

fn action_in(state: State) -> Action {
    Action {
        id: ActionId(1),
        tag_nonce: None,
        tenant_id: TenantId(Uuid::nil()),
        target: Uuid::nil().to_string(),
        params: Params::Reboot,
        requested_by: Actor::system(),
        bulk_action_id: None,
        requested_at: Timestamp(0),
        deadline_at: Timestamp(1_000_000),
        state,
        epoch: 1,
        started_at: None,
        updated_at: Timestamp(0),
        cancel_requested_at: None,
        outcome: None,
        steps: Vec::new(),
        events: 0,
    }
}

fn failure() -> Failure {
    Failure { code: "code".into(), message: "message".into() }
}

fn every_event() -> Vec<(&'static str, EventKind)> {
    let step = || "step".to_owned();
    let by = Actor::system;
    let due_at = Timestamp(5);
    vec![
        ("accepted", EventKind::Accepted),
        ("claimed", EventKind::Claimed),
        ("stepStarted", EventKind::StepStarted { step: step() }),
        ("stepSucceeded", EventKind::StepSucceeded { step: step(), message: None }),
        ("stepRetried", EventKind::StepRetried { step: step(), message: String::new(), due_at }),
        ("stepFailed", EventKind::StepFailed { step: step(), outcome: State::Failed, failure: failure() }),
        ("cancelRequested", EventKind::CancelRequested { by: by() }),
        ("undoBegan", EventKind::UndoBegan { outcome: State::Failed, failure: Some(failure()) }),
        ("undoStarted", EventKind::UndoStarted { step: step() }),
        ("undoSucceeded", EventKind::UndoSucceeded { step: step() }),
        ("undoRetried", EventKind::UndoRetried { step: step(), message: String::new(), due_at }),
        ("undoFailed", EventKind::UndoFailed { step: step(), failure: failure() }),
        ("settled", EventKind::Settled { by: by() }),
        ("finished done", EventKind::Finished { outcome: State::Done, failure: None }),
        ("finished failed", EventKind::Finished { outcome: State::Failed, failure: Some(failure()) }),
        ("finished canceled", EventKind::Finished { outcome: State::Canceled, failure: None }),
        ("finished notSupported", EventKind::Finished { outcome: State::NotSupported, failure: None }),
        ("finished running", EventKind::Finished { outcome: State::Running, failure: None }),
    ]
}

const STATES: [State; 8] = [
    State::Pending,
    State::Running,
    State::Undoing,
    State::Done,
    State::Failed,
    State::Canceled,
    State::NotSupported,
    State::Stuck,
];

#[test]
fn every_event_in_every_state() {
    let mut table = String::new();
    for (name, kind) in every_event() {
        write!(table, "{name:22}").unwrap();
        for state in STATES {
            let mut action = action_in(state);
            let next = match action.apply(&Event { at: Timestamp(1), epoch: 1, kind: kind.clone() }) {
                Ok(()) => format!("{:?}", action.state),
                Err(_) => "-".to_owned(),
            };
            write!(table, " {:9}", format!("{:.9}", next)).unwrap();
        }
        table = table.trim_end().to_owned();
        table.push('\n');
    }
    insta::assert_snapshot!(table, @"
    accepted               Pending   -         -         -         -         -         -         -
    claimed                Running   Running   Undoing   -         -         -         -         -
    stepStarted            -         Running   -         -         -         -         -         -
    stepSucceeded          -         Running   -         -         -         -         -         -
    stepRetried            -         Running   -         -         -         -         -         -
    stepFailed             -         Running   -         -         -         -         -         -
    cancelRequested        Pending   Running   -         -         -         -         -         -
    undoBegan              -         Undoing   -         -         -         -         -         -
    undoStarted            -         -         Undoing   -         -         -         -         -
    undoSucceeded          -         -         Undoing   -         -         -         -         -
    undoRetried            -         -         Undoing   -         -         -         -         -
    undoFailed             -         -         Stuck     -         -         -         -         -
    settled                -         -         -         -         -         -         -         Failed
    finished done          -         Done      -         -         -         -         -         -
    finished failed        Failed    Failed    Failed    -         -         -         -         -
    finished canceled      Canceled  Canceled  Canceled  -         -         -         -         -
    finished notSupported  -         NotSuppor NotSuppor -         -         -         -         -
    finished running       -         -         -         -         -         -         -         -
    ");
}

#[test]
fn events_of_an_older_claim_are_rejected() {
    let mut action = action_in(State::Running);
    action.epoch = 3;
    let before = action.clone();
    let stale = Event { at: Timestamp(9), epoch: 2, kind: EventKind::Finished { outcome: State::Done, failure: None } };
    assert!(action.apply(&stale).is_err());
    assert_eq!(action, before);
}

proptest! {
    /// Final states do not change, and illegal events leave no trace.
    #[test]
    fn final_states_are_final(choices in prop::collection::vec(0usize..18, 1..60)) {
        let events = every_event();
        let mut action = action_in(State::Pending);
        for choice in choices {
            let before = action.clone();
            let legal = action.apply(&Event { at: Timestamp(1), epoch: 1, kind: events[choice].1.clone() }).is_ok();
            if !legal {
                prop_assert_eq!(&action, &before);
            }
            if before.state.is_final() {
                prop_assert!(!legal);
            }
            prop_assert_eq!(action.events, before.events + u32::from(legal));
        }
    }

    /// Events are stored as JSON and round-trip.
    #[test]
    fn event_round_trips_through_json(choice in 0usize..18, at in any::<i64>(), epoch in any::<i64>()) {
        let event = Event { at: Timestamp(at), epoch, kind: every_event()[choice].1.clone() };
        let text = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
