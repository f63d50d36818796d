//! Check connection: run the health checks of an on-premises connection, and store each result as
//! it comes.
//!
//! A check that finds a problem is a result, and the action goes on. An action that ends early says
//! so with a failed check. Results carry the number of their action, so that a repeated step
//! replaces its own result and nothing is left of an earlier action.

use cloudpc_drivers::{NetworkCheck, NetworkFinding, NetworkStatus};
use cloudpc_model::{Action, Document, Kind, Object, State, StepState, Timestamp};
use cloudpc_store::StoreError;
use serde_json::{Value, json};
use std::time::Duration;

use super::{DocumentEnd, Recipe, Step, StepContext, StepError, StepOutput, Subject, minutes};
use crate::partner::{agent_urls, partners_of};

const STATUS: &str = "healthCheckStatus";
const DETAIL: &str = "healthCheckStatusDetail";

/// Error type of a check that ended without a finding.
const NO_FINDING: &str = "internalServerUnknownError";

/// Timeout of an attempt at one check.
const CHECK_TIME_MAX: Duration = minutes(5);

/// Timeout of a connection to an endpoint.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::CheckConnection,
    steps: &[
        Step::new("checkNetwork", NO_FINDING, CHECK_TIME_MAX, |context| Box::pin(run(context, "checkNetwork"))),
        Step::new("checkAddresses", NO_FINDING, CHECK_TIME_MAX, |context| Box::pin(run(context, "checkAddresses"))),
        Step::new("checkNameService", NO_FINDING, CHECK_TIME_MAX, |context| Box::pin(run(context, "checkNameService"))),
        Step::new("checkEndpoints", NO_FINDING, CHECK_TIME_MAX, |context| Box::pin(run(context, "checkEndpoints"))),
        Step::new("checkDomainJoin", NO_FINDING, CHECK_TIME_MAX, |context| Box::pin(run(context, "checkDomainJoin"))),
    ],
    time_max: minutes(2 * 60),
    subject: Subject::Document {
        begin: |document, _now| {
            document.status.insert(STATUS.into(), json!("running"));
        },
        end,
    },
};

/// Returns the name that Windows 365 shows for the check of a step.
fn display_name(step: &str) -> &'static str {
    match step {
        "checkNetwork" => "Azure virtual network readiness",
        "checkAddresses" => "Azure subnet IP address usage",
        "checkNameService" => "DNS can resolve Active Directory domain",
        "checkEndpoints" => "Endpoint connectivity",
        _ => "Active Directory domain join",
    }
}

async fn run(context: &StepContext, step: &str) -> Result<StepOutput, StepError> {
    let connection = context.document()?;
    let Some(check) = check(context, connection, step).await? else {
        return Ok(StepOutput::message("Not needed: the connection is not hybrid."));
    };
    let finding = context.parts.driver.check_network(&check).await?;
    let now = context.parts.clock.now();
    let mut checks = results(connection, &context.action);
    checks.retain(|check| check["displayName"] != display_name(step));
    checks.push(result(
        &context.action,
        step,
        now,
        finding.status,
        json!({
            "errorType": finding.problem.map(|problem| problem.name()),
            "recommendedAction": Some(&finding.advice).filter(|advice| !advice.is_empty()),
            "additionalDetail": finding.detail,
        }),
    ));
    let mut status = learned(step, &finding, now);
    status.insert(DETAIL.into(), detail(&context.action, now, checks));
    let message = format!("{}: {}", finding.status.name(), finding.detail);
    Ok(StepOutput { message: Some(message), ..StepOutput::status(status) })
}

/// Returns the check of a step; none if this connection needs none.
async fn check(context: &StepContext, connection: &Document, step: &str) -> Result<Option<NetworkCheck>, StepError> {
    let text = |name: &str| connection.body.get(name).and_then(Value::as_str);
    let is_hybrid = text("connectionType") == Some("hybridAzureADJoin");
    let domain = text("adDomainName").filter(|_| is_hybrid).map(str::to_owned);
    Ok(match step {
        "checkNetwork" => Some(NetworkCheck::Network),
        "checkAddresses" => Some(NetworkCheck::Addresses),
        "checkNameService" => domain.map(NetworkCheck::NameService),
        "checkEndpoints" => {
            let (tenant, bytes_max) = (context.action.tenant_id, context.parts.settings.agent_bytes_max);
            let partners = context.parts.store.read(move |reader| partners_of(reader, tenant)).await?;
            Some(NetworkCheck::Endpoints(agent_urls(partners, bytes_max, CONNECT_TIME_MAX)))
        }
        _ => domain.map(NetworkCheck::DomainJoin),
    })
}

