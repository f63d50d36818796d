//! Cancellation beyond the matrix: pending actions, activities, and actions that can no longer be
//! canceled.

use cloudpc_drivers::Driver;
use cloudpc_drivers::sim::ScriptedCondition;
use cloudpc_engine::{Effect, FaultRule};
use cloudpc_model::{ActionId, ActivityId, Error, ErrorKind, EventKind, Params, Power, State};
use uuid::Uuid;

use crate::world::{TestEngine, asked, rule};

fn kind_and_code(error: Error) -> (ErrorKind, &'static str) {
    (error.kind, error.code)
}

const TOO_LATE: Result<(), (ErrorKind, &str)> = Err((ErrorKind::Conflict, "tooLateToCancel"));

#[tokio::test]
async fn pending_action_is_canceled_at_once_and_only_once() {
    let (mut world, id) = TestEngine::started(1).await;
    let deployment = world.deploy(&id.to_string()).await;
    let off = world.engine.request(&asked(), id, Params::PowerOff).await.unwrap();
    world.rest().await;
    world.engine.cancel(&asked(), off).await.unwrap();
    let canceled = world.action(off).await;
    assert_eq!(canceled.state, State::Canceled);
    insta::assert_snapshot!(canceled.failure().unwrap().message, @"ada@contoso.test canceled the action before it started.");
    assert_eq!(world.engine.cancel(&asked(), off).await.map_err(kind_and_code), TOO_LATE);
    world.check_log(off).await;
    let audit = world.audit().await;
    assert_eq!(
        audit[1..],
        ["PowerOff CloudPC", "CancelAction CloudPC", "PowerOff CloudPC: ClientError"].map(str::to_owned),
        "acceptance, then the result"
    );
    // The machine accepts another remote action while the deployment continues.
    let reboot = world.engine.request(&asked(), id, Params::Reboot).await.unwrap();
    assert_eq!(world.end(deployment).await.state, State::Done);
    assert_eq!(world.end(reboot).await.state, State::Done);
    assert_eq!(world.engine.cancel(&asked(), reboot).await.map_err(kind_and_code), TOO_LATE);
    let unknown = world.engine.cancel(&asked(), ActionId(404)).await.map_err(kind_and_code);
    assert_eq!(unknown, Err((ErrorKind::NotFound, "ResourceNotFound")));
}

#[tokio::test]
async fn repeated_cancel_request_has_no_effect() {
    let (mut world, id) = TestEngine::started(1).await;
    let off = world.engine.request(&asked(), id, Params::PowerOff).await.unwrap();
    world.until(off, |action| action.step("stop").is_some()).await;
    world.engine.cancel(&asked(), off).await.unwrap();
    world.engine.cancel(&asked(), off).await.unwrap();
    let requests = |events: Vec<cloudpc_model::Event>| {
        events.iter().filter(|event| matches!(event.kind, EventKind::CancelRequested { .. })).count()
    };
    assert_eq!(requests(world.events(off).await), 1);
    world.faults.add(FaultRule { undo: true, ..rule(Effect::SlowDown { by_ms: 10 }) });
    world.until(off, |action| action.state == State::Undoing).await;
    let late = world.engine.cancel(&asked(), off).await.unwrap_err();
    assert_eq!(late.message, format!("Action {off} is already being undone. The action was canceled on request."));
    assert_eq!(kind_and_code(late), (ErrorKind::Conflict, "tooLateToCancel"));
    assert_eq!(world.end(off).await.state, State::Canceled);
    assert_eq!(world.driver.observe(id).await.unwrap().power, Power::Running);
    assert_eq!(world.cloud_pc(id).await.power_observed, Power::Running);
}

#[tokio::test]
async fn canceling_an_activity_cancels_its_open_deployments() {
    let mut world = TestEngine::new(1).await;
    let mut targets = Vec::new();
    for number in 1..=5 {
        targets.push(world.add(number, ScriptedCondition::default()).await.to_string());
    }
    targets.push("unknown".into());
    world.start();
    let activity = world.engine.deploy(&asked(), world.partner, targets).await.unwrap().activity_id;
    // The last deployment ends at once: its Cloud PC does not exist.
    world.rest().await;
    assert_eq!(world.engine.cancel_activity(&asked(), activity).await.unwrap(), 5);
    world.idle().await;
    let again = world.engine.cancel_activity(&asked(), activity).await.map(drop).map_err(kind_and_code);
    assert_eq!(again, TOO_LATE);
    let unknown = world.engine.cancel_activity(&asked(), ActivityId(Uuid::nil())).await.map_err(kind_and_code);
    assert_eq!(unknown, Err((ErrorKind::NotFound, "ResourceNotFound")));
    for number in 1..=5 {
        assert_eq!(world.action(ActionId(number)).await.state, State::Canceled);
    }
}
