//! `GET …/assignments/{id}/userSettingsPersistenceDetail`

use cloudpc_store::Reader;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::documents;
use crate::pipeline::{Answer, Call, Problem};

pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        documents::assigned_group(&request, reader, request.key(0), request.key(1))?;
        super::policy(&request, reader)
    };
    let policy = call.store().read(read).await?;
    let configuration = policy.as_ref().and_then(|policy| policy.body.get("userSettingsPersistenceConfiguration"));
    let persists = |configuration: &&Value| configuration["userSettingsPersistenceEnabled"] == json!(true);
    let storage = configuration.filter(persists).map(|configuration| {
        json!({
            "allocatedStorageSizeCategory": configuration["userSettingsPersistenceStorageSizeCategory"],
            "storageSizingType": "fixed",
        })
    });
    // Nothing is stored, so nothing is cleaned up and no snapshots are made.
    let detail = json!({
        "id": call.key(1),
        "autoCleanupDetail": null,
        "gracePeriodEndDateTime": null,
        "snapshotConfiguration": null,
        "storageConfiguration": storage,
    });
    Ok(call.entity(&detail))
}
