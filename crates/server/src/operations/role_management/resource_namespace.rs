//! `/roleManagement/cloudPC/resourceNamespaces`: the one namespace of resource actions.

use serde_json::{Value, json};
use std::sync::Arc;

use crate::pipeline::{Answer, Call, Problem, list};
use crate::rbac::catalog::NAMESPACE;

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    list::in_memory(&call, vec![namespace()]).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    list::count_in_memory(&call, vec![namespace()]).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    check(&call)?;
    Ok(call.entity(&namespace()))
}

/// Checks that the path names the namespace.
///
/// # Errors
/// 404.
pub(super) fn check(call: &Call) -> Result<(), Problem> {
    if call.key(0).eq_ignore_ascii_case(NAMESPACE) {
        return Ok(());
    }
    Err(Problem::not_found("resource namespace", call.key(0)))
}

fn namespace() -> Value {
    json!({ "id": NAMESPACE, "name": NAMESPACE })
}
