//! `unifiedRoleAssignmentMultiple`: who has a role, and within which scope tags.

use cloudpc_graph::GraphError;
use cloudpc_graph::options::Expansion;
use cloudpc_model::{Document, DocumentKey, DocumentType, GroupId, Object, ReferenceStrength, UserId};
use cloudpc_store::{Reader, StoreError, Tx};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::kind::Const::Texts;
use crate::documents::kind::Fact::{CharsMax, Default, Reference, Required};
use crate::documents::kind::{DocumentChange, DocumentKind, Expandable, Hooks, Rights, WRITABLE};
use crate::documents::path;
use crate::documents::read::shown_beside;
use crate::pipeline::{Call, Problem, READ_ASSIGNMENTS, WRITE_ASSIGNMENTS};
use crate::rbac::{self, ALL_TAGS, DEFAULT_TAG, EffectivePermissions, ScopeTags};

static RIGHTS: Rights = Rights { resource: "RoleAssignments", read: &READ_ASSIGNMENTS, write: &WRITE_ASSIGNMENTS };

/// Most users and groups of a role assignment.
pub const PRINCIPALS_MAX: usize = 100;
/// Most scope tags of a role assignment.
pub const SCOPE_TAGS_MAX: usize = 100;
/// Longest scope tag, characters.
pub const SCOPE_TAG_CHARS_MAX: usize = 64;

/// `unifiedRoleAssignmentMultiple`
pub(super) static ROLE_ASSIGNMENT: DocumentKind = DocumentKind::many(
    DocumentType::UnifiedRoleAssignmentMultiple,
    "/roleManagement/cloudPC/roleAssignments",
    &RIGHTS,
    WRITABLE,
    &[
        CharsMax("displayName", 128),
        CharsMax("description", 1_500),
        Required("principalIds"),
        Required("roleDefinitionId"),
        Reference("roleDefinitionId", DocumentType::UnifiedRoleDefinition, ReferenceStrength::Holds),
        Default("directoryScopeIds", Texts(&[ALL_TAGS])),
    ],
)
.expands(&["roleDefinition", "principals", "appScopes", "directoryScopes"])
.hooks(&RoleAssignment);

struct RoleAssignment;

impl Hooks for RoleAssignment {
    fn check(&self, reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        check_principals(reader, change.new)?;
        check_scopes(change.new)?;
        check_grants(reader, change)
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

    fn expand(
        &self,
        reader: &Reader<'_>,
        call: &Call,
        assignment: &Document,
        expansion: &Expansion,
    ) -> Result<Expandable, Problem> {
        Ok(match expansion.property.as_str() {
            "roleDefinition" => Expandable::One(role_definition(reader, call, assignment)?),
            "principals" => Expandable::Many(principals(reader, assignment)?),
            "appScopes" => Expandable::Many(app_scopes(assignment)),
            _ => Expandable::Many(Vec::new()),
        })
    }
}

/// Has open desktops check the roles of their callers once a write is committed.
pub(super) fn forget_callers(tx: &mut Tx<'_>, call: &Call) {
    let app = call.app.clone();
    tx.after_commit(move || app.identity.forget_verified());
}

/// Returns the role definition of an assignment.
///
/// # Errors
/// 403 for a caller who may not read role definitions.
pub(crate) fn role_definition(
    reader: &Reader<'_>,
    call: &Call,
    assignment: &Document,
) -> Result<Option<Object>, Problem> {
    let permissions = EffectivePermissions::of(reader, &call.caller)?;
    rbac::check(&permissions, rbac::requirement("roleDefinition.get"))?;
    let id = assignment.body.get("roleDefinitionId").and_then(Value::as_str).unwrap_or_default();
    let key = DocumentKey::new(DocumentType::UnifiedRoleDefinition, id);
    let role = reader.document(assignment.tenant_id, &key)?;
    role.map(|role| shown_beside(reader, call, &super::role_definition::ROLE_DEFINITION, role)).transpose()
}

/// Returns the users and groups of an assignment that exist.
pub(crate) fn principals(reader: &Reader<'_>, assignment: &Document) -> Result<Vec<Object>, StoreError> {
    let ids = assignment.principals();
    let found = ids.into_iter().map(|id| Ok(principal_type(reader, assignment, id)?.map(|kind| (kind, id))));
    let found: Vec<_> = found.collect::<Result<_, StoreError>>()?;
    Ok(found.into_iter().flatten().map(|(kind, id)| directory_object(kind, id)).collect())
}

/// Returns a user or group as a `directoryObject`: its id and type. The rest takes permissions of
/// the directory.
pub(crate) fn directory_object(kind: &str, id: Uuid) -> Object {
    object(json!({ "@odata.type": format!("#microsoft.graph.{kind}"), "id": id, "deletedDateTime": null }))
}

/// Returns the scope tags of an assignment; none if it reaches everything.
pub(crate) fn app_scopes(assignment: &Document) -> Vec<Object> {
    let ScopeTags::Only(tags) = ScopeTags::of_assignment(&assignment.body) else { return Vec::new() };
    let scope = |tag: &String| {
        let name = if tag == DEFAULT_TAG { "Default" } else { tag };
        object(json!({
            "@odata.type": "#microsoft.graph.customAppScope", "id": tag, "displayName": name, "type": "scopeTag",
            "customAttributes": null,
        }))
    };
    tags.iter().map(scope).collect()
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => unreachable!("the literals here are objects"),
    }
}

