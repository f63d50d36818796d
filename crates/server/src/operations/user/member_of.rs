//! `GET /users/{id}/memberOf`

use cloudpc_store::Reader;
use std::sync::Arc;

use super::find_readable;
use crate::operations::group::Shown;
use crate::pipeline::{Answer, Call, Problem, list};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let user = find_readable(&request, reader)?;
        let groups = reader.user_groups(user.tenant_id, user.id)?;
        groups.into_iter().map(|group| Shown::read(&request, reader, group)).collect::<Result<Vec<_>, _>>()
    };
    let groups = call.store().read(read).await?;
    list::in_memory_as(&call, groups, |shown, set| shown.view_as_member(set)).await
}
