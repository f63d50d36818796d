//! `POST …/provisioningPolicies/{id}/apply`

use std::sync::Arc;

use super::Reserve;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (settings, reserve) = (super::settings(&call)?, Reserve::parse(&call.body)?);
    let request = call.clone();
    let policy = call.store().read(move |reader| super::find(&request, reader)).await?;
    let engine = &call.app.engine;
    engine.apply_policy(&call.request_context(), &policy.key.id, settings, reserve.percentage).await?;
    Ok(Answer::NoContent)
}
