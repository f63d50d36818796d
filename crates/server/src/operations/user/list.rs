//! `GET /users`

use cloudpc_model::{GroupId, UserId};
use cloudpc_store::Reader;
use serde::Serialize;
use std::sync::Arc;

use super::Shown;
use crate::pipeline::list::{Collection, PropertySet, invalid_skip_token, page};
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Users::all(call.clone())).await
}

/// Users by id: all of a tenant, or the members of a group.
pub(in crate::operations) struct Users {
    call: Arc<Call>,
    group: Option<GroupId>,
}

impl Users {
    pub(in crate::operations) fn all(call: Arc<Call>) -> Self {
        Self { call, group: None }
    }

    /// Members are shown to everyone who may read the group.
    pub(in crate::operations) fn of_group(call: Arc<Call>, group: GroupId) -> Self {
        Self { call, group: Some(group) }
    }
}

impl Collection for Users {
    type Row = Shown;

    fn rows(&self, reader: &Reader<'_>, position: Option<&str>, limit: usize) -> Result<Vec<Shown>, Problem> {
        let after = position.map(str::parse::<UserId>).transpose().map_err(|_| invalid_skip_token())?;
        let tenant = self.call.tenant();
        let users = match self.group {
            None => reader.user_list(tenant, after, limit)?,
            Some(group) => reader.group_member_list(tenant, group, after, limit)?,
        };
        users.into_iter().map(|user| Shown::read(&self.call, reader, user)).collect()
    }

    fn position(&self, row: &Shown) -> String {
        row.user.id.to_string()
    }

    fn count(&self, reader: &Reader<'_>) -> Result<Option<u64>, Problem> {
        let tenant = self.call.tenant();
        Ok(Some(match self.group {
            None => reader.user_count(tenant)?,
            Some(group) => reader.group_member_count(tenant, group)?,
        }))
    }

    fn view<'a>(&'a self, row: &'a Shown, set: PropertySet) -> impl Serialize + 'a {
        if self.group.is_some() { row.whole(set) } else { row.view(&self.call, set) }
    }
}
