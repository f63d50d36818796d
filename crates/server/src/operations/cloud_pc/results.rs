//! `GET …/cloudPCs/{id}/retrieveCloudPCRemoteActionResults`

use cloudpc_model::{Action, ActionId, CloudPc};
use cloudpc_store::{ActionFilter, Reader};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PAGE_ROWS, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::remote_action::result;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, RemoteActions::new(&call, super::find)).await
}

/// Finds the Cloud PC in the path, by its own id or its managed device's.
type Find = fn(&Call, &Reader<'_>) -> Result<CloudPc, Problem>;

/// The remote actions on a Cloud PC, newest first.
pub(in crate::operations) struct RemoteActions {
    call: Arc<Call>,
    find: Find,
    target: Option<(CloudPc, String)>,
}

impl RemoteActions {
    pub(in crate::operations) fn new(call: &Arc<Call>, find: Find) -> Self {
        Self { call: call.clone(), find, target: None }
    }

    fn target(&self) -> &(CloudPc, String) {
        self.target.as_ref().expect("`begin` runs before rows are read")
    }
}

impl Collection for RemoteActions {
    type Row = Action;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        let cloud_pc = (self.find)(&self.call, reader)?;
        let id = cloud_pc.id.to_string();
        self.target = Some((cloud_pc, id));
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Action>, Problem> {
        let before = position.map(str::parse::<ActionId>).transpose().map_err(|_| invalid_skip_token())?;
        Ok(reader.action_list(self.call.tenant(), &self.target().1, ActionFilter::Remote, before, limit)?)
    }

    fn position(&self, row: &Action) -> String {
        row.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.action_count(self.call.tenant(), &self.target().1, ActionFilter::Remote)?))
    }

    fn view<'a>(&'a self, row: &'a Action, _: PropertySet) -> impl Serialize + 'a {
        result(row, &self.target().0)
    }
}
