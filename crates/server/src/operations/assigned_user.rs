//! The users to whom a provisioning policy is assigned: the members of the assignment's group.

pub(super) mod count;
pub(super) mod get;
pub(super) mod list;

use cloudpc_model::GroupId;
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::documents;
use crate::pipeline::{Call, Problem};

/// The group of the assignment in the path.
fn group(call: &Call, reader: &Reader<'_>) -> Result<GroupId, Problem> {
    documents::assigned_group(call, reader, call.key(0), call.key(1))
}

async fn group_id(call: &Arc<Call>) -> Result<GroupId, Problem> {
    let request = call.clone();
    call.store().read(move |reader: &Reader<'_>| group(&request, reader)).await
}
