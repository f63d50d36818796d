//! `GET /deviceManagement/managedDevices/{id}/getCloudPcReviewStatus`

use std::sync::Arc;

use crate::operations::cloud_pc::review_status::get;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    get(call, super::find).await
}
