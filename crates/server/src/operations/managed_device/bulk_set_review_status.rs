//! `POST /deviceManagement/managedDevices/bulkSetCloudPcReviewStatus`

use std::sync::Arc;

use crate::operations::bulk_action::review;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (wanted, app) = (review(&call)?, call.app.clone());
    let answer = super::request_each(call, wanted).await?;
    // Open desktops of the users end at once.
    app.identity.forget_verified();
    Ok(answer)
}
