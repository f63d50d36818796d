//! A simulated fleet as a whole: reset it, load a scenario, save it as a scenario.

use bytes::Bytes;
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, ResourceType};
use serde_json::{Value, json};

use super::{AdminCall, AdminReply};
use crate::pipeline::Problem;
use crate::scenario;

pub async fn reset(call: AdminCall, _body: Bytes) -> Result<(), Problem> {
    call.simulation()?;
    scenario::clear(&call.app).await?;
    call.app.identity.forget_verified();
    Ok(call.write_audit(call.audit(AuditVerb::Reset, ResourceType::Fleet, "")).await?)
}

pub async fn load(call: AdminCall, body: Bytes) -> Result<Value, Problem> {
    call.simulation()?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| GraphError::bad_request("The scenario is not UTF-8 text. Expected a TOML file in UTF-8."))?;
    let prepared = scenario::prepare(&call.app, Some(call.caller.tenant_id), text).await?;
    let passwords = prepared.passwords.clone();
    let tenants = scenario::load(&call.app, prepared).await?;
    call.app.identity.forget_verified();
    call.write_audit(call.audit(AuditVerb::Load, ResourceType::Scenario, "")).await?;
    Ok(json!({ "tenantIds": tenants, "generatedPasswords": passwords }))
}

pub async fn save(call: AdminCall, _body: Bytes) -> Result<AdminReply, Problem> {
    call.simulation()?;
    let text = scenario::save(&call.app).await?;
    // Audited although it only reads: the text holds the password hashes of all users.
    call.write_audit(call.audit(AuditVerb::Save, ResourceType::Scenario, "")).await?;
    Ok(AdminReply::Toml(text))
}
