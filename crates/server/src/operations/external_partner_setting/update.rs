//! `PATCH …/externalPartnerSettings/{id}`

use std::sync::Arc;

use crate::operations::partner;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let updated = partner::update::update(&call, |call, found| serde_json::json!(super::view(call, found))).await?;
    Ok(call.updated(&super::view(&call, &updated)))
}
