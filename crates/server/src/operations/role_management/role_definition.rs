//! `…/roleAssignments/{id}/roleDefinition` and `…/roleDefinitions/{id}/assignedPrincipals`.

use cloudpc_model::{DocumentType, GroupId, Object, TenantId, UserId};
use cloudpc_store::{Reader, StoreError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

use super::{find_assignment, find_definition};
use crate::documents::role_assignment::{self, directory_object};
use crate::pipeline::list::{self, scan_limit_reached};
use crate::pipeline::{Answer, Call, Problem};
use crate::rbac::ALL_TAGS;

/// Most users and groups that `assignedPrincipals` collects.
pub const ASSIGNED_PRINCIPALS_MAX: usize = 10_000;

/// `…/roleAssignments/{id}/roleDefinition`
pub async fn get(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let read = move |reader: &Reader<'_>| {
        let assignment = find_assignment(&request, reader)?;
        role_assignment::role_definition(reader, &request, &assignment)
    };
    let role = call.store().read(read).await?;
    let role = role.ok_or_else(|| Problem::not_found("role definition of the role assignment", call.key(0)))?;
    Ok(call.entity(&role))
}

/// `…/roleDefinitions/{id}/assignedPrincipals(…)`: the users and groups that are assigned a role;
/// with `transitive`, also the members of the groups.
pub async fn assigned_principals(call: Arc<Call>) -> Result<Answer, Problem> {
    let request = call.clone();
    let found = call.store().read(move |reader: &Reader<'_>| assigned(&request, reader)).await?;
    list::in_memory(&call, found).await
}

fn assigned(call: &Call, reader: &Reader<'_>) -> Result<Vec<Object>, Problem> {
    let role = find_definition(call, reader)?;
    let argument = |name: &str| call.target.arguments.get(name).map_or("", String::as_str);
    // The only directory scope that an assignment can have is the whole tenant.
    let is_of_tenant = matches!(argument("directoryScopeId"), "" | ALL_TAGS)
        && ["", "tenant"].iter().any(|kind| argument("directoryScopeType").eq_ignore_ascii_case(kind));
    if !is_of_tenant {
        return Ok(Vec::new());
    }
    let mut found: BTreeMap<String, Object> = BTreeMap::new();
    for (_, holder) in reader.document_holders(call.tenant(), DocumentType::UnifiedRoleDefinition, &[&role.key.id])? {
        debug_assert_eq!(holder.kind, DocumentType::UnifiedRoleAssignmentMultiple);
        let Some(assignment) = reader.document(call.tenant(), &holder)? else { continue };
        for principal in role_assignment::principals(reader, &assignment)? {
            if argument("transitive") == "true" {
                found.extend(members(reader, call.tenant(), &principal)?);
            }
            found.insert(id_of(&principal), principal);
            if found.len() > ASSIGNED_PRINCIPALS_MAX {
                return Err(scan_limit_reached(
                    "transitive",
                    "Ask for the principals, and for the members of each group.",
                ));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Returns the users in a group; none if the principal is a user.
fn members(reader: &Reader<'_>, tenant: TenantId, principal: &Object) -> Result<Vec<(String, Object)>, StoreError> {
    let Ok(group) = id_of(principal).parse::<Uuid>() else { return Ok(Vec::new()) };
    let users = reader.group_member_list(tenant, GroupId(group), None::<UserId>, ASSIGNED_PRINCIPALS_MAX)?;
    Ok(users.into_iter().map(|user| (user.id.to_string(), directory_object("user", user.id.0))).collect())
}

fn id_of(entity: &Object) -> String {
    entity.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}
