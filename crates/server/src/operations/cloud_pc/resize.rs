//! `POST …/cloudPCs/{id}/resize`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call, _| {
        Ok(Params::Resize { target_service_plan_id: super::target_service_plan(call)? })
    })
    .await
}
