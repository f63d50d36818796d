//! `GET /groups`

use cloudpc_model::{GroupId, TenantId};
use cloudpc_store::{GROUPS, Group, ListTable, Reader};
use serde::Serialize;
use std::sync::Arc;

use super::Shown;
use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PropertySet, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::directory::group_property;

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

    fn source(&self) -> Option<&dyn ListSource<Shown>> {
        Some(self)
    }

    fn view<'a>(&'a self, row: &'a Shown, set: PropertySet) -> impl Serialize + 'a {
        row.view(set)
    }
}

impl TableCollection for Groups {
    type Stored = Group;

    fn table(&self) -> &'static ListTable<Group> {
        &GROUPS
    }

    fn tenant(&self) -> TenantId {
        self.0.tenant()
    }

    fn property(&self, path: &str) -> Option<ListProperty> {
        group_property(path)
    }

    fn row(&self, reader: &Reader<'_>, stored: Group) -> Result<Shown, Problem> {
        Shown::read(&self.0, reader, stored)
    }
}
