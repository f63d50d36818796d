//! The users to whom a provisioning policy is assigned: the members of the assignment's group.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;
pub(super) mod mailbox_settings;
pub(super) mod service_provisioning_errors;

use cloudpc_model::GroupId;
use cloudpc_store::{Reader, User};
use std::sync::Arc;

use super::user::by_key;
use crate::documents;
use crate::pipeline::{Call, Problem};

/// The group of the assignment in the path.
fn group(call: &Call, reader: &Reader<'_>) -> Result<GroupId, Problem> {
    documents::assigned_group(call, reader, call.key(0), call.key(1))
}

/// The user in the path, who is a member of the assignment's group.
fn user(call: &Call, reader: &Reader<'_>) -> Result<User, Problem> {
    let group = group(call, reader)?;
    let name = call.target.arguments.get("userPrincipalName");
    let key = name.map_or_else(|| call.key(2), String::as_str);
    let user = by_key(reader, call.tenant(), key)?;
    match reader.group_member_since(call.tenant(), group, user.id)? {
        Some(_) => Ok(user),
        None => Err(Problem::not_found("assigned user", key)),
    }
}

async fn group_id(call: &Arc<Call>) -> Result<GroupId, Problem> {
    let request = call.clone();
    call.store().read(move |reader: &Reader<'_>| group(&request, reader)).await
}
