//! `POST /deviceManagement/managedDevices/{id}/syncDevice`: the service observes the machine now,
//! and brings what it shows of it up to date.

use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (context, engine) = (call.request_context(), call.app.engine.clone());
    engine.sync_device(&context, move |reader| super::find(&call, reader)).await?;
    Ok(Answer::NoContent)
}
