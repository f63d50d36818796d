//! `POST …/cloudPCs/{id}/changeUserAccountType`

use cloudpc_graph::GraphError;
use cloudpc_model::Params;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    super::request_action(call, |call, _| {
        let missing = || {
            let message = "'userAccountType' is missing. Send 'standardUser' or 'administrator'.";
            GraphError::bad_request(message).about("userAccountType")
        };
        Ok(Params::ChangeUserAccountType { user_account_type: call.member("userAccountType")?.ok_or_else(missing)? })
    })
    .await
}
