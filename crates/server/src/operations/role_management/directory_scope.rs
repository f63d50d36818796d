//! `…/roleAssignments/{id}/directoryScopes`: always empty, because the only directory scope, `/`,
//! stands for the whole directory and is no object in it.

use cloudpc_model::Object;
use std::sync::Arc;

use super::{of_assignment, one};
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
    one(&call, 1, "directory scope", entities)
}

async fn entities(call: &Arc<Call>) -> Result<Vec<Object>, Problem> {
    of_assignment(call, |_, _| Ok(Vec::new())).await
}
