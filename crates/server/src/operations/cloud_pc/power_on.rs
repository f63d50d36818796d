//! `POST …/cloudPCs/{id}/powerOn`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call, cloud_pc| {
        super::check_power(call, cloud_pc)?;
        Ok(Params::PowerOn)
    })
    .await
}
