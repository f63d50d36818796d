//! `POST …/cloudPCs/{id}/cloudpc.actions/{action-id}/cloudpc.cancel`

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let action = call.store().read(move |reader| super::find_to_use(&request, reader)).await?;
    call.app.engine.cancel(&call.request_context(), action.id).await?;
    Ok(Answer::NoContent)
}
