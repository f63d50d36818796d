//! Operations below `/roleManagement/cloudPC` other than those of every document, and the functions
//! that tell callers what they may do. The collections here are small and read whole.

pub(super) mod app_scope;
pub(super) mod application;
pub(super) mod directory_scope;
pub(super) mod inherited_role;
pub(super) mod permissions;
pub(super) mod principal;
pub(super) mod resource_action;
pub(super) mod resource_namespace;
pub(super) mod role_definition;

use cloudpc_model::{Document, DocumentType, Object};
use cloudpc_store::Reader;
use serde_json::Value;
use std::sync::Arc;

use crate::documents;
use crate::pipeline::{Answer, Call, Problem, list};

/// Returns the role assignment in the path.
///
/// # Errors
/// 404.
fn find_assignment(call: &Call, reader: &Reader<'_>) -> Result<Document, Problem> {
    documents::find_reached(call, reader, DocumentType::UnifiedRoleAssignmentMultiple, call.key(0))
}

/// Returns the role definition in the path.
///
/// # Errors
/// 404.
fn find_definition(call: &Call, reader: &Reader<'_>) -> Result<Document, Problem> {
    documents::find_reached(call, reader, DocumentType::UnifiedRoleDefinition, call.key(0))
}

/// A collection within a role assignment, read whole.
struct AssignmentCollection {
    /// What an entity is, for messages.
    what: &'static str,
    entities: fn(&Reader<'_>, &Document) -> Result<Vec<Object>, Problem>,
}

impl AssignmentCollection {
    async fn list(&self, call: &Arc<Call>) -> Result<Answer, Problem> {
        list::in_memory(call, self.read(call).await?).await
    }

    async fn count(&self, call: &Arc<Call>) -> Result<Answer, Problem> {
        list::count_in_memory(call, self.read(call).await?).await
    }

    async fn get(&self, call: &Arc<Call>) -> Result<Answer, Problem> {
        one(call, 1, self.what, self.read(call).await?)
    }

    async fn read(&self, call: &Arc<Call>) -> Result<Vec<Object>, Problem> {
        let (request, entities) = (call.clone(), self.entities);
        let read = move |reader: &Reader<'_>| entities(reader, &find_assignment(&request, reader)?);
        call.store().read(read).await
    }
}

/// Answers with the entity that has the id in the path.
///
/// # Errors
/// 404.
fn one(call: &Call, place: usize, what: &str, entities: Vec<Object>) -> Result<Answer, Problem> {
    let wanted = call.key(place);
    let is_it =
        |entity: &Object| entity.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(wanted));
    match entities.into_iter().find(is_it) {
        Some(entity) => Ok(call.entity(&entity)),
        None => Err(Problem::not_found(what, wanted)),
    }
}
