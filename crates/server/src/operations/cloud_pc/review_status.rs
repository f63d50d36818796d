//! `GET …/cloudPCs/{id}/retrieveReviewStatus`

use cloudpc_model::CloudPc;
use cloudpc_store::Reader;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};
use crate::views::review::review;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    get(call, super::find).await
}

/// Answers with the review status of the Cloud PC that `find` looks up.
pub(in crate::operations) async fn get(
    call: Arc<Call>,
    find: fn(&Call, &Reader<'_>) -> Result<CloudPc, Problem>,
) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let cloud_pc = find(&request, reader)?;
        Ok::<_, Problem>(reader.review(cloud_pc.tenant_id, cloud_pc.id)?)
    };
    Ok(call.entity(&review(call.store().read(read).await?.as_ref())))
}
