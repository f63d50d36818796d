//! `POST …/externalPartners/{id}/cloudpc.activities/{activity-id}/cloudpc.cancel`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let (_, activity) = call.store().read(move |reader| super::find(&request, reader)).await?;
    let canceled = call.app.engine.cancel_activity(&call.request_context(), activity).await?;
    Ok(call.value(&canceled))
}
