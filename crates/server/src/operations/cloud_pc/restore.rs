//! `POST …/cloudPCs/{id}/restore`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call, _| Ok(Params::Restore { snapshot_id: super::target_snapshot(call)? })).await
}
