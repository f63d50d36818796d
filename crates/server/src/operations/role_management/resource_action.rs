//! `/roleManagement/cloudPC/resourceNamespaces/{id}/resourceActions`: what role definitions can
//! grant.

use cloudpc_model::Object;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{one, resource_namespace};
use crate::pipeline::{Answer, Call, Problem, list};
use crate::rbac::ALL_TAGS;
use crate::rbac::catalog::{self, ResourceAction};

/// The id of the scope of all actions.
const SCOPE: &str = "tenant";

pub async fn list(call: Arc<Call>) -> Result<Answer, Problem> {
    resource_namespace::check(&call)?;
    list::in_memory(&call, entities()).await
}

pub async fn count(call: Arc<Call>) -> Result<Answer, Problem> {
    resource_namespace::check(&call)?;
    list::count_in_memory(&call, entities()).await
}

pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    resource_namespace::check(&call)?;
    one(&call, 1, "resource action", entities())
}

/// `…/resourceActions/{id}/resourceScope`
pub async fn scope(call: Arc<Call>) -> Result<Answer, Problem> {
    check(&call)?;
    Ok(call.entity(&json!({ "id": SCOPE, "displayName": "Tenant", "scope": ALL_TAGS, "type": "tenant" })))
}

/// `…/resourceActions/{id}/authenticationContext`: no action has one.
pub async fn authentication_context(call: Arc<Call>) -> Result<Answer, Problem> {
    check(&call)?;
    Err(Problem::not_found("authentication context of the resource action", call.key(1)))
}

/// Checks that the path names a resource action.
fn check(call: &Call) -> Result<(), Problem> {
    resource_namespace::check(call)?;
    one(call, 1, "resource action", entities()).map(drop)
}

fn entities() -> Vec<Object> {
    catalog::actions().map(entity).collect()
}

/// `unifiedRbacResourceAction`
fn entity(action: ResourceAction) -> Object {
    let entity = json!({
        "id": action.id(),
        "actionVerb": null,
        "authenticationContextId": null,
        "description": format!("{} {}", action.verb, action.resource),
        "isAuthenticationContextSettable": false,
        "isPrivileged": false,
        "name": action.name(),
        "resourceScopeId": SCOPE,
    });
    match entity {
        Value::Object(entity) => entity,
        _ => unreachable!("the literal above is an object"),
    }
}
