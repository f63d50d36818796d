//! `GET …/cloudPCs/{id}/retrieveFrontlineCloudPcDetail`

use cloudpc_model::{CloudPc, Product};
use cloudpc_store::{Reader, StoreError};
use serde_json::json;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let cloud_pc = super::find(&request, reader)?;
        Ok::<_, Problem>(frontline_availability(reader, &cloud_pc)?)
    };
    let availability = call.store().read(read).await?;
    Ok(call.entity(&json!({ "frontlineCloudPcAvailability": availability })))
}

/// Returns whether a Frontline Cloud PC has a licence or could take one now.
pub(super) fn frontline_availability(reader: &Reader<'_>, cloud_pc: &CloudPc) -> Result<&'static str, StoreError> {
    let (tenant, id, plan) = (cloud_pc.tenant_id, cloud_pc.id, cloud_pc.service_plan_id);
    if cloud_pc.product != Product::Frontline {
        return Ok("notApplicable");
    }
    let is_available =
        reader.frontline_activation(tenant, id)?.is_some() || cloudpc_engine::has_free_license(reader, tenant, plan)?;
    Ok(if is_available { "available" } else { "notAvailable" })
}
