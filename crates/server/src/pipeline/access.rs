//! Permissions and directory roles that an operation requires.

use cloudpc_graph::GraphError;
use cloudpc_graph::resolve::Scope;
use cloudpc_identity::permissions::{BASIC_USERS, SIGNED_IN_USER};

use crate::caller::Caller;
use crate::config::Fidelity;

/// The permissions that an operation requires. A token needs one permission of the list.
#[derive(Debug)]
pub struct Access {
    /// Permissions for delegated tokens.
    pub delegated: &'static [&'static str],
    /// Permissions for app-only tokens; empty: these are refused.
    pub application: &'static [&'static str],
    /// Whether app-only tokens are accepted below `/me` and `/users`.
    pub application_on_users: bool,
    /// Directory roles required under strict fidelity, in place of permissions. App-only tokens are
    /// then refused.
    pub strict_roles: Option<&'static [&'static str]>,
}

const READERS: &[&str] = &["CloudPC.Read.All", "CloudPC.ReadWrite.All"];
const WRITERS: &[&str] = &["CloudPC.ReadWrite.All"];
const DEVICE_READERS: &[&str] = &[
    "CloudPC.Read.All",
    "CloudPC.ReadWrite.All",
    "DeviceManagementManagedDevices.Read.All",
    "DeviceManagementManagedDevices.ReadWrite.All",
];
const ASSIGNMENT_READERS: &[&str] = &[
    "CloudPC.Read.All",
    "CloudPC.ReadWrite.All",
    "DeviceManagementRBAC.Read.All",
    "DeviceManagementRBAC.ReadWrite.All",
];
const ASSIGNMENT_WRITERS: &[&str] = &["CloudPC.ReadWrite.All", "DeviceManagementRBAC.ReadWrite.All"];
const ROLE_READERS: &[&str] = &[
    "CloudPC.Read.All",
    "CloudPC.ReadWrite.All",
    "DeviceManagementRBAC.Read.All",
    "DeviceManagementRBAC.ReadWrite.All",
    "RoleManagement.Read.CloudPC",
    "RoleManagement.ReadWrite.CloudPC",
    "RoleManagement.Read.All",
    "Directory.Read.All",
];
const ROLE_WRITERS: &[&str] =
    &["CloudPC.ReadWrite.All", "DeviceManagementRBAC.ReadWrite.All", "RoleManagement.ReadWrite.CloudPC"];
/// Permissions to read whole accounts of all users.
pub(crate) const WHOLE_USERS: &[&str] =
    &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];