fn principal_type(reader: &Reader<'_>, assignment: &Document, id: Uuid) -> Result<Option<&'static str>, StoreError> {
    if reader.user(assignment.tenant_id, UserId(id))?.is_some() {
        return Ok(Some("user"));
    }
    Ok(reader.group(assignment.tenant_id, GroupId(id))?.map(|_| "group"))
}

fn check_principals(reader: &Reader<'_>, assignment: &Document) -> Result<(), Problem> {
    const PROPERTY: &str = "principalIds";
    let wrong = |message: String| Err(GraphError::bad_request(message).about(PROPERTY).into());
    let named = texts(assignment, PROPERTY);
    if named.len() > PRINCIPALS_MAX {
        return wrong(format!(
            "'{PROPERTY}' has {} ids; at most {PRINCIPALS_MAX} are allowed. Use a group.",
            named.len()
        ));
    }
    for text in named {
        let Ok(id) = text.parse::<Uuid>() else {
            return wrong(format!("'{text:.64}' is not the id of a user or group, which is a GUID."));
        };
        if principal_type(reader, assignment, id)?.is_none() {
            return wrong(format!("There is no user or group with the id '{id}'. Use the id of an existing one."));
        }
    }
    Ok(())
}

/// Checks the scopes, and refuses those that would not limit the assignment.
fn check_scopes(assignment: &Document) -> Result<(), GraphError> {
    const TAGS: &str = "appScopeIds";
    const DIRECTORY: &str = "directoryScopeIds";
    let tags = texts(assignment, TAGS);
    if tags.len() > SCOPE_TAGS_MAX {
        let message = format!("'{TAGS}' has {} scope tags; at most {SCOPE_TAGS_MAX} are allowed.", tags.len());
        return Err(GraphError::bad_request(message).about(TAGS));
    }
    if let Some(tag) = tags.iter().find(|tag| tag.is_empty() || tag.chars().count() > SCOPE_TAG_CHARS_MAX) {
        let message = format!(
            "'{tag:.128}' is not a scope tag, which has 1 to {SCOPE_TAG_CHARS_MAX} characters. '0' is the default tag, \
             and '/' stands for all."
        );
        return Err(GraphError::bad_request(message).about(TAGS));
    }
    if let Some(scope) = texts(assignment, DIRECTORY).into_iter().find(|scope| *scope != ALL_TAGS) {
        let message = format!(
            "The directory scope '{scope:.64}' is not supported; only '/' is. Limit the assignment by the scope tags in \
             '{TAGS}'."
        );
        return Err(GraphError::bad_request(message).about(DIRECTORY));
    }
    if assignment.body.contains_key("condition") {
        let message = "Conditions of role assignments are not evaluated. Leave out 'condition'.";
        return Err(GraphError::bad_request(message).about("condition"));
    }
    Ok(())
}

fn texts<'a>(assignment: &'a Document, property: &str) -> Vec<&'a str> {
    let lists = path::values(&assignment.body, property).into_iter();
    lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect()
}

/// Refuses to give anyone what the caller lacks.
fn check_grants(reader: &Reader<'_>, change: &DocumentChange<'_>) -> Result<(), Problem> {
    let has_changed =
        |property: &&str| change.old.is_none_or(|old| old.body.get(*property) != change.new.body.get(*property));
    if !["roleDefinitionId", "principalIds", "appScopeIds"].iter().any(has_changed) {
        return Ok(());
    }
    let id = change.new.body.get("roleDefinitionId").and_then(Value::as_str).unwrap_or_default();
    let key = DocumentKey::new(DocumentType::UnifiedRoleDefinition, id);
    // That a missing one is refused follows from the reference.
    let Some(role) = reader.document(change.new.tenant_id, &key)? else { return Ok(()) };
    let permissions = EffectivePermissions::of(reader, &change.call.caller)?;
    let wanted = ScopeTags::of_assignment(&change.new.body);
    let lacked = |action: &String| !permissions.tags(action).is_some_and(|held| held.covers(&wanted));
    match rbac::grantable_by(&role).into_iter().find(lacked) {
        None => Ok(()),
        Some(action) => {
            let message = format!(
                "You cannot assign this role, because it grants '{action}', which your own roles do not grant within \
                 the same scope tags. Choose another role or fewer tags, or ask an administrator."
            );
            Err(GraphError::new(403, "Forbidden", message).into())
        }
    }
}
