//! `POST …/cloudPCs/{id}/setReviewStatus`

use cloudpc_engine::ReviewRequest;
use cloudpc_graph::GraphError;
use cloudpc_model::CloudPc;
use cloudpc_store::Reader;
use serde_json::{Map, Value};
use std::str::FromStr;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    set(call, super::find_to_use).await
}

/// Sets the review status of the Cloud PC that `find` looks up.
pub(in crate::operations) async fn set(
    call: Arc<Call>,
    find: fn(&Call, &Reader<'_>) -> Result<CloudPc, Problem>,
) -> Result<Answer, Problem> {
    let (context, app) = (call.request_context(), call.app.clone());
    let found = move |reader: &Reader<'_>| {
        let cloud_pc = find(&call, reader)?;
        let status = call.body.get("reviewStatus").and_then(Value::as_object);
        let required = || GraphError::bad_request("The property 'reviewStatus' is required.").about("reviewStatus");
        Ok::<_, Problem>((cloud_pc, review_request(status.ok_or_else(required)?)?))
    };
    app.engine.set_review_status(&context, found).await?;
    Ok(Answer::NoContent)
}

/// Reads a `cloudPcReviewStatus`. What the service computes is ignored, so that a client can send
/// back what it has read.
pub(in crate::operations) fn review_request(status: &Map<String, Value>) -> Result<ReviewRequest, GraphError> {
    let in_review = status.get("inReview").and_then(Value::as_bool).ok_or_else(|| {
        GraphError::bad_request("The property 'inReview' is required.").about("reviewStatus/inReview")
    })?;
    if !in_review {
        return Ok(ReviewRequest::End);
    }
    let text = |name: &str| status.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(ReviewRequest::Begin {
        user_access: member(status, "userAccessLevel")?,
        subscription_id: text("subscriptionId"),
        storage_account_id: text("azureStorageAccountId"),
        access_tier: member(status, "accessTier")?,
    })
}

fn member<T: FromStr + Default>(status: &Map<String, Value>, name: &str) -> Result<T, GraphError> {
    let Some(text) = status.get(name).and_then(Value::as_str) else { return Ok(T::default()) };
    let unsupported = || {
        GraphError::bad_request(format!("The value '{text}' is not supported here."))
            .about(format!("reviewStatus/{name}"))
    };
    text.parse().map_err(|_| unsupported())
}
