//! `GET …/retrieveUserSettingsPersistenceProfiles(configurationId='…')`

use serde_json::Value;
use std::sync::Arc;

use super::check_assignment;
use crate::pipeline::list::in_memory;
use crate::pipeline::{Answer, Call, Problem};

/// Answers with an empty list: no profile is stored here.
pub async fn run(call: Arc<Call>) -> Result<Answer, Problem> {
    check_assignment(&call).await?;
    in_memory(&call, Vec::<Value>::new()).await
}
