//! `POST /deviceManagement/managedDevices/{id}/setCloudPcReviewStatus`

use std::sync::Arc;

use crate::operations::cloud_pc::set_review_status::set;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    set(call, super::find_to_use).await
}
