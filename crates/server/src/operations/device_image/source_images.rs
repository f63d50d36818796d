//! `GET …/deviceImages/getSourceImages()`

use cloudpc_drivers::{SourceCategory, SourceImage};
use cloudpc_graph::{GraphError, Version};
use serde::Serialize;
use std::sync::Arc;

use crate::pipeline::list::{PropertySet, in_memory_as};
use crate::pipeline::{Answer, Call, Problem};

/// `cloudPcSourceDeviceImage`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceView {
    resource_id: String,
    display_name: String,
    subscription_id: Option<String>,
    subscription_display_name: Option<String>,
    #[serde(flatten)]
    beta: Option<BetaProperties>,
}

#[derive(Serialize)]
struct BetaProperties {
    /// The older name of `resourceId`.
    id: String,
    category: SourceCategory,
}

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let sources = call.app.driver.source_images().await.map_err(|error| {
        tracing::warn!(%error, "listing image sources failed");
        let message = "The image sources of the host are temporarily unavailable. Retry later.";
        GraphError::new(503, "ServiceUnavailable", message)
    })?;
    let version = call.edm.version;
    in_memory_as(&call, sources, move |source: &SourceImage, _: PropertySet| view(source, version)).await
}

fn view(source: &SourceImage, version: Version) -> SourceView {
    // A resource id begins `/subscriptions/{id}`.
    let subscription = source.resource_id.split('/').nth(2).map(str::to_owned);
    SourceView {
        resource_id: source.resource_id.clone(),
        display_name: source.display_name.clone(),
        subscription_id: subscription,
        subscription_display_name: None,
        beta: (version == Version::Beta)
            .then(|| BetaProperties { id: source.resource_id.clone(), category: source.category }),
    }
}
