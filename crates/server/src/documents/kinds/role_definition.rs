//! `unifiedRoleDefinition`: resource actions under a name. Every tenant has two that are built in.

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType};
use cloudpc_store::{Reader, Tx};
use serde_json::{Value, json};

use super::role_assignment::forget_callers;
use crate::documents::kind::Const::{Bool, Texts};
use crate::documents::kind::Fact::{CharsMax, Computed, Default, Filled, Required};
use crate::documents::kind::{DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::documents::path;
use crate::pipeline::{Call, Problem, READ_ROLES, WRITE_ROLES};
use crate::rbac::{self, ALL_TAGS, EffectivePermissions, ScopeTags, catalog};

static RIGHTS: Rights = Rights { resource: "Roles", read: &READ_ROLES, write: &WRITE_ROLES };

/// `unifiedRoleDefinition`
pub(super) static ROLE_DEFINITION: DocumentKind = DocumentKind::many(
    DocumentType::UnifiedRoleDefinition,
    "/roleManagement/cloudPC/roleDefinitions",
    &RIGHTS,
    WRITABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 128),
        CharsMax("description", 1_500),
        Required("rolePermissions"),
        Default("isEnabled", Bool(true)),
        Default("resourceScopes", Texts(&[ALL_TAGS])),
        Filled("templateId"),
        CharsMax("templateId", 64),
        CharsMax("version", 64),
        Computed("allowedPrincipalTypes"),
        Computed("isBuiltIn"),
        Computed("isPrivileged"),
    ],
)
.hooks(&RoleDefinition);

struct RoleDefinition;

impl Hooks for RoleDefinition {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        check_permissions(change.new)?;
        check_grants(reader, change)
    }

    fn check_update(&self, role: &Document) -> Result<(), Problem> {
        check_changeable(role)
    }

    fn check_delete(&self, _reader: &Reader<'_>, _call: &Call, role: &Document) -> Result<(), Problem> {
        check_changeable(role)
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        _old: Option<&Document>,
        _new: Option<&Document>,
    ) -> Result<(), Problem> {
        forget_callers(tx, call);
        Ok(())
    }

    fn computed(&self, _reader: &Reader<'_>, _call: &Call, page: &mut [Document]) -> Result<(), Problem> {
        for role in page {
            let is_built_in = rbac::is_built_in(role);
            if is_built_in {
                let permissions = json!([{ "allowedResourceActions": rbac::granted_by(role) }]);
                role.status.insert("rolePermissions".into(), permissions);
                role.status.insert("isEnabled".into(), json!(true));
                role.status.insert("resourceScopes".into(), json!([ALL_TAGS]));
            }
            role.status.insert("isBuiltIn".into(), json!(is_built_in));
            role.status.insert("isPrivileged".into(), json!(false));
            if !role.body.contains_key("templateId") {
                role.status.insert("templateId".into(), json!(role.key.id));
            }
        }
        Ok(())
    }
}

fn check_changeable(role: &Document) -> Result<(), Problem> {
    if !rbac::is_built_in(role) {
        return Ok(());
    }
    let message =
        format!("The role definition '{}' is built in and cannot be changed. Create another one.", role.key.id);
    Err(GraphError::new(403, "Forbidden", message).into())
}

/// Checks the names of resource actions, and refuses what would not limit the role.
fn check_permissions(role: &Document) -> Result<(), GraphError> {
    const ALLOWED: &str = "rolePermissions/allowedResourceActions";
    const EXCLUDED: &str = "rolePermissions/excludedResourceActions";
    const CONDITION: &str = "rolePermissions/condition";
    for property in [ALLOWED, EXCLUDED] {
        let lists = path::values(&role.body, property).into_iter().filter_map(Value::as_array);
        if let Some(name) = lists.flatten().filter_map(Value::as_str).find(|name| !catalog::contains(name)) {
            let message = format!(
                "'{name:.128}' is not a resource action. They are listed at \
                 /roleManagement/cloudPC/resourceNamespaces/{}/resourceActions.",
                catalog::NAMESPACE
            );
            return Err(GraphError::bad_request(message).about(property));
        }
    }
    if path::values(&role.body, CONDITION).into_iter().any(Value::is_string) {
        let message = "Conditions of role permissions are not evaluated. Leave out 'condition'.";
        return Err(GraphError::bad_request(message).about(CONDITION));
    }
    if role.body.get("resourceScopes").is_some_and(|scopes| *scopes != json!([ALL_TAGS])) {
        let message = "'resourceScopes' can only be [\"/\"]. Limit the role by 'appScopeIds' of its assignments.";
        return Err(GraphError::bad_request(message).about("resourceScopes"));
    }
    Ok(())
}

/// Refuses to add resource actions that the caller lacks: the role may be assigned to anyone.
fn check_grants(reader: &Reader<'_>, change: &DocumentChange<'_>) -> Result<(), Problem> {
    let permissions = EffectivePermissions::of(reader, &change.call.caller)?;
    let lacked = |action: &&String| permissions.tags(action) != Some(ScopeTags::All);
    let added = [rbac::granted_by, rbac::grantable_by].map(|of| {
        let before = change.old.map(of).unwrap_or_default();
        &of(change.new) - &before
    });
    match added.iter().flatten().find(lacked) {
        None => Ok(()),
        Some(action) => {
            let message = format!(
                "You cannot grant '{action}', because your own roles do not grant it without scope tags. Leave it out, \
                 or ask an administrator."
            );
            Err(GraphError::new(403, "Forbidden", message).into())
        }
    }
}
