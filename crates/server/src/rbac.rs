//! Role-based access control: what signed-in users may do with Cloud PCs, and with which.
//!
//! The permissions of a token say what an application may do on behalf of its user
//! (`pipeline::access`); the roles of the user say what the user may do. Both must allow an
//! operation. App-only tokens have no user, and are not held to roles. Users need no role to use
//! their own Cloud PCs, below `/me` and `/users/{own id}`; what administrators do to a Cloud PC
//! takes a role there too ([`ADMINISTRATIVE`]).
//!
//! The directory roles of [`ADMINISTRATORS`] grant everything, and those of [`READERS`] all that
//! reads. Everyone else has what role assignments grant to them or to a group of theirs. Rights are
//! read anew for each request, so that none outlives its assignment.

pub mod catalog;
mod requirement;
mod scope_tags;

use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_model::{ADMINISTRATOR_ROLE, Document, DocumentKey, DocumentType, Object, READER_ROLE};
use cloudpc_store::{Reader, StoreError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::app::App;
use crate::caller::{Caller, CallerUser};
use crate::operations::user;
use crate::pipeline::Problem;

pub use requirement::{ADMINISTRATIVE, Requirement, requirement};
pub use scope_tags::{ALL_TAGS, DEFAULT_TAG, SCOPE_IDS, ScopeTags};
pub(crate) use scope_tags::{CloudPcScope, tags_of};

/// Directory roles that grant every resource action.
pub const ADMINISTRATORS: [&str; 2] = ["Global Administrator", "Windows 365 Administrator"];
/// Directory roles that grant every resource action that reads.
pub const READERS: [&str; 1] = ["Global Reader"];

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectivePermissions {
    /// Everything.
    All,
    /// These resource actions, by name, each within its scope tags.
    Granted(BTreeMap<String, ScopeTags>),
}

impl EffectivePermissions {
    /// Reads what a caller may do now.
    ///
    /// # Errors
    /// The store failed.
    pub fn of(reader: &Reader<'_>, caller: &Caller) -> Result<Self, StoreError> {
        let Some(user) = limited_user(caller) else { return Ok(Self::All) };
        let mut granted = Granted::default();
        if has_role(user, &READERS) {
            catalog::actions()
                .filter(|action| action.is_read())
                .for_each(|action| granted.add(action.name(), ScopeTags::All));
        }
        let groups = reader.user_groups(caller.tenant_id, user.id)?.into_iter().map(|group| group.id.0);
        let principals: Vec<_> = std::iter::once(user.id.0).chain(groups).collect();
        for assignment in reader.role_assignments_of(caller.tenant_id, &principals)? {
            let Some(role) = role_of(reader, &assignment)? else { continue };
            let tags = ScopeTags::of_assignment(&assignment.body);
            granted_by(&role).into_iter().for_each(|action| granted.add(action, tags.clone()));
        }
        Ok(Self::Granted(granted.0))
    }

    /// Returns the scope tags within which a resource action is granted; none if it is not.
    pub fn tags(&self, action: &str) -> Option<ScopeTags> {
        match self {
            Self::All => Some(ScopeTags::All),
            Self::Granted(granted) => granted.get(action).cloned(),
        }
    }
}

#[derive(Default)]
struct Granted(BTreeMap<String, ScopeTags>);

impl Granted {
    fn add(&mut self, action: String, tags: ScopeTags) {
        self.0.entry(action).and_modify(|held| held.extend(tags.clone())).or_insert(tags);
    }
}

/// Whether roles limit what a caller may do.
pub(crate) fn is_limited(caller: &Caller) -> bool {
    limited_user(caller).is_some()
}

/// Returns the user whose roles limit a caller; none for applications and administrators.
fn limited_user(caller: &Caller) -> Option<&CallerUser> {
    caller.user.as_ref().filter(|user| !has_role(user, &ADMINISTRATORS))
}

fn has_role(user: &CallerUser, roles: &[&str]) -> bool {
    user.roles.iter().any(|held| roles.contains(&held.as_str()))
}

/// Returns the role definition of an assignment.
fn role_of(reader: &Reader<'_>, assignment: &Document) -> Result<Option<Document>, StoreError> {
    let id = assignment.body.get("roleDefinitionId").and_then(Value::as_str).unwrap_or_default();
    reader.document(assignment.tenant_id, &DocumentKey::new(DocumentType::UnifiedRoleDefinition, id))
}

/// Whether nobody may change a role definition.
pub(crate) fn is_built_in(role: &Document) -> bool {
    [ADMINISTRATOR_ROLE.id, READER_ROLE.id].contains(&role.key.id.as_str())
}

/// Returns the names of the resource actions that a role definition grants.
pub(crate) fn granted_by(role: &Document) -> BTreeSet<String> {
    let all = || catalog::actions().map(catalog::ResourceAction::name);
    if role.key.id == ADMINISTRATOR_ROLE.id {
        return all().collect();
    }
    if role.key.id == READER_ROLE.id {
        return catalog::actions().filter(|action| action.is_read()).map(catalog::ResourceAction::name).collect();
    }
    if role.body.get("isEnabled") == Some(&Value::Bool(false)) {
        return BTreeSet::new();
    }
    let permissions = role.body.get("rolePermissions").and_then(Value::as_array).into_iter().flatten();
    let of = |permission: &Object| {
        let mut actions = names(permission, "allowedResourceActions");
        for excluded in names(permission, "excludedResourceActions") {
            actions.remove(&excluded);
        }
        actions
    };
    permissions.filter_map(Value::as_object).flat_map(of).collect()
}

/// Returns the names of the resource actions that a role definition grants, or would grant if it
/// were enabled and excluded none: what may come of it counts when it is written or assigned.
pub(crate) fn grantable_by(role: &Document) -> BTreeSet<String> {
    if is_built_in(role) {
        return granted_by(role);
    }
    let permissions = role.body.get("rolePermissions").and_then(Value::as_array).into_iter().flatten();
    permissions.filter_map(Value::as_object).flat_map(|each| names(each, "allowedResourceActions")).collect()
}

fn names(permission: &Object, property: &str) -> BTreeSet<String> {
    let names = permission.get(property).and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Checks that the roles of a caller allow an operation. Returns the scope tags that limit it.
///
/// # Errors
/// 403 naming the missing resource action; the store failed.
pub(crate) async fn authorize(
    app: &App,
    caller: &Arc<Caller>,
    operation: &str,
    scope: &Scope,
) -> Result<ScopeTags, Problem> {
    if !is_limited(caller) {
        return Ok(ScopeTags::All);
    }
    let requirement = requirement(operation);
    if let Some(Requirement::Exempt(_)) = requirement {
        return Ok(ScopeTags::All);
    }
    let is_own_use = requirement.is_some_and(Requirement::is_own_use);
    if *scope == Scope::Me && is_own_use {
        return Ok(ScopeTags::All);
    }
    let (request, scope) = (Arc::clone(caller), scope.clone());
    let read = move |reader: &Reader<'_>| {
        if let Scope::User(key) = &scope
            && is_own_use
            && is_self(reader, &request, key)?
        {
            return Ok(ScopeTags::All);
        }
        Ok::<_, Problem>(check(&EffectivePermissions::of(reader, &request)?, requirement)?)
    };
    app.store.on_behalf_of(caller.read_caller()).read(read).await
}

/// Whether a path's key names the caller.
fn is_self(reader: &Reader<'_>, caller: &Caller, key: &str) -> Result<bool, Problem> {
    let named = match user::by_key(reader, caller.tenant_id, key) {
        Ok(named) => Some(named.id),
        Err(Problem::Store(error)) => return Err(error.into()),
        Err(_) => None,
    };
    Ok(named.is_some() && named == caller.user.as_ref().map(|user| user.id))
}

/// Returns the scope tags within which permissions meet a requirement.
///
/// # Errors
/// 403 naming the missing resource action.
pub(crate) fn check(
    permissions: &EffectivePermissions,
    requirement: Option<&Requirement>,
) -> Result<ScopeTags, GraphError> {
    let missing = match (requirement, permissions) {
        (Some(Requirement::Exempt(_)), _) | (_, EffectivePermissions::All) => return Ok(ScopeTags::All),
        (None, EffectivePermissions::Granted(_)) => {
            "The roles of the signed-in user do not allow this operation. It requires the directory role Global \
             Administrator or Windows 365 Administrator."
                .to_owned()
        }
        (Some(Requirement::Scoped(action)), _) => match permissions.tags(action) {
            Some(tags) => return Ok(tags),
            None => format!("The signed-in user's roles do not grant '{action}'. {HOW_TO_GET}"),
        },
        (Some(Requirement::Unscoped(action)), _) => match permissions.tags(action) {
            Some(ScopeTags::All) => return Ok(ScopeTags::All),
            Some(ScopeTags::Only(tags)) => format!(
                "The signed-in user's roles grant '{action}' only within the scope tags {}. This operation concerns the \
                 whole tenant; it requires a role assignment without scope tags.",
                Vec::from_iter(tags).join(", ")
            ),
            None => format!("The signed-in user's roles do not grant '{action}'. {HOW_TO_GET}"),
        },
    };
    Err(GraphError::new(403, "Forbidden", missing))
}

const HOW_TO_GET: &str =
    "Ask an administrator to assign a role that grants it, at /roleManagement/cloudPC/roleAssignments.";
