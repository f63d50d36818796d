//! `POST …/provisioningPolicies/applyConfig`

use cloudpc_graph::GraphError;
use cloudpc_model::CloudPcId;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

/// Most Cloud PCs in one request.
pub const APPLY_CLOUD_PC_IDS_MAX: usize = 100;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (cloud_pcs, settings) = (cloud_pcs(&call)?, super::settings(&call)?);
    call.app.engine.apply_policies_to(&call.request_context(), cloud_pcs, settings).await?;
    Ok(Answer::NoContent)
}

fn cloud_pcs(call: &Call) -> Result<Vec<CloudPcId>, GraphError> {
    const NAME: &str = "cloudPcIds";
    let wrong = |message: String| GraphError::bad_request(message).about(NAME);
    let given = call.body.get(NAME).and_then(Value::as_array).ok_or_else(|| required(NAME))?;
    if given.is_empty() || given.len() > APPLY_CLOUD_PC_IDS_MAX {
        return Err(wrong(format!(
            "A request takes 1 to {APPLY_CLOUD_PC_IDS_MAX} Cloud PC ids; this one has {}.",
            given.len()
        )));
    }
    let parse = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.parse().map_err(|_| wrong(format!("'{text}' is not the id of a Cloud PC, which is a GUID.")))
    };
    given.iter().map(parse).collect()
}
