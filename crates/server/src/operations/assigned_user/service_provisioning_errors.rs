//! `GET …/assignedUsers/{id}/serviceProvisioningErrors` and its `$count`

use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem};

/// Answers with an empty list: users are written here and provisioned by no other service.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    check(&call).await?;
    in_memory(&call, Vec::<Value>::new()).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    check(&call).await?;
    Ok(Answer::Text("0".into()))
}

async fn check(call: &Arc<Call>) -> Result<(), Problem> {
    let request = call.clone();
    call.store().read(move |reader| super::user(&request, reader)).await?;
    Ok(())
}
