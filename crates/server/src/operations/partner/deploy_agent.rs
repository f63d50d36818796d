//! `POST …/externalPartners/{id}/deployAgent`

use cloudpc_graph::{GraphError, is_control_or_bidi};
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, required};

/// Most Cloud PCs in one request.
pub const CLOUD_PC_IDS_MAX: usize = 50;
/// Longest Cloud PC id, in bytes. Whether it exists is checked by the deployment.
pub const CLOUD_PC_ID_BYTES_MAX: usize = 128;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let targets = match targets(&call) {
        Ok(targets) => targets,
        Err(wrong) => {
            // A missing partner is reported before an invalid body.
            let request = call.clone();
            call.store().read(move |reader| super::find(&request, reader)).await?;
            return Err(wrong.into());
        }
    };
    let partner = call.id(0, "external partner")?;
    let deployed = call.app.engine.deploy(&call.request_context(), partner, targets).await?;
    Ok(call.value(&deployed.activity_id.to_string()))
}

fn targets(call: &Call) -> Result<Vec<String>, GraphError> {
    const NAME: &str = "cloudPcIds";
    let wrong = |message: String| GraphError::bad_request(message).about(NAME);
    let given = call.body.get(NAME).and_then(Value::as_array).ok_or_else(|| required(NAME))?;
    if given.is_empty() || given.len() > CLOUD_PC_IDS_MAX {
        return Err(wrong(format!(
            "A request takes 1 to {CLOUD_PC_IDS_MAX} Cloud PC ids; this one has {}.",
            given.len()
        )));
    }
    let check = |value: &Value| match value.as_str() {
        Some(id) if !id.trim().is_empty() && id.len() <= CLOUD_PC_ID_BYTES_MAX && !id.contains(is_control_or_bidi) => {
            Ok(id.to_owned())
        }
        _ => Err(wrong(format!(
            "Each id must be a string of 1 to {CLOUD_PC_ID_BYTES_MAX} bytes without control characters."
        ))),
    };
    given.iter().map(check).collect()
}
