//! `POST …/cloudPCs/{id}/endGracePeriod`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let cloud_pc = call.store().read(move |reader| super::find_to_use(&request, reader)).await?;
    call.app.engine.end_grace_period(&call.request_context(), cloud_pc.id).await?;
    Ok(Answer::NoContent)
}
