//! Scripted faults of a simulated fleet. The owner of the installation manages the faults of all
//! tenants, other callers those of their own tenant.
//!
//! Each call writes its audit row before it acts: if the disk is full, the write fails and nothing
//! changes.

use bytes::Bytes;
use cloudpc_engine::{Effect, FaultRule};
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, ResourceType};
use serde_json::{Value, json};

use super::{AdminCall, AdminReply, forbidden, read};
use crate::pipeline::Problem;

/// Limit of rules for each tenant. The owner's rules for all tenants have the same limit of their
/// own.
pub const RULES_MAX: usize = 1_000;
/// Limit of Cloud PCs in a rule.
pub const CLOUD_PCS_MAX: usize = 1_000;
/// Length limit of a failure's code, in characters.
pub const CODE_CHARS_MAX: usize = 100;
/// Length limit of a failure's message, in characters.
pub const MESSAGE_CHARS_MAX: usize = 1_000;

pub async fn list(call: AdminCall, _body: Bytes) -> Result<Value, Problem> {
    let rows: Vec<_> =
        visible(&call)?.iter().map(|(number, rule, matches)| describe(*number, rule, *matches)).collect();
    Ok(json!({ "value": rows }))
}

pub async fn add(call: AdminCall, body: Bytes) -> Result<AdminReply, Problem> {
    let simulation = call.simulation()?;
    let mut rule: FaultRule = read(&body)?;
    check_size(&rule)?;
    if let Some(problem) = cloudpc_scenario::fault_rule_problem(&rule) {
        return Err(GraphError::bad_request(format!("The rule would never match: {problem}.")).into());
    }
    if !call.caller.is_owner {
        confine(&call, &mut rule)?;
    }
    let number = simulation.faults.propose(rule.clone(), RULES_MAX).ok_or_else(|| {
        GraphError::bad_request(format!(
            "There are {RULES_MAX} faults, which is the maximum. Remove some of them first."
        ))
    })?;
    if let Err(error) = call.write_audit(call.audit(AuditVerb::Create, ResourceType::Fault, number)).await {
        simulation.faults.remove(number);
        return Err(error.into());
    }
    simulation.faults.put_in_force(number);
    Ok(AdminReply::Created(describe(number, &rule, 0)))
}

pub async fn remove(call: AdminCall, number: String) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    let rules = visible(&call)?;
    let found = number.parse::<u64>().ok().filter(|wanted| rules.iter().any(|(number, ..)| number == wanted));
    let found = found.ok_or_else(|| Problem::not_found("fault", &number))?;
    call.write_audit(call.audit(AuditVerb::Delete, ResourceType::Fault, number)).await?;
    simulation.faults.remove(found);
    Ok(())
}

pub async fn clear(call: AdminCall, _body: Bytes) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    call.write_audit(call.audit(AuditVerb::Clear, ResourceType::Fault, "")).await?;
    for (number, ..) in visible(&call)? {
        simulation.faults.remove(number);
    }
    Ok(())
}

/// Refuses a rule that exceeds the size limits: rules are kept in memory and shown in results.
fn check_size(rule: &FaultRule) -> Result<(), GraphError> {
    let within = |what: &str, count: usize, max: usize| match count <= max {
        true => Ok(()),
        false => Err(GraphError::bad_request(format!("The rule has {count} {what}. The maximum is {max}."))),
    };
    within("Cloud PCs", rule.cloud_pcs.len(), CLOUD_PCS_MAX)?;
    if let Effect::Fail { code, message } = &rule.effect {
        within("characters in its code", code.chars().count(), CODE_CHARS_MAX)?;
        within("characters in its message", message.chars().count(), MESSAGE_CHARS_MAX)?;
    }
    Ok(())
}

/// Returns the rules that the caller can see and remove.
fn visible(call: &AdminCall) -> Result<Vec<(u64, FaultRule, u32)>, Problem> {
    let mut rules = call.simulation()?.faults.list();
    rules.retain(|(_, rule, _)| call.caller.is_owner || rule.tenant_id == Some(call.caller.tenant_id));
    Ok(rules)
}

/// Limits a rule to the caller's tenant.
fn confine(call: &AdminCall, rule: &mut FaultRule) -> Result<(), GraphError> {
    if rule.effect == Effect::Crash {
        return Err(forbidden(
            "Only the owner of the installation can crash the service, because all tenants share it.",
        ));
    }
    match rule.tenant_id.replace(call.caller.tenant_id) {
        Some(other) if other != call.caller.tenant_id => {
            Err(forbidden(format!("Only the owner of the installation can add faults for another tenant ({other}).")))
        }
        _ => Ok(()),
    }
}

fn describe(number: u64, rule: &FaultRule, matches: u32) -> Value {
    json!({ "number": number, "rule": rule, "matches": matches })
}
