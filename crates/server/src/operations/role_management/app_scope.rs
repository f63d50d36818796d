//! `…/roleAssignments/{id}/appScopes`: the scope tags of a role assignment.

use std::sync::Arc;

use super::AssignmentCollection;
use crate::documents::role_assignment::app_scopes;
use crate::pipeline::{Answer, Call, Problem};

static APP_SCOPES: AssignmentCollection =
    AssignmentCollection { what: "app scope", entities: |_, assignment| Ok(app_scopes(assignment)) };

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    APP_SCOPES.list(&call).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    APP_SCOPES.count(&call).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    APP_SCOPES.get(&call).await
}
