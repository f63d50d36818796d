//! What is let happen to simulated machines.

use bytes::Bytes;
use cloudpc_drivers::{DriverError, Mishap};
use cloudpc_graph::GraphError;
use cloudpc_model::{CloudPcId, Error};
use serde::Deserialize;

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
    let cannot = |error: DriverError| GraphError::new(503, "ServiceUnavailable", format!("{error}."));
    simulation.driver.befall(id, mishap).map_err(cannot)?;
    Ok(call.write_audit("Let mishap befall CloudPC", "CloudPC", id.to_string()).await?)
}
