//! `POST /deviceManagement/managedDevices/{id}/resizeCloudPc`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::operations::cloud_pc::target_service_plan;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call| Ok(Params::Resize { target_service_plan_id: target_service_plan(call)? })).await
}
