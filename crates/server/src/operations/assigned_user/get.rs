//! `GET …/provisioningPolicies/{id}/assignments/{id}/assignedUsers/{id}`, and the same by
//! `userPrincipalName`

use cloudpc_store::Reader;
use std::sync::Arc;

use super::group;
use crate::operations::user::{Shown, by_key};
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let group = group(&request, reader)?;
        let name = request.target.arguments.get("userPrincipalName");
        let key = name.map_or_else(|| request.key(2), String::as_str);
        let user = by_key(reader, request.tenant(), key)?;
        if reader.group_member_since(request.tenant(), group, user.id)?.is_none() {
            return Err(Problem::not_found("assigned user", key));
        }
        Shown::read(&request, reader, user)
    };
    let found = call.store().read(read).await?;
    let set = if call.options.select.is_some() { PropertySet::All } else { PropertySet::Default };
    Ok(call.entity(&found.whole(set)))
}
