//! `GET …/provisioningPolicies/{id}/assignments/{id}/assignedUsers/{id}`, and the same by
//! `userPrincipalName`

use cloudpc_store::Reader;
use std::sync::Arc;

use crate::operations::user::Shown;
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let user = super::user(&request, reader)?;
        Shown::read(&request, reader, user)
    };
    let found = call.store().read(read).await?;
    let set = if call.options.select.is_some() { PropertySet::All } else { PropertySet::Default };
    Ok(call.entity(&found.whole(set)))
}
