//! `POST /deviceManagement/managedDevices/{id}/reprovisionCloudPc`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |_| {
        Ok(Params::Reprovision { os_version: None, user_account_type: None, image_id: None })
    })
    .await
}
