//! `POST …/provisioningPolicies/applyConfig`

use cloudpc_graph::GraphError;
use cloudpc_model::CloudPcId;
use cloudpc_store::Reader;
use serde_json::Value;
use std::sync::Arc;

use crate::operations::cloud_pc;
use crate::pipeline::{Answer, Call, Problem, required};

/// Most Cloud PCs in one request.
pub const APPLY_CLOUD_PC_IDS_MAX: usize = 100;

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (cloud_pcs, settings) = (cloud_pcs(&call)?, super::settings(&call)?);
    check_reach(&call, cloud_pcs.clone()).await?;
    call.app.engine.apply_policies_to(&call.request_context(), cloud_pcs, settings).await?;
    Ok(Answer::NoContent)
}

/// Checks that the caller's scope tags reach these Cloud PCs.
async fn check_reach(call: &Arc<Call>, cloud_pcs: Vec<CloudPcId>) -> Result<(), Problem> {
    if call.scope_tags.is_all() {
        return Ok(());
    }
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        cloud_pcs.iter().try_for_each(|id| match cloud_pc::find_reached(&request, reader, *id)? {
            Some(_) => Ok(()),
            None => Err(Problem::not_found("Cloud PC", &id.to_string())),
        })
    };
    call.store().read(read).await
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
