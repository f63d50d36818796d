//! Imported restore points: `importSnapshot`, `retrieveSnapshotImportResults` and
//! `purgeImportedSnapshot`. Disks come from Azure storage only in Microsoft's service, so nothing
//! is ever imported here, and no restore point is an imported one.

use cloudpc_graph::GraphError;
use serde_json::Value;
use std::sync::Arc;

use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem, required};

/// `POST …/snapshots/importSnapshot`
pub async fn import(call: Arc<Call>) -> Result<Answer, Problem> {
    if call.body.get("sourceFiles").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(required("sourceFiles").into());
    }
    let message = "This installation has no connection to Azure storage, and imports no restore points. Import a device image instead.";
    Err(GraphError::new(409, "importNotSupported", message).into())
}

/// `GET …/snapshots/retrieveSnapshotImportResults(snapshotId='…')`
pub async fn results(call: Arc<Call>) -> Result<Answer, Problem> {
    in_memory(&call, Vec::<Value>::new()).await
}

/// `POST …/snapshots/purgeImportedSnapshot`
pub async fn purge(call: Arc<Call>) -> Result<Answer, Problem> {
    let ids = call.body.get("snapshotIds").and_then(Value::as_array);
    match ids.ok_or_else(|| required("snapshotIds"))?.iter().find_map(Value::as_str) {
        Some(id) => Err(Problem::not_found("imported restore point", id)),
        None => Ok(Answer::NoContent),
    }
}
