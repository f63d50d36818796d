//! `POST …/provisioningPolicies/{id}/retry`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let policy = call.store().read(move |reader| super::find(&request, reader)).await?;
    call.app.engine.retry_provisioning(&call.request_context(), &policy.key.id).await?;
    Ok(Answer::NoContent)
}
