//! `…/roleAssignments/{id}/principals`: the users and groups that have the role.

use cloudpc_model::Object;
use std::sync::Arc;

use super::{of_assignment, one};
use crate::documents::role_assignment::principals;
use crate::pipeline::{Answer, Call, Problem, list};

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    let entities = entities(&call).await?;
    list::in_memory(&call, entities).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    let entities = entities(&call).await?;
    list::count_in_memory(&call, entities).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    let entities = entities(&call).await?;
    one(&call, 1, "principal", entities)
}

async fn entities(call: &Arc<Call>) -> Result<Vec<Object>, Problem> {
    of_assignment(call, |reader, assignment| Ok(principals(reader, assignment)?)).await
}
