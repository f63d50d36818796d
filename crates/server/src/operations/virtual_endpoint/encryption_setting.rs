//! `GET …/retrieveTenantEncryptionSetting()`

use serde_json::json;
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem};

/// Answers with nulls: cloudpc manages no keys of disks, and does not know how the host encrypts
/// them.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    Ok(call.entity(&json!({"lastSyncDateTime": null, "tenantDiskEncryptionType": null})))
}
