//! `GET …/externalPartners/{id}/retrieveDeployAgentActionResults(activityId='…',cloudPcId='…')`
//!
//! Paging is exact while results arrive: the links carry the latest result at the time of the first
//! page, and later results are not shown.

use cloudpc_model::{ActionId, PartnerId, TenantId};
use cloudpc_store::{
    DEPLOYMENTS, Deployment, DeploymentFilter, KeyRanges, ListCondition, ListTable, ListValue, PAGE_DEPLOYMENTS,
    Reader, deployment_columns as column,
};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PAGE_ROWS, PropertySet, StoredPage, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::partner::{DEPLOYMENT_FORMAT, deployment, deployment_property};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let argument = |name: &str| call.target.arguments.get(name).filter(|text| !text.is_empty()).cloned();
    let filter = DeploymentFilter { activity: argument("activityId"), target: argument("cloudPcId") };
    let nowhere = (PartnerId(Uuid::nil()), ActionId(0));
    page(&call, Deployments { call: call.clone(), filter, partner: nowhere.0, until: nowhere.1 }).await
}

/// The deployments of a partner, in the order of their requests.
struct Deployments {
    call: Arc<Call>,
    filter: DeploymentFilter,
    partner: PartnerId,
    until: ActionId,
}

fn after(position: Option<&str>) -> Result<ActionId, Problem> {
    Ok(position.map_or(Ok(ActionId(0)), |after| after.parse().map_err(|_| invalid_skip_token()))?)
}

impl Collection for Deployments {
    type Row = Deployment;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    const SCAN_ADVICE: &'static str =
        "Specify 'activityId' or 'cloudPcId', or follow '@odata.nextLink' without $filter, $orderby, $skip and $count.";

    fn begin(&mut self, reader: &Reader<'_>, position: Option<&str>) -> Result<(), Problem> {
        self.partner = super::find(&self.call, reader)?.id;
        let until = position.map(|text| text.split_once('.').and_then(|(until, _)| until.parse().ok()));
        self.until = match until {
            Some(until) => until.ok_or_else(invalid_skip_token)?,
            None => reader.deployment_latest(self.call.tenant(), self.partner)?,
        };
        Ok(())
    }

    fn position_prefix(&self) -> String {
        format!("{}.", self.until)
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Deployment>, Problem> {
        let after = after(position)?;
        let tenant = self.call.tenant();
        Ok(reader.deployment_list(tenant, self.partner, &self.filter, after, self.until, limit)?)
    }

    fn position(&self, row: &Deployment) -> String {
        row.action_id.to_string()
    }

    fn stored_page(
        &self,
        reader: &Reader<'_>,
        position: Option<&str>,
        limit: usize,
    ) -> Result<Option<StoredPage>, Problem> {
        if self.filter != DeploymentFilter::default() || limit != PAGE_DEPLOYMENTS {
            return Ok(None);
        }
        let (tenant, after) = (self.call.tenant(), after(position)?);
        let page = reader.deployment_page(tenant, self.partner, after, self.until, DEPLOYMENT_FORMAT)?;
        Ok(page.map(|page| {
            // `until` is a result of this partner, so there are more if it was not reached.
            let more = page.last < self.until;
            StoredPage { rows: page.body, next: more.then(|| page.last.to_string()) }
        }))
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.deployment_count(self.call.tenant(), self.partner, &self.filter)?))
    }

    /// The results of one activity or Cloud PC are few, and found otherwise.
    fn source(&self) -> Option<&dyn ListSource<Deployment>> {
        if self.filter == DeploymentFilter::default() { Some(self) } else { None }
    }

    fn view<'a>(&'a self, row: &'a Deployment, _: PropertySet) -> impl Serialize + 'a {
        deployment(row)
    }
}

impl TableCollection for Deployments {
    type Stored = Deployment;

    fn table(&self) -> &'static ListTable<Deployment> {
        &DEPLOYMENTS
    }

    fn tenant(&self) -> TenantId {
        self.call.tenant()
    }

    fn scope(&self) -> ListCondition {
        let later = KeyRanges::above(ListValue::Integer(self.until.0));
        ListCondition::all([
            ListCondition::Within(column::PARTNER_ID, KeyRanges::points([ListValue::Guid(self.partner.0)])),
            ListCondition::Within(column::ACTION_ID, later.complement()),
        ])
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        deployment_property(path)
    }

    fn row(&self, _: &Reader<'_>, stored: Deployment) -> Result<Deployment, Problem> {
        Ok(stored)
    }
}
