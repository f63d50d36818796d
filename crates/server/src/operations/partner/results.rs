//! `GET …/externalPartners/{id}/retrieveDeployAgentActionResults(activityId='…',cloudPcId='…')`
//!
//! Paging is exact while results arrive: the links carry the latest result at the time of the first
//! page, and later results are not shown.

use cloudpc_model::{ActionId, PartnerId};
use cloudpc_store::{Deployment, DeploymentFilter, PAGE_DEPLOYMENTS, Reader};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

use crate::pipeline::list::{Collection, PAGE_ROWS, PropertySet, StoredPage, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::partner::{DEPLOYMENT_FORMAT, deployment};

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

impl Deployments {
    fn position_of(&self, last: ActionId) -> String {
        format!("{last}.{}", self.until)
    }
}

fn after(position: Option<&str>) -> Result<ActionId, Problem> {
    position.map_or(Ok(ActionId(0)), |position| parse(position).map(|(after, _)| after))
}

/// Parses a position `after.until`.
fn parse(position: &str) -> Result<(ActionId, ActionId), Problem> {
    let numbers = position.split_once('.').and_then(|(after, until)| Some((after.parse().ok()?, until.parse().ok()?)));
    Ok(numbers.ok_or_else(invalid_skip_token)?)
}

impl Collection for Deployments {
    type Row = Deployment;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    const SCAN_ADVICE: &'static str =
        "Specify 'activityId' or 'cloudPcId', or follow '@odata.nextLink' without $filter, $orderby, $skip and $count.";

    fn begin(&mut self, reader: &Reader<'_>, position: Option<&str>) -> Result<(), Problem> {
        self.partner = super::find(&self.call, reader)?.id;
        self.until = match position {
            Some(position) => parse(position)?.1,
            None => reader.deployment_latest(self.call.tenant(), self.partner)?,
        };
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Deployment>, Problem> {
        let after = after(position)?;
        let tenant = self.call.tenant();
        Ok(reader.deployment_list(tenant, self.partner, &self.filter, after, self.until, limit)?)
    }

    fn position(&self, row: &Deployment) -> String {
        self.position_of(row.action_id)
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
            StoredPage { rows: page.body, next: more.then(|| self.position_of(page.last)) }
        }))
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.deployment_count(self.call.tenant(), self.partner, &self.filter)?))
    }

    fn view<'a>(&'a self, row: &'a Deployment, _: PropertySet) -> impl Serialize + 'a {
        deployment(row)
    }
}
