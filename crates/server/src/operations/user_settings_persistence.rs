//! Operations on the user settings that an assignment of a policy keeps between sessions.
//!
//! cloudpc keeps what a policy says about them and stores no user profile, so there are no profiles
//! and no snapshots of them.

pub(super) mod batch_cleanup;
pub(super) mod bulk;
pub(super) mod get;
pub(super) mod profile_usage;
pub(super) mod profiles;
pub(super) mod snapshot;

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentKey, DocumentType};
use cloudpc_store::Reader;
use serde_json::Value;
use std::sync::Arc;

use crate::documents;
use crate::pipeline::{Call, Problem, required};

/// Most ids of one request.
const IDS_MAX: usize = 500;

/// Checks that the assignment in the path exists.
///
/// # Errors
/// 404 if there is no such assignment.
async fn check_assignment(call: &Arc<Call>) -> Result<(), Problem> {
    let request = call.clone();
    let check = move |reader: &Reader<'_>| {
        documents::assigned_group(&request, reader, request.key(0), request.key(1)).map(drop)
    };
    call.store().read(check).await
}

/// The policy in the path.
fn policy(call: &Call, reader: &Reader<'_>) -> Result<Option<Document>, Problem> {
    let key = DocumentKey::new(DocumentType::CloudPcProvisioningPolicy, call.key(0));
    Ok(reader.document(call.tenant(), &key)?)
}

/// A collection of ids in the body, which is not empty.
fn ids<'a>(call: &'a Call, property: &str) -> Result<Vec<&'a str>, Problem> {
    let ids = call.body.get(property).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if ids.is_empty() {
        return Err(required(property).into());
    }
    if ids.len() > IDS_MAX {
        let count = ids.len();
        let message = format!("'{property}' has {count} elements; at most {IDS_MAX} are allowed. Send fewer.");
        return Err(GraphError::bad_request(message).about(property).into());
    }
    Ok(ids.iter().filter_map(Value::as_str).collect())
}