const USERS: &[&str] =
    &[BASIC_USERS, "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];
const USERS_AND_SELF: &[&str] = &[
    SIGNED_IN_USER,
    BASIC_USERS,
    "User.Read.All",
    "User.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];
const WHOLE_USERS_AND_SELF: &[&str] =
    &[SIGNED_IN_USER, "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];
const USER_WRITERS: &[&str] = &["User.ReadWrite.All", "Directory.ReadWrite.All"];
const GROUPS: &[&str] = &[
    "GroupMember.Read.All",
    "GroupMember.ReadWrite.All",
    "Group.Read.All",
    "Group.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];
const GROUP_WRITERS: &[&str] = &["Group.ReadWrite.All", "Directory.ReadWrite.All"];
const MEMBER_WRITERS: &[&str] = &["GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"];
const SKU_READERS: &[&str] =
    &["Organization.Read.All", "LicenseAssignment.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];
const USER_LICENSERS: &[&str] = &["LicenseAssignment.ReadWrite.All", "User.ReadWrite.All", "Directory.ReadWrite.All"];
const GROUP_LICENSERS: &[&str] = &["LicenseAssignment.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"];
/// Why an app-only token is refused, whatever its permissions are.
const SIGNED_IN_ONLY: &str =
    "This operation is not available to applications. Sign in as a user, and use a delegated token.";
const ADMINISTRATORS: &[&str] = &["Cloudpc.Administer.All"];

const fn any_of(permissions: &'static [&'static str]) -> Access {
    Access { delegated: permissions, application: permissions, application_on_users: true, strict_roles: None }
}

/// Read access.
pub static READ: Access = any_of(READERS);
/// Read access without app-only tokens below `/me` and `/users`.
pub static READ_SIGNED_IN: Access = Access { application_on_users: false, ..any_of(READERS) };
/// Access to the list of users.
pub static READ_USERS: Access = any_of(USERS);
/// Access to one user, who may be the caller.
pub static READ_USER: Access = Access { delegated: USERS_AND_SELF, ..any_of(USERS) };
/// Access to what belongs to one user, who may be the caller.
pub static READ_OF_USER: Access = Access { delegated: WHOLE_USERS_AND_SELF, ..any_of(WHOLE_USERS) };
/// Access to write users.
pub static WRITE_USERS: Access = any_of(USER_WRITERS);
/// Access to read groups and their members.
pub static READ_GROUPS: Access = any_of(GROUPS);
/// Access to write groups.
pub static WRITE_GROUPS: Access = any_of(GROUP_WRITERS);
/// Access to add and remove members.
pub static WRITE_MEMBERS: Access = any_of(MEMBER_WRITERS);
/// Access to read subscriptions.
pub static READ_SKUS: Access = any_of(SKU_READERS);
/// Access to assign licences to users.
pub static LICENSE_USERS: Access = any_of(USER_LICENSERS);
/// Access to assign licences to groups.
pub static LICENSE_GROUPS: Access = any_of(GROUP_LICENSERS);
/// Read access to managed devices.
pub static READ_DEVICES: Access = any_of(DEVICE_READERS);
/// Write access.
pub static WRITE: Access = any_of(WRITERS);
/// Write access for signed-in users only.
pub static WRITE_SIGNED_IN: Access = Access { application: &[], ..any_of(WRITERS) };
/// Read access for signed-in users only.
pub static READ_OWN_ROLES: Access = Access { application: &[], ..any_of(READERS) };
/// Access to read role assignments.
pub static READ_ASSIGNMENTS: Access = any_of(ASSIGNMENT_READERS);
/// Access to write role assignments.
pub static WRITE_ASSIGNMENTS: Access = any_of(ASSIGNMENT_WRITERS);
/// Access to read role definitions and resource actions.
pub static READ_ROLES: Access = any_of(ROLE_READERS);
/// Access to write role definitions.
pub static WRITE_ROLES: Access = any_of(ROLE_WRITERS);
/// Administration of this installation.
pub static ADMINISTER: Access = any_of(ADMINISTRATORS);
/// Access to `configureAgent`.
pub static CONFIGURE_AGENT: Access = Access { strict_roles: Some(&["Global Administrator"]), ..any_of(WRITERS) };
/// Access to `deployAgent`.
pub static DEPLOY_AGENT: Access =
    Access { strict_roles: Some(&["Windows 365 Administrator", "Global Administrator"]), ..any_of(WRITERS) };

/// Checks a caller's permissions and roles against an operation's requirements. Returns 403 if any
/// are missing.
pub(crate) fn check(access: &Access, caller: &Caller, scope: &Scope, fidelity: Fidelity) -> Result<(), GraphError> {
    let on_users = *scope != Scope::Tenant;
    match (&caller.user, access.strict_roles) {
        (None, _) if access.application.is_empty() => Err(forbidden(SIGNED_IN_ONLY)),
        (None, _) if on_users && !access.application_on_users => Err(forbidden(SIGNED_IN_ONLY)),
        (None, Some(_)) if fidelity == Fidelity::Strict => Err(forbidden(SIGNED_IN_ONLY)),
        (Some(user), Some(roles)) if fidelity == Fidelity::Strict => {
            if roles.iter().any(|role| user.roles.iter().any(|held| held == role)) {
                return Ok(());
            }
            Err(forbidden(format!("The signed-in user lacks the directory role: {}.", roles.join(" or "))))
        }
        (None, _) => require(caller, access.application, "application"),
        (Some(_), _) => require(caller, access.delegated, "delegated"),
    }
}

fn require(caller: &Caller, permissions: &[&str], kind: &str) -> Result<(), GraphError> {
    if permissions.iter().any(|permission| caller.permissions.contains(*permission)) {
        return Ok(());
    }
    Err(forbidden(format!("The token lacks the {kind} permission {}.", permissions.join(" or "))))
}

fn forbidden(message: impl Into<String>) -> GraphError {
    GraphError::new(403, "Forbidden", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::{CallerUser, TokenOrigin};
    use cloudpc_model::{TenantId, UserId};
    use uuid::Uuid;

    fn application(permission: &str) -> Caller {
        Caller {
            tenant_id: TenantId(Uuid::nil()),
            app_id: None,
            app_name: "app".into(),
            user: None,
            permissions: [permission.to_owned()].into(),
            origin: TokenOrigin::Local { key_id: "key".into() },
            is_owner: false,
        }
    }

    fn user(permission: &str, role: &str) -> Caller {
        let user = CallerUser {
            id: UserId(Uuid::nil()),
            user_principal_name: "ada@contoso.test".into(),
            roles: vec![role.into()],
        };
        Caller { user: Some(user), ..application(permission) }
    }

    #[test]
    fn write_permission_includes_read_but_not_the_reverse() {
        let check = |access, permission| check(access, &application(permission), &Scope::Tenant, Fidelity::Open);
        assert!(check(&READ, "CloudPC.Read.All").is_ok());
        assert!(check(&READ, "CloudPC.ReadWrite.All").is_ok());
        assert!(check(&WRITE, "CloudPC.ReadWrite.All").is_ok());
        let error = check(&WRITE, "CloudPC.Read.All").unwrap_err();
        assert_eq!(error.status, 403);
        assert_eq!(error.message, "The token lacks the application permission CloudPC.ReadWrite.All.");
        assert!(check(&WRITE, "DeviceManagementManagedDevices.PrivilegedOperations.All").is_err());
    }

    #[test]
    fn app_only_tokens_cannot_list_cloud_pcs_of_users() {
        let caller = application("CloudPC.ReadWrite.All");
        assert!(check(&READ_SIGNED_IN, &caller, &Scope::Tenant, Fidelity::Open).is_ok());
        assert_eq!(check(&READ_SIGNED_IN, &caller, &Scope::Me, Fidelity::Open).unwrap_err().status, 403);
        assert!(check(&READ, &caller, &Scope::User("ada".into()), Fidelity::Open).is_ok());
    }

    #[test]
    fn operations_for_signed_in_users_refuse_applications_and_say_so() {
        let writer = "CloudPC.ReadWrite.All";
        let error = check(&WRITE_SIGNED_IN, &application(writer), &Scope::Tenant, Fidelity::Open).unwrap_err();
        assert_eq!((error.status, &*error.message), (403, SIGNED_IN_ONLY));
        assert!(check(&WRITE_SIGNED_IN, &user(writer, "none"), &Scope::Tenant, Fidelity::Strict).is_ok());
        let reader = user("CloudPC.Read.All", "none");
        let error = check(&WRITE_SIGNED_IN, &reader, &Scope::Tenant, Fidelity::Open).unwrap_err();
        assert_eq!(error.message, "The token lacks the delegated permission CloudPC.ReadWrite.All.");
    }

    #[test]
    fn partner_actions_require_a_directory_role_under_strict_fidelity() {
        let writer = "CloudPC.ReadWrite.All";
        let strict = |access, caller: &Caller| check(access, caller, &Scope::Tenant, Fidelity::Strict).is_ok();
        let open = |access, caller: &Caller| check(access, caller, &Scope::Tenant, Fidelity::Open).is_ok();
        assert!(!strict(&DEPLOY_AGENT, &application(writer)));
        assert!(open(&DEPLOY_AGENT, &application(writer)));
        assert!(strict(&DEPLOY_AGENT, &user("User.Read", "Windows 365 Administrator")));
        assert!(!strict(&CONFIGURE_AGENT, &user(writer, "Windows 365 Administrator")));
        assert!(strict(&CONFIGURE_AGENT, &user(writer, "Global Administrator")));
        assert!(open(&CONFIGURE_AGENT, &user(writer, "none")));
    }
}
