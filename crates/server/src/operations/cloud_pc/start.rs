//! `POST …/cloudPCs/{id}/start`: the user of a Frontline Cloud PC takes a licence and powers the
//! machine on.

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |_, cloud_pc| {
        super::check_startable(cloud_pc)?;
        Ok(Params::PowerOn)
    })
    .await
}
