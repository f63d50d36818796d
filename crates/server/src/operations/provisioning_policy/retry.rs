//! `POST …/provisioningPolicies/{id}/retry`

use cloudpc_model::{DocumentKey, DocumentType};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let (tenant, key) = (call.tenant(), DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, call.key(0)));
    let policy = key.id.clone();
    let found = call.store().read(move |reader| reader.document(tenant, &key)).await?;
    if found.is_none() {
        return Err(Problem::not_found("cloudPcProvisioningPolicy", call.key(0)));
    }
    call.app.engine.retry_provisioning(&call.request_context(), &policy).await?;
    Ok(Answer::NoContent)
}
