//! `POST …/batchCleanupUserSettingsPersistenceProfile`

use std::sync::Arc;

use super::{check_assignment, ids};
use crate::pipeline::{Answer, Call, Problem};

/// Refuses every profile: none is stored here.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    let profiles = ids(&call, "cloudProfileIds")?;
    check_assignment(&call).await?;
    Err(Problem::not_found("user profile", profiles.first().copied().unwrap_or_default()))
}
