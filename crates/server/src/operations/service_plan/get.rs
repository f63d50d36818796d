//! `GET …/servicePlans/{id}`

use cloudpc_model::ServicePlanId;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::service_plan;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (tenant, id) = (call.tenant(), call.id::<ServicePlanId>(0, "service plan")?);
    let found = call.store().read(move |reader| Ok::<_, Problem>(reader.service_plan(tenant, id)?)).await?;
    let plan = found.ok_or_else(|| Problem::not_found("service plan", call.key(0)))?;
    Ok(call.entity(&service_plan(&plan, call.version(), call.names_late_members())))
}