/// Returns what a check tells about the network itself.
fn learned(step: &str, finding: &NetworkFinding, now: Timestamp) -> Object {
    let mut status = Object::new();
    match step {
        "checkNetwork" => {
            status.insert("virtualNetworkLocation".into(), json!(finding.location));
            status.insert("subscriptionName".into(), json!(finding.subscription));
        }
        "checkAddresses" => {
            let count = finding.free_addresses.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
            let known = count.map(|count| {
                json!({"subnetAvailableIpCount": count, "subnetAvailableIpCountLastSyncDateTime": now.to_string()})
            });
            status.insert("subnetPrivateIpDetail".into(), json!(known));
        }
        _ => {}
    }
    status
}

/// Returns the results that an action has stored so far.
fn results(connection: &Document, action: &Action) -> Vec<Value> {
    let checks = connection.status.get(DETAIL).and_then(|detail| detail["healthChecks"].as_array());
    let own = |check: &&Value| check["correlationId"] == action.id.to_string();
    checks.into_iter().flatten().filter(own).cloned().collect()
}

/// Returns the result of a check; `explained` has its error type, advice and detail.
fn result(action: &Action, step: &str, now: Timestamp, status: NetworkStatus, explained: Value) -> Value {
    let started_at = action.step(step).map_or(now, |record| record.started_at);
    let mut result = json!({
        "displayName": display_name(step),
        "status": status.name(),
        "startDateTime": started_at.to_string(),
        "endDateTime": now.to_string(),
        "correlationId": action.id.to_string(),
    });
    if let (Value::Object(result), Value::Object(explained)) = (&mut result, explained) {
        result.extend(explained);
    }
    result
}

/// Returns the results of an action as the connection shows them. The end is that of the latest
/// check, since it cannot be null.
fn detail(action: &Action, now: Timestamp, checks: Vec<Value>) -> Value {
    let started_at = action.started_at.unwrap_or(action.requested_at);
    json!({"startDateTime": started_at.to_string(), "endDateTime": now.to_string(), "healthChecks": checks})
}

/// Stores the overall result. Another action that waits for its turn checks the connection as it is
/// now, so the result of this one is not the last word.
fn end(ending: &mut DocumentEnd<'_, '_>) -> Result<(), StoreError> {
    let (action, now) = (ending.action, ending.now);
    let waiting = ending.tx.action_waiting(action.tenant_id, &action.target)?;
    let Some(connection) = ending.document.as_deref_mut() else { return Ok(()) };
    let mut checks = results(connection, action);
    if ending.outcome != State::Done {
        checks.extend(unfinished(ending.failure.map(|failure| (&*failure.code, &*failure.message)), action, now));
    }
    let status = |check: &Value| check["status"].as_str().and_then(NetworkStatus::named);
    let worst = checks.iter().filter_map(status).max().unwrap_or(NetworkStatus::Failed);
    let overall = if waiting.iter().any(|other| other.id != action.id) { "pending" } else { worst.name() };
    connection.status.insert(STATUS.into(), json!(overall));
    connection.status.insert(DETAIL.into(), detail(action, now, checks));
    Ok(())
}

/// Returns the failed result of the check at which an action ended early; none if it had run all.
/// `failure` is its code and message.
fn unfinished(failure: Option<(&str, &str)>, action: &Action, now: Timestamp) -> Option<Value> {
    let state = |step: &Step| action.step(step.name).map(|record| record.state);
    let step = RECIPE.steps.iter().find(|step| state(step) != Some(StepState::Succeeded))?;
    // The code of any other end, such as a canceled action, is no error type of a check.
    let code = failure.map(|(code, _)| code).filter(|_| state(step) == Some(StepState::Failed));
    let explained = json!({
        "errorType": code.unwrap_or(NO_FINDING),
        "recommendedAction": "Run the health checks again.",
        "additionalDetail": failure.map_or("The health checks ended early.", |(_, message)| message),
    });
    Some(result(action, step.name, now, NetworkStatus::Failed, explained))
}
