//! `POST /deviceManagement/managedDevices/{id}/restoreCloudPc`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::operations::cloud_pc::target_snapshot;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call| Ok(Params::Restore { snapshot_id: target_snapshot(call)? })).await
}
