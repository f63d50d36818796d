//! `GET /users`

use cloudpc_model::{GroupId, TenantId, UserId};
use cloudpc_store::{ListTable, Reader, USERS, User};
use serde::Serialize;
use std::sync::Arc;

use super::{Shown, sees_whole_users};
use crate::pipeline::list::{
    Collection, ListProperty, ListSource, PropertySet, TableCollection, invalid_skip_token, page,
};
use crate::pipeline::{Answer, Call, Problem};
use crate::views::directory::{basic_user_property, user_property};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    page(&call, Users::all(call.clone())).await
}

/// Users by id: all of a tenant, or the members of a group.
pub(in crate::operations) struct Users {
    pub(super) call: Arc<Call>,
    group: Option<GroupId>,
    is_typed: bool,
}

impl Users {
    pub(in crate::operations) fn all(call: Arc<Call>) -> Self {
        Self { call, group: None, is_typed: false }
    }

    /// Members are shown to everyone who may read the group.
    pub(in crate::operations) fn of_group(call: Arc<Call>, group: GroupId) -> Self {
        Self { call, group: Some(group), is_typed: false }
    }

    /// The same for the list of members, which can have objects of other types in Graph.
    pub(in crate::operations) fn members(call: Arc<Call>, group: GroupId) -> Self {
        Self { is_typed: true, ..Self::of_group(call, group) }
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

    /// The members of a group are in the order of another table.
    fn source(&self) -> Option<&dyn ListSource<Shown>> {
        if self.group.is_none() { Some(self) } else { None }
    }

    fn view<'a>(&'a self, row: &'a Shown, set: PropertySet) -> impl Serialize + 'a {
        match (self.group, self.is_typed) {
            (None, _) => row.view(&self.call, set),
            (Some(_), false) => row.whole(set),
            (Some(_), true) => row.whole_as_member(set),
        }
    }
}

impl TableCollection for Users {
    type Stored = User;

    fn table(&self) -> &'static ListTable<User> {
        &USERS
    }

    fn tenant(&self) -> TenantId {
        self.call.tenant()
    }

    /// What a row does not show to the caller must not select it.
    fn property(&self, path: &str) -> Option<ListProperty> {
        if sees_whole_users(&self.call.caller) { user_property(path) } else { basic_user_property(path) }
    }

    fn row(&self, reader: &Reader<'_>, stored: User) -> Result<Shown, Problem> {
        Shown::read(&self.call, reader, stored)
    }
}
