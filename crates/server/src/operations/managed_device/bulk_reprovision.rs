//! `POST /deviceManagement/managedDevices/bulkReprovisionCloudPc`

use cloudpc_model::BulkRequest;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_each(call, BulkRequest::Reprovision).await
}
