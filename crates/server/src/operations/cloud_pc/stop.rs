//! `POST …/cloudPCs/{id}/stop`: the user of a Frontline Cloud PC powers the machine off and gives
//! its licence back.

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |_, cloud_pc| {
        super::check_startable(cloud_pc)?;
        Ok(Params::PowerOff)
    })
    .await
}
