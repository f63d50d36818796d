//! Incidents injected into simulated machines: crashes, panics and guest shutdowns.

use bytes::Bytes;
use cloudpc_drivers::{DriverError, Incident};
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, CloudPcId, Error, ResourceType};
use serde::Deserialize;
use serde_json::json;

use super::{AdminCall, read};
use crate::pipeline::Problem;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IncidentRequest {
    cloud_pc_id: CloudPcId,
    incident: Incident,
}

pub async fn inject(call: AdminCall, body: Bytes) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    let IncidentRequest { cloud_pc_id: id, incident } = read(&body)?;
    let tenant = call.caller.tenant_id;
    if call.app.store.read(move |reader| reader.cloud_pc(tenant, id)).await.map_err(Error::from)?.is_none() {
        return Err(Problem::not_found("Cloud PC", &id.to_string()));
    }
    let name = json!(incident);
    let entry = call.audit(AuditVerb::Inject, ResourceType::CloudPc, id);
    let entry = entry.detail("incident", name.as_str().unwrap_or_default());
    // The row is written first: if the disk is full, the write fails and nothing changes.
    call.write_audit(entry).await?;
    let unavailable = |error: DriverError| GraphError::new(503, "ServiceUnavailable", format!("{error}."));
    Ok(simulation.driver.inject(id, incident).map_err(unavailable)?)
}
