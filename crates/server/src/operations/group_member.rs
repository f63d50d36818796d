//! Operations on the members of groups, who are users.

pub(super) mod count;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;

use cloudpc_model::GroupId;
use cloudpc_store::Reader;
use std::sync::Arc;

use super::group;
use crate::pipeline::{Call, Problem};

/// Most members of a group.
pub const GROUP_MEMBERS_MAX: u64 = 50_000;

/// Returns the id of the group in the path.
async fn group_id(call: &Arc<Call>) -> Result<GroupId, Problem> {
    let request = call.clone();
    call.store().read(move |reader: &Reader<'_>| Ok::<_, Problem>(group::find(&request, reader)?.id)).await
}
