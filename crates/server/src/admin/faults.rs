//! Scripted faults of a simulated fleet. The owner of the installation scripts those of all
//! tenants, everyone else those of their own.

use bytes::Bytes;
use cloudpc_engine::{Effect, FaultRule};
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, ResourceType};
use serde_json::{Value, json};

use super::{Call, Reply, forbidden, read};
use crate::pipeline::Problem;
use crate::scenario;

pub async fn list(call: Call, _body: Bytes) -> Result<Value, Problem> {
    let rows: Vec<_> =
        visible(&call)?.iter().map(|(number, rule, matches)| describe(*number, rule, *matches)).collect();
    Ok(json!({ "value": rows }))
}

pub async fn add(call: Call, body: Bytes) -> Result<Reply, Problem> {
    let simulation = call.simulation()?;
    let mut rule: FaultRule = read(&body)?;
    if let Some(problem) = scenario::problem(&rule) {
        return Err(GraphError::bad_request(format!("The rule would never match: {problem}.")).into());
    }
    if !call.caller.is_owner {
        confine(&call, &mut rule)?;
    }
    let number = simulation.faults.add(rule.clone());
    call.write_audit(call.audit(AuditVerb::Create, ResourceType::Fault, number)).await?;
    Ok(Reply::Created(describe(number, &rule, 0)))
}

pub async fn remove(call: Call, number: String) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    let wanted = number
        .parse::<u64>()
        .ok()
        .filter(|wanted| visible(&call).is_ok_and(|rules| rules.iter().any(|(number, ..)| number == wanted)));
    if !wanted.is_some_and(|number| simulation.faults.remove(number)) {
        return Err(Problem::not_found("fault", &number));
    }
    Ok(call.write_audit(call.audit(AuditVerb::Delete, ResourceType::Fault, number)).await?)
}

pub async fn clear(call: Call, _body: Bytes) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    for (number, ..) in visible(&call)? {
        simulation.faults.remove(number);
    }
    Ok(call.write_audit(call.audit(AuditVerb::Clear, ResourceType::Fault, "")).await?)
}

/// Returns the rules that the caller may see and remove.
fn visible(call: &Call) -> Result<Vec<(u64, FaultRule, u32)>, Problem> {
    let mut rules = call.simulation()?.faults.list();
    rules.retain(|(_, rule, _)| call.caller.is_owner || rule.tenant_id == Some(call.caller.tenant_id));
    Ok(rules)
}

/// Keeps a rule within the caller's tenant.
fn confine(call: &Call, rule: &mut FaultRule) -> Result<(), GraphError> {
    if rule.effect == Effect::Crash {
        return Err(forbidden("Only the owner of the installation may crash the service, which all tenants share."));
    }
    match rule.tenant_id.replace(call.caller.tenant_id) {
        Some(other) if other != call.caller.tenant_id => {
            Err(forbidden(format!("Only the owner of the installation scripts faults of another tenant ({other}).")))
        }
        _ => Ok(()),
    }
}

fn describe(number: u64, rule: &FaultRule, matches: u32) -> Value {
    json!({ "number": number, "rule": rule, "matches": matches })
}
