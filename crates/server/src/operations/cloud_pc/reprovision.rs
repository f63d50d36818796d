//! `POST …/cloudPCs/{id}/reprovision`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call, _| {
        Ok(Params::Reprovision {
            os_version: call.member("osVersion")?,
            user_account_type: call.member("userAccountType")?,
            image_id: None,
        })
    })
    .await
}
