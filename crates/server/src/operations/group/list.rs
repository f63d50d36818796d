//! `GET /groups`

use cloudpc_model::GroupId;
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use super::Shown;
use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Groups(call.clone())).await
}

/// The groups of a tenant, by id.
pub(super) struct Groups(pub(super) Arc<Call>);

impl Collection for Groups {
    type Row = Shown;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Shown>, Problem> {
        let after = position.map(str::parse::<GroupId>).transpose().map_err(|_| invalid_skip_token())?;
        let groups = reader.group_list(self.0.tenant(), after, limit)?;
        groups.into_iter().map(|group| Shown::read(&self.0, reader, group)).collect()
    }

    fn position(&self, row: &Shown) -> String {
        row.group.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        Ok(Some(reader.group_count(self.0.tenant())?))
    }

    fn view<'a>(&'a self, row: &'a Shown, set: PropertySet) -> impl Serialize + 'a {
        row.view(set)
    }
}
