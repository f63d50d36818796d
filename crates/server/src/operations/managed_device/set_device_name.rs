//! `POST /deviceManagement/managedDevices/{id}/setDeviceName`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call| {
        Ok(Params::SetDeviceName { device_name: call.required_text("deviceName")?.to_owned() })
    })
    .await
}
