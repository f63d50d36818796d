//! `…/roleDefinitions/{id}/inheritsPermissionsFrom`: always empty, because no role definition
//! inherits from another.

use cloudpc_store::Reader;
use std::sync::Arc;

use super::find_definition;
use crate::pipeline::{Answer, Call, Problem, list};

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    check_definition(&call).await?;
    list::in_memory::<()>(&call, Vec::new()).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    check_definition(&call).await?;
    list::count_in_memory::<()>(&call, Vec::new()).await
}

/// Answers 404, also for what is below an inherited role definition.
pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    check_definition(&call).await?;
    Err(Problem::not_found("inherited role definition", call.key(1)))
}

async fn check_definition(call: &Arc<Call>) -> Result<(), Problem> {
    let request = call.clone();
    call.store().read(move |reader: &Reader<'_>| find_definition(&request, reader).map(drop)).await
}
