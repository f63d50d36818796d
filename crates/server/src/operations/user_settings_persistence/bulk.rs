//! `POST …/bulkCreateUserProfileSnapshot` and `POST …/bulkExportUserProfileSnapshot`

use serde_json::json;
use std::sync::Arc;

use super::{check_assignment, ids};
use crate::pipeline::{Answer, Call, Problem};

pub async fn create(call: Arc<Call>) -> Result<Answer, Problem> {
    fail(call, "cloudProfileIds").await
}

pub async fn export(call: Arc<Call>) -> Result<Answer, Problem> {
    fail(call, "snapshotIds").await
}

/// Answers that each of them failed: no profile and no snapshot is stored here.
async fn fail(call: Arc<Call>, property: &str) -> Result<Answer, Problem> {
    let count = ids(&call, property)?.len();
    check_assignment(&call).await?;
    Ok(call.entity(&json!({"failedCount": count, "totalCount": count})))
}
