//! Health checks of on-premises connections.

use cloudpc_engine::{Effect, FaultRule};
use cloudpc_model::{Document, Kind, Params, State};
use serde_json::{Value, json};
use std::time::Duration;

use crate::world::{TestEngine, connection, rule, tenant};

async fn with(connection: &Document) -> TestEngine {
    let mut world = TestEngine::new(1).await;
    world.add_document(connection).await;
    world.start();
    world
}

async fn status(world: &TestEngine, connection: &Document) -> (Value, Vec<(Value, Value)>) {
    let status = world.find_document(&connection.key).await.unwrap().status;
    let checks = status.get("healthCheckStatusDetail").and_then(|detail| detail["healthChecks"].as_array());
    let checks = checks.into_iter().flatten().map(|check| (check["displayName"].clone(), check["status"].clone()));
    (status.get("healthCheckStatus").cloned().unwrap_or_default(), checks.collect())
}

#[tokio::test]
async fn results_are_stored_as_they_come() {
    let connection = connection(1, "azureADJoin");
    let mut world = with(&connection).await;
    let action = world.accept_on_document(&connection, Params::CheckConnection).await;
    world.until(action, |action| action.step("checkEndpoints").is_some()).await;
    let (now, checks) = status(&world, &connection).await;
    assert_eq!((now, checks.len()), (json!("running"), 2));
    world.end(action).await;
    let (after, checks) = status(&world, &connection).await;
    let names: Vec<_> = checks.iter().map(|(name, _)| name.as_str().unwrap()).collect();
    assert_eq!(
        (after, names),
        (
            json!("passed"),
            vec!["Azure virtual network readiness", "Azure subnet IP address usage", "Endpoint connectivity"]
        ),
        "a connection that is not hybrid has no domain"
    );
    let stored = world.find_document(&connection.key).await.unwrap().status;
    assert_eq!(stored["subnetPrivateIpDetail"]["subnetAvailableIpCount"], 65_531);
    assert_eq!(
        (&stored["virtualNetworkLocation"], &stored["subscriptionName"]),
        (&json!("westus3"), &json!("Simulated subscription"))
    );
}

#[tokio::test]
async fn a_problem_is_a_result_and_the_worst_result_counts() {
    let mut connection = connection(1, "hybridAzureADJoin");
    connection.body["adDomainName"] = json!("corp.invalid");
    let mut world = with(&connection).await;
    let action = world.accept_on_document(&connection, Params::CheckConnection).await;
    assert_eq!(world.end(action).await.state, State::Done);
    let (after, checks) = status(&world, &connection).await;
    let statuses: Vec<_> = checks.iter().map(|(_, status)| status.as_str().unwrap()).collect();
    assert_eq!((after, statuses), (json!("failed"), vec!["passed", "passed", "failed", "passed", "failed"]));
    assert_eq!(world.audit().await.len(), 1, "only an action that ends badly has a second row");
}

#[tokio::test]
async fn a_scripted_failure_names_the_error_type() {
    let connection = connection(1, "hybridAzureADJoin");
    let mut world = with(&connection).await;
    let effect = Effect::Fail { code: "adJoinCheckAccessDenied".into(), message: "The domain said no.".into() };
    let step = Some("checkDomainJoin".to_owned());
    world.faults.add(FaultRule { kind: Some(Kind::CheckConnection), step, ..rule(effect) });
    let action = world.accept_on_document(&connection, Params::CheckConnection).await;
    assert_eq!(world.end(action).await.state, State::Failed);
    let stored = world.find_document(&connection.key).await.unwrap().status;
    let last = &stored["healthCheckStatusDetail"]["healthChecks"][4];
    assert_eq!(last["errorType"], "adJoinCheckAccessDenied");
    assert_eq!(
        (&last["additionalDetail"], &stored["healthCheckStatus"]),
        (&json!("The domain said no."), &json!("failed"))
    );
}

#[tokio::test]
async fn a_check_with_another_behind_it_leaves_the_connection_pending() {
    let connection = connection(1, "azureADJoin");
    let mut world = with(&connection).await;
    let first = world.accept_on_document(&connection, Params::CheckConnection).await;
    let second = world.accept_on_document(&connection, Params::CheckConnection).await;
    world.end(first).await;
    assert_ne!(status(&world, &connection).await.0, json!("passed"), "the first result is not the last word");
    world.end(second).await;
    assert_eq!(status(&world, &connection).await.0, json!("passed"));
}

#[tokio::test]
async fn deleting_a_connection_cancels_its_check() {
    let connection = connection(1, "azureADJoin");
    let mut world = with(&connection).await;
    let action = world.accept_on_document(&connection, Params::CheckConnection).await;
    world.until(action, |action| action.step("checkNetwork").is_some()).await;
    let key = connection.key.clone();
    world.change(move |tx| tx.document_delete(tenant(), &key, &[])).await.unwrap();
    let ended = world.end(action).await;
    assert_eq!((ended.state, &*ended.failure().unwrap().message), (State::Canceled, "The entity was deleted."));
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.find_document(&connection.key).await, None);
}
