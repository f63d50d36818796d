//! `…/roleAssignments/{id}/principals`: the users and groups that have the role.

use std::sync::Arc;

use super::AssignmentCollection;
use crate::documents::role_assignment::principals;
use crate::pipeline::{Answer, Call, Problem};

static PRINCIPALS: AssignmentCollection =
    AssignmentCollection { what: "principal", entities: |reader, assignment| Ok(principals(reader, assignment)?) };

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    PRINCIPALS.list(&call).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    PRINCIPALS.count(&call).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    PRINCIPALS.get(&call).await
}
