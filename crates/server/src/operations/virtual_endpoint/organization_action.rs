//! `POST …/organizationAction` and `GET …/retrieveOrganizationActionDetail(actionType='…')`
//!
//! Every tenant is active for as long as it exists, so there is nothing to activate, and nothing
//! deactivates one.

use cloudpc_graph::GraphError;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

const ACTION_TYPE: &str = "actionType";

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let detail = detail(call.required_text(ACTION_TYPE)?)?;
    Ok(call.entity(&detail))
}

pub async fn retrieve(call: Arc<Call>) -> Result<Answer, Problem> {
    let detail = detail(call.target.arguments.get(ACTION_TYPE).map_or("", String::as_str))?;
    Ok(call.entity(&detail))
}

/// How an action ends, whenever it is asked for.
fn detail(action: &str) -> Result<Value, GraphError> {
    match action {
        "activate" => Ok(json!({"errorDescription": null, "status": "succeeded"})),
        "deactivate" => {
            let description = "This installation does not deactivate organizations. Remove the assignments of its provisioning policies instead.";
            Ok(json!({"errorDescription": description, "status": "failed"}))
        }
        _ => {
            let message =
                format!("'{action:.64}' is not an action on an organization. Use 'activate' or 'deactivate'.");
            Err(GraphError::bad_request(message).about(ACTION_TYPE))
        }
    }
}
