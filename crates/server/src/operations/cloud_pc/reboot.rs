//! `POST …/cloudPCs/{id}/reboot`

use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |_, _| Ok(Params::Reboot)).await
}
