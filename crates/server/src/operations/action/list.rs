//! `GET …/cloudPCs/{id}/cloudpc.actions`

use cloudpc_model::ActionId;
use cloudpc_store::{ActionFilter, Reader};
use serde::Serialize;
use std::sync::Arc;

use crate::operations::cloud_pc;
use crate::pipeline::list::{Collection, PAGE_ROWS, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::action::{ActionRow, action};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Actions { call: call.clone(), target: String::new() }).await
}

/// All actions on a Cloud PC, newest first.
struct Actions {
    call: Arc<Call>,
    target: String,
}

impl Collection for Actions {
    type Row = ActionRow;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        self.target = cloud_pc::find(&self.call, reader)?.id.to_string();
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<ActionRow>, Problem> {
        let before = position.map(str::parse::<ActionId>).transpose().map_err(|_| invalid_skip_token())?;
        let tenant = self.call.tenant();
        let actions = reader.action_list(tenant, &self.target, ActionFilter::All, before, limit)?;
        // The list omits steps, so each action is read again.
        let whole = actions.iter().filter_map(|action| reader.action(tenant, action.id).transpose());
        whole.map(|action| Ok(ActionRow::read(reader, action?)?)).collect()
    }

    fn position(&self, row: &ActionRow) -> String {
        row.action.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.action_count(self.call.tenant(), &self.target, ActionFilter::All)?))
    }

    fn view<'a>(&'a self, row: &'a ActionRow, _: PropertySet) -> impl Serialize + 'a {
        action(row)
    }
}
