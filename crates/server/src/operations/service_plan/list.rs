//! `GET …/servicePlans`

use cloudpc_model::{ServicePlan, ServicePlanId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::catalog::service_plan;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, ServicePlans(call.clone())).await
}

/// The service plans of a tenant, by id.
pub(super) struct ServicePlans(pub(super) Arc<Call>);

impl Collection for ServicePlans {
    type Row = ServicePlan;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<ServicePlan>, Problem> {
        let after = position.map(str::parse::<ServicePlanId>).transpose().map_err(|_| invalid_skip_token())?;
        let mut plans = reader.service_plan_list(self.0.tenant())?;
        plans.retain(|plan| after.is_none_or(|after| plan.id > after));
        plans.truncate(limit);
        Ok(plans)
    }

    fn position(&self, row: &ServicePlan) -> String {
        row.id.to_string()
    }

    fn view<'a>(&'a self, row: &'a ServicePlan, set: PropertySet) -> impl Serialize + 'a {
        service_plan(row, self.0.version(), set == PropertySet::Stored || self.0.names_late_members())
    }
}
