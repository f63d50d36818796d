//! `GET …/cloudPCs/{id}/retrieveCloudPCRemoteActionResults`

use cloudpc_model::{Action, ActionId, CloudPc};
use cloudpc_store::{ActionFilter, Reader};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{Collection, PAGE_ROWS, PropertySet, bad_token, page};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::remote_action::result;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, RemoteActions::new(&call, super::find)).await
}

/// How the path names a Cloud PC.
type Find = fn(&Call, &Reader<'_>) -> Result<CloudPc, Problem>;

/// The remote actions on one Cloud PC, newest first.
pub(in crate::operations) struct RemoteActions {
    call: Arc<Call>,
    find: Find,
    of: Option<(CloudPc, String)>,
}

impl RemoteActions {
    pub(in crate::operations) fn new(call: &Arc<Call>, find: Find) -> Self {
        Self { call: call.clone(), find, of: None }
    }

    fn of(&self) -> &(CloudPc, String) {
        self.of.as_ref().expect("a list begins before its rows are read")
    }
}

impl Collection for RemoteActions {
    type Row = Action;

    const PAGE_ROWS_MAX: usize = PAGE_ROWS;

    fn begin(&mut self, reader: &Reader<'_>, _: Option<&str>) -> Result<(), Problem> {
        let cloud_pc = (self.find)(&self.call, reader)?;
        let target = cloud_pc.id.to_string();
        self.of = Some((cloud_pc, target));
        Ok(())
    }

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Action>, Problem> {
        let before = position.map(str::parse::<ActionId>).transpose().map_err(|_| bad_token())?;
        Ok(reader.action_list(self.call.tenant(), &self.of().1, ActionFilter::Remote, before, limit)?)
    }

    fn position(&self, row: &Action) -> String {
        row.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.action_count(self.call.tenant(), &self.of().1, ActionFilter::Remote)?))
    }

    fn view<'a>(&'a self, row: &'a Action, _: PropertySet) -> impl Serialize + 'a {
        result(row, &self.of().0)
    }
}
