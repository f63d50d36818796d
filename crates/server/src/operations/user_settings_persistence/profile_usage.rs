//! `GET …/retrieveUserSettingsPersistenceProfileUsage(configurationId='…')`

use serde_json::json;
use std::sync::Arc;

use super::check_assignment;
use crate::pipeline::{Answer, Call, Problem};

/// Answers with zeros: no storage is set aside for profiles, and none is used.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    check_assignment(&call).await?;
    let usage = json!({"remainingAvailableStorageInGB": 0, "totalAllocatedStorageInGB": 0, "usedStorageInGB": 0});
    Ok(call.entity(&usage))
}
