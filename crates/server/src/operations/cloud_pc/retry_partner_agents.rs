//! `POST …/cloudPCs/{id}/retryPartnerAgentInstallation`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    engine.retry_deployments(&context, move |reader| super::find_to_use(&call, reader)).await?;
    Ok(Answer::NoContent)
}
