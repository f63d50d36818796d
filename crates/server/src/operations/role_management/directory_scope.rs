//! `…/roleAssignments/{id}/directoryScopes`: always empty, because the only directory scope, `/`,
//! stands for the whole directory and is no object in it.

use std::sync::Arc;

use super::AssignmentCollection;
use crate::pipeline::{Answer, Call, Problem};

static DIRECTORY_SCOPES: AssignmentCollection =
    AssignmentCollection { what: "directory scope", entities: |_, _| Ok(Vec::new()) };

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    DIRECTORY_SCOPES.list(&call).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    DIRECTORY_SCOPES.count(&call).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    DIRECTORY_SCOPES.get(&call).await
}
