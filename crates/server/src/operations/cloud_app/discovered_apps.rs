//! `GET …/cloudApps/retrieveDiscoveredApps(sourceId='…',provisioningPolicyId='…')`

use cloudpc_model::{DocumentKey, DocumentType, ImageId};
use cloudpc_store::Reader;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem};

/// Answers with an empty list: nothing here looks for applications in images.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let check = move |reader: &Reader<'_>| {
        let (tenant, arguments) = (request.tenant(), &request.target.arguments);
        let source = arguments.get("sourceId").map_or("", String::as_str);
        let custom = DocumentKey::new(DocumentType::CloudPcDeviceImage, source);
        if reader.gallery_image(tenant, &ImageId(source.to_owned()))?.is_none()
            && reader.document(tenant, &custom)?.is_none()
        {
            return Err(Problem::not_found("image", source));
        }
        let policy = arguments.get("provisioningPolicyId").map_or("", String::as_str);
        let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, policy);
        if !policy.is_empty() && reader.document(tenant, &key)?.is_none() {
            return Err(Problem::not_found("cloudPcProvisioningPolicy", policy));
        }
        Ok(())
    };
    call.store().read(check).await?;
    in_memory(&call, Vec::<Value>::new()).await
}
