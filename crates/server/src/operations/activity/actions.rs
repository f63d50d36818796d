//! `GET …/externalPartners/{id}/cloudpc.activities/{activity-id}/cloudpc.actions`

use cloudpc_model::{ActionId, ActivityId, PartnerId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PAGE_ROWS, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::action::{ActionRow, action};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Actions { call: call.clone(), activity: None }).await
}

/// The deployments of an activity, in the order of their requests.
struct Actions {
    call: Arc<Call>,
    activity: Option<(PartnerId, ActivityId)>,
}

impl Actions {
    fn activity(&self) -> (PartnerId, ActivityId) {
        self.activity.expect("`begin` runs before rows are read")
    }
}

impl Collection for Actions {
    type Row = ActionRow;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.activity = Some(super::find(&self.call, reader)?);
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<ActionRow>, Problem> {
        let after = position.map_or(Ok(ActionId(0)), str::parse::<ActionId>).map_err(|_| invalid_skip_token())?;
        let tenant = self.call.tenant();
        let (partner, activity) = self.activity();
        let filter = super::filter(activity);
        let deployments = reader.deployment_list(tenant, partner, &filter, after, ActionId(i64::MAX), limit)?;
        let actions = deployments.iter().filter_map(|row| reader.action(tenant, row.action_id).transpose());
        actions.map(|action| Ok(ActionRow::read(reader, action?)?)).collect()
    }

    fn position(&self, row: &ActionRow) -> String {
        row.action.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        let (partner, activity) = self.activity();
        Ok(Some(reader.deployment_count(self.call.tenant(), partner, &super::filter(activity))?))
    }

    fn view<'a>(&'a self, row: &'a ActionRow, _: PropertySet) -> impl Serialize + 'a {
        action(row)
    }
}
