//! Operations on users.

pub(super) mod assign_license;
pub(super) mod count;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod delta;
pub(super) mod get;
pub(super) mod license_details;
pub(super) mod list;
pub(super) mod member_of;
mod property;
pub(super) mod update;

use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_identity::permissions::BASIC_USERS;
use cloudpc_model::{AuditEntry, AuditResource, AuditVerb, ResourceType, TenantId};
use cloudpc_store::{Reader, User, UserLicense};

use crate::caller::Caller;
use crate::pipeline::list::PropertySet;
use crate::pipeline::{Call, Problem, WHOLE_USERS};
use crate::views::directory::UserView;

/// Most users of a tenant.
pub const USERS_MAX: u64 = 100_000;

/// Roles whose holders may change users with a directory role.
const USER_ADMINISTRATORS: [&str; 2] = ["Global Administrator", "Privileged Authentication Administrator"];

/// A user by id or name.
pub(crate) fn by_key(reader: &Reader<'_>, tenant: TenantId, key: &str) -> Result<User, Problem> {
    let user = match key.parse() {
        Ok(id) => reader.user(tenant, id)?,
        Err(_) => reader.user_by_name(tenant, key)?,
    };
    user.ok_or_else(|| Problem::not_found("user", key))
}

/// The user in the path.
fn find(call: &Call, reader: &Reader<'_>) -> Result<User, Problem> {
    match &call.target.scope {
        Scope::User(key) => by_key(reader, call.tenant(), key),
        Scope::Me | Scope::Tenant => {
            let user = call.caller.user.as_ref().ok_or_else(|| {
                GraphError::bad_request("/me requires a signed-in user, but the token is app-only. Use /users/{id}.")
            })?;
            by_key(reader, call.tenant(), &user.id.to_string())
        }
    }
}

/// The user in the path, if the caller may read them.
fn find_readable(call: &Call, reader: &Reader<'_>) -> Result<User, Problem> {
    let user = find(call, reader);
    let is_self = |user: &User| call.caller.user.as_ref().is_some_and(|caller| caller.id == user.id);
    if call.caller.permissions.contains(BASIC_USERS)
        || sees_whole_users(&call.caller)
        || user.as_ref().is_ok_and(is_self)
    {
        return user;
    }
    let message = "The permission User.Read is for the signed-in user only. Use /me, or a token with User.Read.All.";
    Err(GraphError::new(403, "Forbidden", message).into())
}

/// Whether a caller may read more of other users than names and addresses.
fn sees_whole_users(caller: &Caller) -> bool {
    WHOLE_USERS.iter().any(|permission| caller.permissions.contains(*permission))
}

/// Refuses to change or delete a user with a directory role on behalf of a caller without one.
fn check_protected(call: &Call, user: &User) -> Result<(), Problem> {
    let may = call.caller.is_owner
        || call
            .caller
            .user
            .as_ref()
            .is_some_and(|own| own.roles.iter().any(|r| USER_ADMINISTRATORS.contains(&r.as_str())));
    if user.roles.is_empty() || may {
        return Ok(());
    }
    let message = format!(
        "The user '{}' has the directory role {}. Only a signed-in {} can change or delete such a user.",
        user.user_principal_name,
        user.roles.join(" and "),
        USER_ADMINISTRATORS.join(" or ")
    );
    Err(GraphError::new(403, "Forbidden", message).into())
}

/// A user with what an answer shows of them.
#[derive(Clone)]
pub(super) struct Shown {
    pub user: User,
    licenses: Vec<UserLicense>,
}

impl Shown {
    /// Reads the licences only if the request asks for them.
    pub(super) fn read(call: &Call, reader: &Reader<'_>, user: User) -> Result<Self, Problem> {
        let wanted = call.mentions("assignedLicenses");
        let licenses = if wanted { reader.user_licenses(call.tenant(), user.id)? } else { Vec::new() };
        Ok(Self { user, licenses })
    }

    /// The view for a caller who may read all of it.
    pub(super) fn whole(&self, set: PropertySet) -> UserView<'_> {
        UserView { user: &self.user, licenses: &self.licenses, set, basic: false, typed: false }
    }

    /// The whole view in a list that can have objects of other types in Graph.
    fn whole_as_member(&self, set: PropertySet) -> UserView<'_> {
        UserView { typed: true, ..self.whole(set) }
    }

    /// The view for this caller.
    fn view(&self, call: &Call, set: PropertySet) -> UserView<'_> {
        let is_self = call.caller.user.as_ref().is_some_and(|own| own.id == self.user.id);
        UserView { basic: !(sees_whole_users(&call.caller) || is_self), ..self.whole(set) }
    }
}

/// The properties of one entity: all if the client selects any.
fn set_of(call: &Call) -> PropertySet {
    if call.options.select.is_some() { PropertySet::All } else { PropertySet::Default }
}

fn audit(call: &Call, verb: AuditVerb, user: &User) -> AuditEntry {
    call.audit(verb, AuditResource::new(ResourceType::User, user.id).named(&user.user_principal_name))
}
