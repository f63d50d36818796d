//! What is let happen to simulated machines.

use bytes::Bytes;
use cloudpc_drivers::{DriverError, Mishap};
use cloudpc_graph::GraphError;
use cloudpc_model::{AuditVerb, CloudPcId, Error, ResourceType};
use serde::Deserialize;
use serde_json::json;

use super::{Call, read};
use crate::pipeline::Problem;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    cloud_pc_id: CloudPcId,
    mishap: Mishap,
}

pub async fn befall(call: Call, body: Bytes) -> Result<(), Problem> {
    let simulation = call.simulation()?;
    let Wanted { cloud_pc_id: id, mishap } = read(&body)?;
    let tenant = call.caller.tenant_id;
    if call.app.store.read(move |reader| reader.cloud_pc(tenant, id)).await.map_err(Error::from)?.is_none() {
        return Err(Problem::not_found("Cloud PC", &id.to_string()));
    }
    let name = json!(mishap);
    let entry = call.audit(AuditVerb::Inject, ResourceType::CloudPc, id);
    let entry = entry.detail("mishap", name.as_str().unwrap_or_default());
    // The row comes first: a full disk refuses it, and then nothing has been changed.
    call.write_audit(entry).await?;
    let cannot = |error: DriverError| GraphError::new(503, "ServiceUnavailable", format!("{error}."));
    Ok(simulation.driver.befall(id, mishap).map_err(cannot)?)
}
