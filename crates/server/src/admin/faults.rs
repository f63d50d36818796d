//! Scripted trouble of a simulated fleet.

use bytes::Bytes;
use cloudpc_engine::FaultRule;
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, ResourceType};
use serde_json::{Value, json};

use super::{Call, Reply, read};
use crate::pipeline::Problem;
use crate::scenario;

pub async fn list(call: Call, _body: Bytes) -> Result<Value, Problem> {
    let rules = call.simulation()?.faults.list();
    let rows: Vec<_> = rules.iter().map(|(number, rule, matches)| describe(*number, rule, *matches)).collect();
    Ok(json!({ "value": rows }))
}

pub async fn add(call: Call, body: Bytes) -> Result<Reply, Problem> {
    let simulation = call.simulation()?;
    let rule: FaultRule = read(&body)?;
    if let Some(problem) = scenario::problem(&rule) {
        return Err(GraphError::bad_request(format!("The rule would never match: {problem}.")).into());
    }
    let number = simulation.faults.add(rule.clone());
    call.write_audit(call.audit(AuditVerb::Create, ResourceType::Fault, number)).await?;
    Ok(Reply::Created(describe(number, &rule, 0)))
}

pub async fn remove(call: Call, number: String) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    if !number.parse().is_ok_and(|number| simulation.faults.remove(number)) {
        return Err(Problem::not_found("fault", &number));
    }
    Ok(call.write_audit(call.audit(AuditVerb::Delete, ResourceType::Fault, number)).await?)
}

pub async fn clear(call: Call, _body: Bytes) -> Result<(), Problem> {
    call.simulation()?.faults.clear();
    Ok(call.write_audit(call.audit(AuditVerb::Clear, ResourceType::Fault, "")).await?)
}

fn describe(number: u64, rule: &FaultRule, matches: u32) -> Value {
    json!({ "number": number, "rule": rule, "matches": matches })
}
